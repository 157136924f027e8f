"""L2-SP: a penalty on the distance to the pretrained weights."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.models.architecture import decay_groups, head_names, undecayed_names
from amix.training.fit import Fit
from amix.training.method import Groups, Method, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class L2SP(Method):
    """L2-SP: L + alpha / 2 * |w - w0|^2 for the body's weights + beta / 2 * |w|^2 for the head's, in place of decay.

    The penalty is coupled: its gradient passes through clipping and Adam's moments, which divide it by the size of the
    gradients, unlike in the decoupled `pretrained_decay`. Li et al. (2018), equation 3; official code (images, SGD with
    momentum): holyseven/TransferLearningClassification, model/network_base.py:140-156, alpha and beta from its
    train.sh. Biases and LayerNorms are excluded, as in its mode 1; `all_parameters` includes them, as in its mode 101.
    Official options that change numbers: the weights of the two terms are `alpha` and `beta`; other modes of its
    penalty, and the options of its image networks, are not here.
    """

    @dataclass(frozen=True)
    class Config:
        """alpha: for the body. beta: for the head. keep_weight_decay: ordinary decay as well."""

        alpha: float = 0.1
        beta: float = 0.01
        all_parameters: bool = False
        keep_weight_decay: bool = False

    name = "l2_sp"
    info = MethodInfo(
        paper="Li et al., ICML 2018",
        year=2018,
        kind="towards pretrained",
        parity="matched: penalty and gradient",
        cases=("l2sp*",),
        micro_batches=True,
        null={"alpha": 0.0, "beta": 0.0, "keep_weight_decay": True},
        grid={"alpha": (0.001, 0.01, 0.1, 1.0), "beta": (0.01, 0.1)},
    )

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Plain finetuning's groups, without weight decay."""
        return decay_groups(model, fit.recipe.weight_decay if self.config.keep_weight_decay else 0.0)

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Store the pretrained weights."""
        left_out = set() if self.config.all_parameters else undecayed_names(model)
        named = {n: p for n, p in model.named_parameters() if p.requires_grad and n not in left_out}
        head = head_names(model)
        self.new: list[Tensor] = [parameter for name, parameter in named.items() if name in head]
        self.pulled: list[Tensor] = [parameter for name, parameter in named.items() if name not in head]
        self.pretrained = [parameter.detach().clone() for parameter in self.pulled]

    @torch.no_grad()
    def penalty(self) -> Tensor:
        """The penalty's value at the current weights; after_backward adds its gradient."""
        self.distances = torch._foreach_sub(self.pulled, self.pretrained)
        pulled, new = torch._foreach_norm(self.distances), torch._foreach_norm(self.new)
        squares = [torch.stack(norms).square().sum() for norms in (pulled, new)]
        return 0.5 * (self.config.alpha * squares[0] + self.config.beta * squares[1])

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss plus the penalty."""
        return super().loss(model, batch, fit) + self.penalty()

    @torch.no_grad()
    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Add the penalty's gradient in closed form, because automatic differentiation would copy every weight."""
        for parameters, directions, strength in (
            (self.pulled, self.distances, self.config.alpha),
            (self.new, self.new, self.config.beta),
        ):
            pairs = [(p.grad, pull) for p, pull in zip(parameters, directions, strict=True) if p.grad is not None]
            torch._foreach_add_([gradient for gradient, _ in pairs], [pull for _, pull in pairs], alpha=strength)
