"""A model of the published implementation for timing: the same passes, products and updates, nothing else.

Sai-Ashish/Attention_guided_weight_mixup_BLO at 7aa6a27 with betty 0.2.0. Every linear has two branches (blo.py:28-43),
automatic differentiation goes through both products, and an iteration makes 5 forward and 6 backward passes. Avoidable
costs of the original (an optimizer that loops over tensors, debugging output) are left out, so that the measured
speed-up over it is a lower bound.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from amix.data.encoded import Batch
from amix.mixup.linears import block_linears
from amix.mixup.step_jacobian import apply_step_jacobian_
from amix.training.fit import Fit
from amix.training.optimizers import DecayAfterAdamW

RADIUS = 0.01
CLIP_NORM = 5.0
FORWARD_PASSES, BACKWARD_PASSES = 5, 6


class TwoBranchLinear(nn.Module):
    """y = x (A o W)' + b + x (B o W0)' with A = a1 a2, B = (1 - a1)(1 - a2), as in blo.py."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.pretrained = nn.Parameter(linear.weight.detach().clone())
        self.a1 = nn.Parameter(torch.ones_like(linear.weight[:, :1]))
        self.a2 = nn.Parameter(torch.ones_like(linear.weight[:1]))

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Outputs [..., out] of inputs [..., in]."""
        task = functional.linear(x, (self.a1 @ self.a2) * self.weight, self.bias)
        return task + functional.linear(x, ((1 - self.a1) @ (1 - self.a2)) * self.pretrained)


class PublishedSearch:
    """The published search over a model, whose linears it replaces; a call makes one iteration."""

    def __init__(self, model: nn.Module, fit: Fit, lower_batch: Batch, upper_batch: Batch) -> None:
        self.model, self.fit, self.lower_batch, self.upper_batch = model, fit, lower_batch, upper_batch
        linears = block_linears(model)
        self.lower: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        layers = [TwoBranchLinear(linear) for linear in linears.values()]
        for name, layer in zip(linears, layers, strict=True):
            model.set_submodule(name, layer)
        self.attention: list[Tensor] = [factor for layer in layers for factor in (layer.a1, layer.a2)]
        self.lower_optimizer = DecayAfterAdamW(self.lower, lr=2e-5, weight_decay=0.01)
        self.upper_optimizer = torch.optim.AdamW(self.attention, lr=2e-3, weight_decay=0.0)
        self.forward_passes = self.backward_passes = 0

    def __call__(self) -> None:
        """Make a lower step, a hypergradient and attention step, and a lower step on the same batch."""
        self.lower_step()
        self.attention_step()
        self.lower_step()

    def loss(self, batch: Batch) -> Tensor:
        """The loss, with the attention clamped first, as in the original (run_glue_mlo.py:694, 746)."""
        self.forward_passes += 1
        self.clamp()
        return self.fit.task_loss(self.fit.logits(self.model, batch), batch)

    def gradients(self, loss: Tensor, tensors: list[Tensor], retain_graph: bool = False) -> list[Tensor]:
        """One backward pass."""
        self.backward_passes += 1
        return list(
            torch.autograd.grad(loss, tensors, retain_graph=retain_graph, allow_unused=True, materialize_grads=True)
        )

    def lower_step(self) -> None:
        """Compute the gradient, clip it, and update the task weights."""
        for parameter, gradient in zip(
            self.lower, self.gradients(self.loss(self.lower_batch), self.lower), strict=True
        ):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(self.lower, CLIP_NORM)
        self.lower_optimizer.step()
        self.lower_optimizer.zero_grad()

    def attention_step(self) -> None:
        """Take two gradients of the upper loss and two perturbed passes (darts.py:38-73), and update the attention."""
        upper = self.loss(self.upper_batch)
        direct = self.gradients(upper, self.attention, retain_graph=True)
        vector = self.gradients(upper, self.lower)
        apply_step_jacobian_(vector, self.lower, self.lower_optimizer, "adam", 1.0)
        epsilon = float(RADIUS / torch.stack(torch._foreach_norm(vector)).norm())
        self.shift(vector, epsilon)
        ahead = self.gradients(self.loss(self.lower_batch), self.attention)
        self.shift(vector, -2 * epsilon)
        behind = self.gradients(self.loss(self.lower_batch), self.attention)
        for factor, parts in zip(self.attention, zip(direct, ahead, behind, strict=True), strict=True):
            factor.grad = parts[0] + (parts[2] - parts[1]) / (2 * epsilon)
        self.upper_optimizer.step()
        self.upper_optimizer.zero_grad()
        self.clamp()

    @torch.no_grad()
    def shift(self, vector: list[Tensor], multiple: float) -> None:
        """Move the lower parameters along the vector."""
        torch._foreach_add_(self.lower, vector, alpha=multiple)

    @torch.no_grad()
    def clamp(self) -> None:
        """Clamp the attention to [0, 1]."""
        torch._foreach_clamp_min_(self.attention, 0.0)
        torch._foreach_clamp_max_(self.attention, 1.0)
