"""One bi-level iteration: a step of the task weights on one batch, a step of the attention on another.

    mixup = WeightMixup(model)
    lower = torch.optim.AdamW(mixup.lower.values(), lr=2e-5)
    upper = torch.optim.AdamW(mixup.attention, lr=2e-3, weight_decay=0.0)
    step = BilevelStep(mixup, lower, upper)
    for batch, held_out in batches:
        step(lambda: model(**batch).loss, lambda: model(**held_out).loss)
    model = mixup.export()

In a training loop of one's own that already does loss, backward and optimizer step, the four parts of an iteration
are called from it: lower_loss, pull_back, before_lower_step and, after the step, attention_step.

The lower step must be that of one lower_loss: to accumulate over several batches, do it inside that function; do not
scale the loss. Enter torch.autocast inside the two functions, not around the whole step: its cache of cast weights
would outlive the weights' changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from amix.mixup.hypergradient import Gradients, Hypergradient, HypergradientOptions, Loss, LowerPass, hypergradient
from amix.mixup.in_place import RandomState
from amix.mixup.levels import Levels
from amix.mixup.step_jacobian import step_response_
from amix.mixup.weight_mixup import WeightMixup


class BilevelStep:
    """The bi-level iteration over a mixup, or over Levels, with any optimizer for either level.

    lower holds mixup.lower (task weights and ordinary parameters) or a part of it, upper holds mixup.attention. The
    options' default preconditioner needs a lower optimizer with Adam's second moments; with another one, ask for
    `identity`. clip_norm: largest global norm of the lower gradient. The response of the lower step
    (HypergradientOptions) takes no account of clipping, nor does the official code. gradients: replaces
    torch.autograd.grad, e.g. to count passes; in data-parallel training, whose wrappers average only what backward()
    leaves, it has to return the means over the processes (amix.training.data_parallel.averaged), or each process moves
    an attention of its own. attention_l1: weight of a penalty on the attention in the upper loss (penalised). Raises
    ValueError when lower holds no task weight.
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
        self._held = [parameter for group in lower.param_groups for parameter in group["params"]]
        if not {id(task) for task in mixup.task} & {id(parameter) for parameter in self._held}:
            raise ValueError(
                "the lower optimizer holds no task weight: give it mixup.lower.values(), not the model's parameters"
            )
        self.mixup, self.lower, self.upper = mixup, lower, upper
        self.options = options or HypergradientOptions()
        self.clip_norm = clip_norm
        self.gradients = gradients
        self.attention_l1 = attention_l1
        self._again: Loss | None = None
        self._start: list[Tensor] | None = None
        self._attention_gradient: list[Tensor] | None = None
        self._rates: list[float] = []
        self._stepped = False

    def __call__(self, lower_loss: Loss, upper_loss: Loss, again: Loss | None = None) -> Hypergradient:
        """One whole iteration; lower_loss and upper_loss run the model and return a scalar; again: see lower_loss()."""
        self._clear_gradients()
        self.lower_loss(lower_loss, again).backward()
        self.pull_back()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._held, self.clip_norm)
        self.before_lower_step()
        self.lower.step()
        self._clear_gradients()
        return self.attention_step(upper_loss)

    def _clear_gradients(self) -> None:
        """Of all lower parameters, those that the optimizer does not hold included, and of the model."""
        for parameter in (*self.mixup.lower.values(), *self.mixup.effective):
            parameter.grad = None

    def lower_loss(self, loss: Loss, again: Loss | None = None) -> Tensor:
        """The lower loss; remembers how to compute it again under the same dropout masks.

        again: what the perturbed passes compute, where that is not loss (e.g. in full precision). Raises RuntimeError
        when gradients of an earlier backward pass are left: their derivative would be missing.
        """
        left = (parameter.grad for parameter in (*self.mixup.effective, *self._held))
        if any(gradient is not None and bool(gradient.any()) for gradient in left):
            raise RuntimeError(
                "gradients of an earlier backward pass are left: call zero_grad() of the model and of the lower "
                "optimizer before lower_loss; to accumulate over batches, sum them inside one loss function"
            )
        self._again = again or loss
        if self.options.masks == "common" and self.options.estimator != "first_order":
            state = RandomState.capture(*{parameter.device for parameter in self.mixup.lower.values()})
            self._again = partial(_replay, state, self._again)
        return loss()

    def pull_back(self) -> None:
        """After the backward pass: the model's gradients become those of the task weights."""
        reuse = self.options.estimator == "forward"
        self.mixup.pull_back(attention=reuse)
        if reuse:
            self._attention_gradient = [_taken(factor) for factor in self.mixup.attention]

    def before_lower_step(self) -> None:
        """Before the optimizer moves the task weights: remember what the derivative of that step needs."""
        self._stepped = True
        self._rates = [group["lr"] for group in self.lower.param_groups]
        if self.options.point == "before" and self.options.estimator != "first_order":
            self._start = [parameter.detach().clone() for parameter in self.mixup.lower.values()]

    def attention_step(self, upper_loss: Loss) -> Hypergradient:
        """After the lower step: write the new weights, take the hypergradient, step and clamp the attention."""
        self.mixup.write()
        found = self.hypergradient(upper_loss, restore=False)
        for factor, gradient in zip(self.mixup.attention, found.total(), strict=True):
            factor.grad = gradient
        self.upper.step()
        self.upper.zero_grad()
        self.mixup.clamp()
        self.mixup.write()
        return found

    def hypergradient(self, upper_loss: Loss, restore: bool = True) -> Hypergradient:
        """The hypergradient at the weights the model holds, after a lower step made through this object.

        restore: see amix.mixup.hypergradient.hypergradient.
        """
        if self._again is None:
            raise RuntimeError(
                "there was no lower step yet: call lower_loss, pull_back and before_lower_step around it"
            )
        if self.options.estimator != "first_order" and not self._stepped:
            raise RuntimeError(
                "the derivative belongs to a lower step that this object has seen, once: "
                "call before_lower_step before each, and take one hypergradient after it"
            )
        self._stepped = False
        start, self._start = self._start, None
        lower = LowerPass(self._again, self._response, start, self._attention_gradient)
        found = hypergradient(self.mixup, upper_loss, lower, self.options, self.gradients, restore)
        return penalised(found, self.mixup.attention, self.attention_l1) if self.attention_l1 else found

    def _response(self, vectors: list[Tensor]) -> None:
        parameters = list(self.mixup.lower.values())
        options = self.options
        step_response_(vectors, parameters, self.lower, options.preconditioner, options.xi, self._rates)


@torch.no_grad()
def penalised(found: Hypergradient, attention: Sequence[Tensor], strength: float) -> Hypergradient:
    """The hypergradient of L2 + strength sum_k mean |a_k| over the attention factors a_k.

    The mean is over the entries of a factor, so that large matrices weigh no more than small ones, as in the released
    code (run_glue_mlo.py, Outer.training_step: `use_l1`, `L1factor`). The penalty depends on the attention alone: it
    adds strength sign(a_k) / size(a_k) to the direct term, and nothing to the implicit one.
    """
    pairs = zip(found.direct, attention, strict=True)
    direct = [one + strength / factor.numel() * factor.sign() for one, factor in pairs]
    penalty = torch.stack([factor.abs().mean() for factor in attention]).sum()
    return replace(found, direct=direct, upper_loss=found.upper_loss + strength * penalty)


def _replay(state: RandomState, loss: Callable[[], Tensor]) -> Tensor:
    with state.replayed():
        return loss()


def _taken(factor: nn.Parameter) -> Tensor:
    """The gradient of a factor, removed from it; zero when its module took no part in the loss."""
    gradient, factor.grad = factor.grad, None
    return torch.zeros_like(factor) if gradient is None else gradient
