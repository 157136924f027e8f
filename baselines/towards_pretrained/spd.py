"""SPD: pull a tensor back towards its pretrained value only if the gradient disagrees with its displacement."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from amix.models.architecture import head_names
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class SPD(Method):
    """Selective Projection Decay: after an Adam step, undo a share of the distance from w0 that the step added.

    For each tensor as a whole, with w~ the result of the Adam step from w and g the (clipped) gradient at w:

        c = -<g, w - w0>
        c < 0:   r = clip((|w~ - w0| - |w - w0|) / |w~ - w0|, 0, 1),   w <- w~ - lambda r (w~ - w0)
        else:    w <- w~

    At the first step c is 0. lambda 1 returns to the sphere of the distance before the step, a larger one goes inside
    it; the learning rate has no influence. Tian et al. (2024); official code: GT-RIPL/Selective-Projection-Decay,
    adamSPD.py, where lambda is called weight_decay and no value is given: 1 is ours. As there, ordinary decay is off,
    and biases and LayerNorms are treated like other tensors. Departs in the head: the code's example includes it, with
    its initial weights as anchor (`project_head`); here it decays as in plain finetuning. Official options that change
    numbers: weight_decay is `strength`; amsgrad has the same name; lr, betas and eps are the recipe's; an anchor at
    zero (pre=None, meant for low-rank factors) is not here, because tensors without a pretrained value are not
    projected.
    """

    @dataclass(frozen=True)
    class Config:
        """strength: the paper's lambda, of order 1. keep_weight_decay: ordinary decay as well."""

        strength: float = 1.0
        project_head: bool = False
        amsgrad: bool = False
        keep_weight_decay: bool = False

        def __post_init__(self) -> None:
            if self.strength < 0:
                raise MethodError(f"SPD needs a strength of at least 0, not {self.strength}")

    name = "spd"
    info = MethodInfo(
        paper="Tian et al., NeurIPS 2024",
        year=2024,
        kind="towards pretrained",
        parity="matched: branches, ratios and parameters, with project_head",
        cases=("spd_*",),
        null={"strength": 0.0, "keep_weight_decay": True},
        grid={"strength": (0.1, 0.5, 1.0, 2.0)},
    )

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Plain finetuning's groups; projected parameters are in a separate group without ordinary decay."""
        groups = super().param_groups(model, fit)
        if self.config.keep_weight_decay:
            return groups
        projected = self.projected(model)
        inside = {id(parameter) for parameter in projected}
        rest = [group | {"params": [p for p in group["params"] if id(p) not in inside]} for group in groups]
        return [{"params": projected, "weight_decay": 0.0}, *(group for group in rest if group["params"])]

    def projected(self, model: Model) -> list[Tensor]:
        """The parameters that are projected."""
        left_out = set() if self.config.project_head else head_names(model)
        return [p for name, p in model.named_parameters() if p.requires_grad and name not in left_out]

    @override
    def optimizer(self, groups: Groups, fit: Fit) -> torch.optim.Optimizer:
        """AdamW, optionally with AMSGrad."""
        recipe = fit.recipe
        return torch.optim.AdamW(
            groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.adam_epsilon, amsgrad=self.config.amsgrad, fused=True
        )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Store the pretrained weights."""
        self.anchored = [(parameter, parameter.detach().clone()) for parameter in self.projected(model)]

    @torch.no_grad()
    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Compute c and the distance of every tensor that has a gradient, before the step."""
        moving = [(w, w0, w.grad) for w, w0 in self.anchored if w.grad is not None]
        self.weights = [w for w, _, _ in moving]
        self.anchors = [w0 for _, w0, _ in moving]
        distances = torch._foreach_sub(self.weights, self.anchors)
        self.radii = torch.stack(torch._foreach_norm(distances))
        torch._foreach_mul_(distances, [gradient for _, _, gradient in moving])
        self.conditions = -torch.stack([product.sum() for product in distances])

    @torch.no_grad()
    @override
    def after_step(self, model: Model, fit: Fit) -> None:
        """Undo the share of the distance where the condition holds."""
        distances = torch._foreach_sub(self.weights, self.anchors)
        self.ratios = self.gained(torch.stack(torch._foreach_norm(distances)))
        shares = list(self.config.strength * self.ratios)
        torch._foreach_mul_(distances, shares)
        torch._foreach_sub_(self.weights, distances)

    def gained(self, radii: Tensor) -> Tensor:
        """r of every tensor, 0 where the condition does not hold; radii: distances after the step; both [tensors]."""
        smallest = torch.finfo(radii.dtype).tiny  # A tensor exactly at its anchor gives 0, not 0 / 0.
        gain = ((radii - self.radii) / radii.clamp_min(smallest)).clamp(0.0, 1.0)
        return torch.where(self.conditions < 0, gain, torch.zeros_like(gain))
