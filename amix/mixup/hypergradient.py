"""How the upper loss changes with the attention when the task weights take one step on the lower loss.

With W' = W - J dL1/dW (J: what the lower optimizer does to a gradient, see step_jacobian.step_response_)

    dL2/da = d - c      direct term    d = dL2/da at (W', a)
                        implicit term  c = (d2 L1 / da dW) v,   v = J u,   u = dL2/dW at (W', a)

Estimators of the implicit term:

    exact        Hessian-vector product by double backward
    central      (dL1/da at W + e v  -  dL1/da at W - e v) / 2e,  e = radius / |v|    (DARTS, Liu et al. 2019, eq. 8)
    forward      (dL1/da at W + e v  -  dL1/da at W) / e; the second gradient is that of the lower step itself
    first_order  none: c = 0

Passes per iteration, the lower step's included: 4 forward and backward (central), 3 (forward), 2 (first_order).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from amix.mixup.in_place import exchange
from amix.mixup.levels import Levels
from amix.mixup.sparse_rows import Offset, compact, kept
from amix.mixup.step_jacobian import Preconditioner
from amix.mixup.weight_mixup import WeightMixup

Estimator = Literal["central", "forward", "exact", "first_order"]
Loss = Callable[[], Tensor]
Gradients = Callable[..., Sequence[Tensor]]
"""torch.autograd.grad, or something with its arguments around it, e.g. to count passes."""


@dataclass(frozen=True)
class HypergradientOptions:
    """Which derivative is taken and how.

    point          `after`: mixed derivative at W' (as published); `before`: at W, where the lower gradient was taken
                   (with `identity` and no clipping, the true derivative of one step). Relative difference in our
                   reference cases: 2 to 8 per cent in norm. `before` keeps a copy of the lower parameters.
    preconditioner, xi   J: `identity` or `adam`, times xi, or times the learning rate of the step where xi is None.
    radius         e |v|, the length of the displacement (DARTS and the official code: 0.01). Perturbed passes in
                   bfloat16 hardly resolve it: run them in full precision (lower_loss(again=...)) or take 0.1.
    masks          `common`: the perturbed passes replay the dropout masks of the lower pass; `independent`: each
                   draws its own, as the official code does, and the difference of two masks is divided by 2e.

    Raises ValueError for an unknown word, a radius that is not positive, and for `forward` at `after`, where the lower
    gradient is not at hand and would cost the pass that `forward` saves.
    """

    estimator: Estimator = "central"
    point: Literal["before", "after"] = "after"
    preconditioner: Preconditioner = "adam"
    xi: float | None = None
    radius: float = 0.01
    masks: Literal["common", "independent"] = "common"

    def __post_init__(self) -> None:
        known = {
            "estimator": get_args(Estimator),
            "point": ("before", "after"),
            "preconditioner": get_args(Preconditioner),
            "masks": ("common", "independent"),
        }
        for field, words in known.items():
            if getattr(self, field) not in words:
                raise ValueError(f"{field} {getattr(self, field)!r} is unknown; known: {', '.join(words)}")
        if self.estimator == "forward" and self.point == "after":
            raise ValueError("the forward estimator reuses the gradient of the lower step: it needs point='before'")
        if self.radius <= 0:
            raise ValueError(f"the radius must be positive, not {self.radius}")


@dataclass(frozen=True)
class Hypergradient:
    """dL2/da = direct + implicit, per attention factor (implicit already carries its minus sign).

    upper_loss: detached scalar. displacement: e v by lower parameter name, None where the estimator is not `central`;
    epsilon: e, None where no perturbed pass was made. No number has been waited for: all are tensors on the device.
    """

    direct: list[Tensor]
    implicit: list[Tensor] | None
    upper_loss: Tensor
    displacement: dict[str, Offset] | None = None
    epsilon: Tensor | None = None

    def total(self) -> list[Tensor]:
        """The gradient for the attention's optimizer."""
        return self.direct if self.implicit is None else list(torch._foreach_add(self.direct, self.implicit))


@dataclass(frozen=True)
class LowerPass:
    """What an estimator needs of the lower step.

    loss: the lower loss anew, with the masks the options ask for. response_: multiplies u by J in place. start: copy
    of the lower parameters before the step (point `before`), else None. attention_gradient: dL1/da at W of the step
    itself (estimator `forward`), else None.
    """

    loss: Loss
    response_: Callable[[list[Tensor]], None]
    start: list[Tensor] | None = None
    attention_gradient: list[Tensor] | None = None


def hypergradient(
    mixup: WeightMixup | Levels,
    upper_loss: Loss,
    lower: LowerPass,
    options: HypergradientOptions,
    gradients: Gradients = torch.autograd.grad,
    restore: bool = True,
) -> Hypergradient:
    """Direct and implicit term at the weights the model now holds; leaves every weight as it was, to the bit.

    upper_loss and lower.loss: functions without arguments that run the model and return a scalar. restore False: the
    caller writes the effective weights itself, because the attention moves next (task weights and ordinary parameters
    are as they were in any case). Raises ValueError for `forward` without the lower step's start and gradient.
    """
    if options.estimator == "forward" and (lower.start is None or lower.attention_gradient is None):
        raise ValueError("the forward estimator needs the lower step's start and its gradient of the attention")
    effective: list[Tensor] = list(mixup.effective)
    if options.estimator == "first_order":
        loss = upper_loss()
        return Hypergradient(mixup.attention_gradients(_gradients(gradients, loss, effective)), None, loss.detach())
    direct, vector, value = _upper_gradients(mixup, upper_loss, gradients)
    lower.response_(list(vector.values()))
    if options.estimator == "exact":
        with _at(mixup, lower.start, None, restore):
            implicit = _exact(mixup, lower.loss, vector, gradients)
        return Hypergradient(direct, implicit, value)
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(vector.values()))))
    epsilon = options.radius / (norm + 1e-12)
    torch._foreach_mul_(list(vector.values()), epsilon)
    displacement: dict[str, Offset] = {mixed.name: vector.pop(mixed.name) for mixed in mixup.mixed}
    for name in mixup.ordinary:
        displacement[name] = compact(vector.pop(name))
    with _at(mixup, lower.start, displacement, restore):
        implicit = _difference(mixup, lower, displacement, epsilon, options.estimator, gradients)
    return Hypergradient(direct, implicit, value, displacement if options.estimator == "central" else None, epsilon)


def _gradients(gradients: Gradients, loss: Tensor, tensors: list[Tensor], create_graph: bool = False) -> list[Tensor]:
    """Gradients with zeros for what takes no part in the loss (a pooler that a mean-pooled head leaves out)."""
    return list(gradients(loss, tensors, allow_unused=True, materialize_grads=True, create_graph=create_graph))


def _upper_gradients(
    mixup: WeightMixup | Levels, upper_loss: Loss, gradients: Gradients
) -> tuple[list[Tensor], dict[str, Tensor], Tensor]:
    """dL2/da, dL2/dW by name of the lower parameter, and the loss."""
    loss = upper_loss()
    found = _gradients(gradients, loss, [*mixup.effective, *mixup.ordinary.values()])
    count = len(mixup.effective)
    direct = mixup.attention_gradients(found[:count])
    of_name = dict(zip(mixup.ordinary, found[count:], strict=True))
    for mixed, gradient in zip(mixup.mixed, found, strict=False):
        of_name[mixed.name] = gradient.mul_(mixed.task_share())
    return direct, {name: of_name[name] for name in mixup.lower}, loss.detach()


@contextmanager
def _at(
    mixup: WeightMixup | Levels, start: list[Tensor] | None, displacement: dict[str, Offset] | None, restore: bool
) -> Iterator[None]:
    """Inside: the lower parameters have the contents of start, where given, and may be moved along the displacement.

    Outside they are as they were. restore: whether the effective weights, if touched, are written anew on leaving;
    after an error they are in any case.
    """
    moved = start is not None or displacement is not None
    try:
        if start is not None:
            with _exchanged(list(mixup.lower.values()), start):
                mixup.write()
                yield
        elif displacement is not None:
            # The mixed weights need no copy: they are computed anew afterwards.
            with kept(mixup.ordinary, displacement):
                yield
        else:
            yield
    except BaseException:
        restore = True
        raise
    finally:
        if moved and restore:
            mixup.write()


@contextmanager
def _exchanged(parameters: list[Tensor], contents: list[Tensor]) -> Iterator[None]:
    exchange(parameters, contents)
    try:
        yield
    finally:
        exchange(parameters, contents)


def _difference(
    mixup: WeightMixup | Levels,
    lower: LowerPass,
    displacement: dict[str, Offset],
    epsilon: Tensor,
    estimator: Estimator,
    gradients: Gradients,
) -> list[Tensor]:
    """-c by a finite difference of dL1/da along the displacement e v."""
    effective: list[Tensor] = list(mixup.effective)
    mixup.shift(displacement, 1)
    if estimator == "forward":
        # There is no way back to be made, and the embeddings' part is as large as all mixed ones of a small encoder.
        for name in mixup.ordinary:
            del displacement[name]
    ahead = mixup.attention_gradients(_gradients(gradients, lower.loss(), effective), displacement, 1)
    if estimator == "forward":
        assert lower.attention_gradient is not None  # hypergradient() has refused it.
        difference = torch._foreach_sub(lower.attention_gradient, ahead)
        torch._foreach_div_(difference, epsilon)
        return list(difference)
    mixup.shift(displacement, -2)
    behind = mixup.attention_gradients(_gradients(gradients, lower.loss(), effective), displacement, -1)
    torch._foreach_sub_(behind, ahead)
    torch._foreach_div_(behind, 2 * epsilon)
    return behind


def _exact(mixup: WeightMixup | Levels, loss: Loss, vector: dict[str, Tensor], gradients: Gradients) -> list[Tensor]:
    """-c by double backward.

    With G = dL1/dW~ and s = (A o v, ordinary part of v): c = pull-back to a of (d2L1 s) + d/da <A(a) o v, G>.
    """
    tensors: list[Tensor] = [*(mixed.effective for mixed in mixup.mixed), *mixup.ordinary.values()]
    direction = [mixed.task_share() * vector[mixed.name] for mixed in mixup.mixed]
    direction += [vector[name] for name in mixup.ordinary]
    # The fused attention kernels have no second derivative; the plain one computes the same function.
    with sdpa_kernel(SDPBackend.MATH):
        first = _gradients(gradients, loss(), tensors, create_graph=True)
    slope = torch.stack([(g * s).sum() for g, s in zip(first, direction, strict=True)]).sum()
    second = _gradients(gradients, slope, list(mixup.effective))
    through_weights = mixup.attention_gradients(second)
    through_share = [
        part
        for mixed, gradient in zip(mixup.mixed, first, strict=False)
        for part in mixed.share_gradient(gradient.detach() * vector[mixed.name])
    ]
    implicit = torch._foreach_add(through_weights, through_share) if through_share else through_weights
    torch._foreach_neg_(implicit)
    return list(implicit)
