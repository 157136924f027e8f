"""Sharpness-aware minimisation: the gradient is taken at the worst point nearby."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.mixup.in_place import RandomState, exchange
from amix.models.architecture import trainable
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


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
