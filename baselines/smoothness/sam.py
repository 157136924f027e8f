"""Sharpness-aware minimisation: the gradient is taken at the worst point nearby."""

from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.mixup.in_place import RandomState, exchange
from amix.models.architecture import trainable
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.subnetwork._selection import entry_of_rank


@register
class SAM(Method):
    """SAM: step from w with the gradient at w + e, where e = rho g / ||g||, g the gradient at w, with a global norm.

    Foret et al. (2021), equation 2 and algorithm 1; `adaptive`: e = rho w^2 o g / || |w| o g || (Kwon et al. 2021), for
    which rho is about ten times as large. Official code of most studies: davda54/sam, sam.py. As there, embeddings,
    LayerNorms and head are perturbed too, and the second gradient is clipped; the norm of the first does not matter.
    Also as there, each pass draws its own dropout masks; `shared_dropout` gives both the same, so that e climbs the
    loss that is then descended. For language models Bahri et al. (2022) use a rho near 0.15. Official options that
    change numbers (the class's): rho and adaptive, with the same names; the base optimizer is the suite's AdamW.
    """

    @dataclass(frozen=True)
    class Config:
        """rho: radius; 0.05 is the paper's value on CIFAR and ImageNet, and the official default."""

        rho: float = 0.05
        adaptive: bool = False
        shared_dropout: bool = False

        def __post_init__(self) -> None:
            if self.rho < 0:
                raise MethodError(f"SAM needs rho of at least 0, not {self.rho}")

    name = "sam"
    info = MethodInfo(
        paper="Foret et al., ICLR 2021; Kwon et al., ICML 2021",
        year=2021,
        kind="smoothness",
        parity="matched: perturbations, losses, parameters",
        cases=("sam*",),
        passes=2.0,
        micro_batches=True,
        null={"rho": 0.0, "shared_dropout": True},
        grid={"rho": (0.02, 0.05, 0.15), "adaptive": (False, True)},
    )

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss; batch and random state are stored for the second pass."""
        self.batch = fit.whole(batch)
        self.random_state = RandomState.capture(fit.device) if self.config.shared_dropout else None
        return super().loss(model, batch, fit)

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Replace the gradient by the one at the perturbed weights."""
        parameters: list[Tensor] = [parameter for parameter in trainable(model) if parameter.grad is not None]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        perturbed = self.perturbed(parameters, gradients, fit)
        for parameter in parameters:
            parameter.grad = None
        exchange(parameters, perturbed)
        with self.random_state.replayed() if self.random_state else nullcontext():
            fit.accumulate(lambda part: Method.loss(self, model, part, fit), self.batch)
        exchange(parameters, perturbed)

    @torch.no_grad()
    def perturbed(self, parameters: list[Tensor], gradients: list[Tensor], fit: Fit) -> list[Tensor]:
        """w + e, stored in place of the gradients."""
        self.perturb(parameters, gradients, fit)
        torch._foreach_add_(gradients, parameters)
        return gradients

    def perturb(self, parameters: list[Tensor], gradients: list[Tensor], fit: Fit) -> None:
        """Turn the gradients into e."""
        if self.config.adaptive:
            torch._foreach_mul_(gradients, parameters)
            scale = self.config.rho / (global_norm(gradients) + 1e-12)
            torch._foreach_mul_(gradients, parameters)
        else:
            scale = self.config.rho / (global_norm(gradients) + 1e-12)
        torch._foreach_mul_(gradients, scale)


def global_norm(tensors: list[Tensor]) -> Tensor:
    """Euclidean norm of all entries together."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(tensors)))


@register
class FSAM(SAM):
    """FSAM: SAM that perturbs only the entries with the largest Fisher information, e = rho g / ||g|| o M.

    M marks the share `keep` of entries with the largest squared gradient of the current batch, pooled over all tensors
    whose names contain neither "bias" nor "embed"; other tensors are not perturbed, and ||g|| is over all entries. M is
    renewed every `mask_every` updates, so only once in a shorter run. Zhong et al. (2022), section 3; official code:
    WHU-ZQH/FSAM4PLM, fairseq-FSAM/optim/samsgd.py, the source of the settings. Its plain form cannot run (the second
    step reads what the first never wrote, samsgd.py:194-200 and 332-345); `as_released` is the variant there that can,
    without its sampling of weights and examples (beta = gamma = 1): biases and embeddings are perturbed in full,
    renewing M zeroes the gradients before they are used (277-286), so that those updates have no perturbation, and the
    base optimizer is Adam with coupled decay. Official options that change numbers: rho is `rho`, mask-iter-e
    `mask_every`, the share kept `keep`; of the optimizers of sam-type, the plain ones are `sam` and this one; beta and
    gamma, the sampling of weights and examples, are not here (1 and 1).
    """

    @dataclass(frozen=True)
    class Config:
        """keep: share of entries that are perturbed. mask_every: updates per mask. rho, shared_dropout: as in SAM."""

        rho: float = 0.05
        keep: float = 0.1
        mask_every: int = 100
        shared_dropout: bool = False
        as_released: bool = False

        def __post_init__(self) -> None:
            if self.rho < 0 or not 0 < self.keep <= 1 or self.mask_every < 1:
                raise MethodError("FSAM needs rho >= 0, keep in (0, 1] and mask_every >= 1")

    name = "fsam"
    info = replace(
        SAM.info,
        paper="Zhong et al., Findings of EMNLP 2022",
        year=2022,
        parity="matched: masks, losses and parameters",
        cases=("fsam_*",),
        grid={"rho": (0.02, 0.05, 0.15), "keep": (0.1, 0.5)},
    )

    @override
    def optimizer(self, groups: Groups, fit: Fit) -> torch.optim.Optimizer:
        """AdamW, or as released Adam, whose decay is part of the gradient."""
        if not self.config.as_released:
            return super().optimizer(groups, fit)
        recipe = fit.recipe
        return torch.optim.Adam(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.adam_epsilon, fused=True)

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Collect the tensors that get a mask."""
        maskable = ((name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad)
        self.maskable = {id(parameter) for name, parameter in maskable if "bias" not in name and "embed" not in name}
        self.masks: dict[int, Tensor] = {}

    @override
    def perturb(self, parameters: list[Tensor], gradients: list[Tensor], fit: Fit) -> None:
        """Turn the gradients into e."""
        if fit.step % self.config.mask_every == 0:
            self.renew_masks(parameters, gradients)
            if self.config.as_released:
                torch._foreach_zero_(gradients)
                return
        epsilon = 1e-7 if self.config.as_released else 1e-12
        torch._foreach_mul_(gradients, self.config.rho / (global_norm(gradients) + epsilon))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if id(parameter) in self.masks:
                gradient.mul_(self.masks[id(parameter)])
            elif not self.config.as_released:
                gradient.zero_()

    def renew_masks(self, parameters: list[Tensor], gradients: list[Tensor]) -> None:
        """Compute M of every maskable tensor from these gradients."""
        scores = {id(p): gradient.square() for p, gradient in zip(parameters, gradients, strict=True)}
        scores = {key: score for key, score in scores.items() if key in self.maskable}
        pooled = torch.cat([score.flatten() for score in scores.values()])
        threshold = entry_of_rank(pooled, len(pooled) - max(1, int(self.config.keep * len(pooled))))
        self.masks = {key: score >= threshold for key, score in scores.items()}
