"""One bi-level iteration: a step of the task weights on one batch, a step of the attention on another.

    mixup = WeightMixup(model)
    lower = torch.optim.AdamW(mixup.lower.values(), lr=2e-5)
    upper = torch.optim.AdamW(mixup.attention, lr=2e-3, weight_decay=0.0)
    step = BilevelStep(mixup, lower, upper)
    for batch, held_out in batches:
        step(lambda: model(**batch).loss, lambda: model(**held_out).loss)
    model = mixup.export()

A training loop that already computes the loss and calls backward and the optimizer can call the four parts of an
iteration itself: lower_loss, pull_back, before_lower_step and, after the optimizer's step, attention_step.

Each lower step must belong to one lower_loss: to accumulate gradients over several batches, sum their losses inside
that function, and do not scale the loss. The other losses may also return several scalars that add up to the loss, one
for each part of a batch that would not fit into memory (amix.mixup.hypergradient.Loss). Enter torch.autocast inside the
two loss functions, not around the whole step: otherwise its cached casts of the weights would be stale once the weights
change.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from amix.mixup.hypergradient import (
    Gradients,
    Hypergradient,
    HypergradientOptions,
    Loss,
    LowerPass,
    hypergradient,
    parts_of,
)
from amix.mixup.in_place import RandomState
from amix.mixup.levels import Levels
from amix.mixup.step_jacobian import apply_step_jacobian_
from amix.mixup.weight_mixup import WeightMixup


class BilevelStep:
    """The bi-level iteration over a mixup, or over Levels, with any optimizer for either level.

    Args:
        mixup: The mixup over the model, or two levels of ordinary parameters.
        lower: An optimizer of mixup.lower (task weights and ordinary parameters) or of part of it. The default
            preconditioner needs Adam's second moments; with an optimizer that has none, choose `identity`.
        upper: An optimizer of mixup.attention.
        options: How the hypergradient is estimated.
        clip_norm: Largest global norm of the lower gradient. The hypergradient ignores clipping, as does the official
            code.
        gradients: A replacement for torch.autograd.grad, e.g. to count passes. In data-parallel training, where
            wrappers average only the gradients of backward(), it must average over the processes
            (amix.training.data_parallel.averaged); otherwise the attention differs from process to process.
        attention_l1: Weight of a penalty on the attention in the upper loss (see penalised).

    Raises:
        ValueError: lower holds no task weight.
    """

    def __init__(
        self,
        mixup: WeightMixup | Levels,
        lower: torch.optim.Optimizer,
        upper: torch.optim.Optimizer,
        options: HypergradientOptions | None = None,
        clip_norm: float | None = None,
        gradients: Gradients = torch.autograd.grad,
        attention_l1: float = 0.0,
    ) -> None:
        self._parameters = [parameter for group in lower.param_groups for parameter in group["params"]]
        if not {id(task) for task in mixup.task} & {id(parameter) for parameter in self._parameters}:
            raise ValueError(
                "the lower optimizer holds no task weight: give it mixup.lower.values(), not the model's parameters"
            )
        self.mixup, self.lower, self.upper = mixup, lower, upper
        self.options = options or HypergradientOptions()
        self.clip_norm = clip_norm
        self.gradients = gradients
        self.attention_l1 = attention_l1
        self._perturbed_loss: Loss | None = None
        self._start: list[Tensor] | None = None
        self._attention_gradient: list[Tensor] | None = None
        self._rates: list[float] = []
        self._stepped = False

    def __call__(
        self, lower_loss: Callable[[], Tensor], upper_loss: Loss, perturbed_loss: Loss | None = None
    ) -> Hypergradient:
        """Run one whole iteration.

        Args:
            lower_loss: Runs the model on a training batch and returns a scalar.
            upper_loss: Runs the model on a held-out batch.
            perturbed_loss: See lower_loss().

        Returns:
            The hypergradient with which the attention was moved.
        """
        self._clear_gradients()
        self.lower_loss(lower_loss, perturbed_loss).backward()
        self.pull_back()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._parameters, self.clip_norm)
        self.before_lower_step()
        self.lower.step()
        self._clear_gradients()
        return self.attention_step(upper_loss)

    def _clear_gradients(self) -> None:
        """Clear the gradients of the model and of all lower parameters, including those the optimizer does not hold."""
        for parameter in (*self.mixup.lower.values(), *self.mixup.effective):
            parameter.grad = None

    def lower_loss(self, loss: Callable[[], Tensor], perturbed_loss: Loss | None = None) -> Tensor:
        """Compute the lower loss, and remember how to recompute it with the same dropout masks.

        If the batch goes through the model in parts, call this for the first one, with a perturbed_loss of all parts.

        Args:
            loss: Runs the model on a training batch and returns a scalar.
            perturbed_loss: What the perturbed passes compute, if not loss (e.g. the same in full precision).

        Raises:
            RuntimeError: Gradients of an earlier backward pass are left; the hypergradient would not account for them.
        """
        left = (parameter.grad for parameter in (*self.mixup.effective, *self._parameters))
        if any(gradient is not None and bool(gradient.any()) for gradient in left):
            raise RuntimeError(
                "gradients of an earlier backward pass are left: call zero_grad() of the model and of the lower "
                "optimizer before lower_loss; to accumulate over batches, sum them inside one loss function"
            )
        self._perturbed_loss = perturbed_loss or loss
        if self.options.masks == "common" and self.options.estimator != "first_order":
            state = RandomState.capture(*{parameter.device for parameter in self.mixup.lower.values()})
            self._perturbed_loss = partial(_replay, state, self._perturbed_loss)
        return loss()

    def pull_back(self) -> None:
        """Turn the model's gradients into those of the task weights; call it after the backward pass."""
        reuse = self.options.estimator == "forward"
        self.mixup.pull_back(attention=reuse)
        if reuse:
            self._attention_gradient = [_pop_gradient(factor) for factor in self.mixup.attention]

    def before_lower_step(self) -> None:
        """Remember what the derivative of the lower step needs; call it just before the optimizer's step."""
        self._stepped = True
        self._rates = [group["lr"] for group in self.lower.param_groups]
        if self.options.point == "before" and self.options.estimator != "first_order":
            self._start = [parameter.detach().clone() for parameter in self.mixup.lower.values()]

    def attention_step(self, upper_loss: Loss) -> Hypergradient:
        """Write the stepped weights, compute the hypergradient, and step and clamp the attention."""
        self.mixup.write()
        result = self.hypergradient(upper_loss, restore=False)
        for factor, gradient in zip(self.mixup.attention, result.total(), strict=True):
            factor.grad = gradient
        self.upper.step()
        self.upper.zero_grad()
        self.mixup.clamp()
        self.mixup.write()
        return result

    def hypergradient(self, upper_loss: Loss, restore: bool = True) -> Hypergradient:
        """Compute the hypergradient at the model's current weights, after a lower step taken through this object.

        Args:
            upper_loss: Runs the model on a held-out batch.
            restore: See amix.mixup.hypergradient.hypergradient.

        Raises:
            RuntimeError: No lower step was recorded, or its hypergradient has already been taken.
        """
        if self._perturbed_loss is None:
            raise RuntimeError(
                "no lower step yet: take one, with lower_loss, pull_back and before_lower_step called around it"
            )
        if self.options.estimator != "first_order" and not self._stepped:
            raise RuntimeError(
                "each hypergradient needs a lower step of its own: "
                "call before_lower_step before each, and take one hypergradient after it"
            )
        self._stepped = False
        start, self._start = self._start, None
        lower = LowerPass(self._perturbed_loss, self._response, start, self._attention_gradient)
        result = hypergradient(self.mixup, upper_loss, lower, self.options, self.gradients, restore)
        return penalised(result, self.mixup.attention, self.attention_l1) if self.attention_l1 else result

    def _response(self, vectors: list[Tensor]) -> None:
        parameters = list(self.mixup.lower.values())
        options = self.options
        apply_step_jacobian_(vectors, parameters, self.lower, options.preconditioner, options.xi, self._rates)


@torch.no_grad()
def penalised(unpenalised: Hypergradient, attention: Sequence[Tensor], strength: float) -> Hypergradient:
    """Return the hypergradient of L2 + strength sum_k mean |a_k|, from that of L2; a_k are the attention factors.

    The mean is over the entries of a factor, so that large matrices weigh no more than small ones, as in the released
    code (run_glue_mlo.py, Outer.training_step: `use_l1`, `L1factor`). The penalty depends only on the attention: it
    adds strength sign(a_k) / size(a_k) to the direct term, and nothing to the implicit one.
    """
    pairs = zip(unpenalised.direct, attention, strict=True)
    direct = [gradient + strength / factor.numel() * factor.sign() for gradient, factor in pairs]
    penalty = torch.stack([factor.abs().mean() for factor in attention]).sum()
    return replace(unpenalised, direct=direct, upper_loss=unpenalised.upper_loss + strength * penalty)


def _replay(state: RandomState, loss: Loss) -> Iterator[Tensor]:
    with state.replayed():
        yield from parts_of(loss)


def _pop_gradient(factor: nn.Parameter) -> Tensor:
    """Remove and return the gradient of a factor; zero if its module was not used in the loss."""
    gradient, factor.grad = factor.grad, None
    return torch.zeros_like(factor) if gradient is None else gradient
