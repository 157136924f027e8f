"""SAM that perturbs only the entries with the largest Fisher information."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from typing_extensions import override

from amix.training.fit import Fit
from amix.training.method import Groups, MethodError, Model
from amix.training.registry import register
from baselines.smoothness.sam import SAM, global_norm
from baselines.subnetwork._selection import entry_of_rank


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
