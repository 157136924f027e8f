"""The hypergradient: derivative of the upper loss with respect to the attention, through one step on the lower loss.

With W' = W - J dL1/dW (J: the lower optimizer's map from gradient to step, see step_jacobian.apply_step_jacobian_)

    dL2/da = d - c      direct term    d = dL2/da at (W', a)
                        implicit term  c = (d2 L1 / da dW) v,   v = J u,   u = dL2/dW at (W', a)

Estimators of the implicit term:

    exact        Hessian-vector product by double backward
    central      (dL1/da at W + e v  -  dL1/da at W - e v) / 2e,  e = radius / |v|    (DARTS, Liu et al. 2019, eq. 8)
    forward      (dL1/da at W + e v  -  dL1/da at W) / e; the second gradient is that of the lower step itself
    first_order  none: c = 0

Forward and backward passes per iteration, including the lower step's: 4 (central), 3 (forward), 2 (first_order).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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
Loss = Callable[[], Tensor | Iterable[Tensor]]
"""Runs the model on a batch and returns its loss: a scalar, or scalars that add up to it, one per part of the batch.

Each scalar is differentiated before the next one is asked for, so that only one part's graph is in memory.
"""
Gradients = Callable[..., Sequence[Tensor]]
"""torch.autograd.grad, or a wrapper with the same arguments, e.g. to count passes."""


@dataclass(frozen=True)
class HypergradientOptions:
    """Which hypergradient is computed, and how.

    Args:
        estimator: The estimator of the implicit term, see the module's docstring.
        point: `after`: mixed derivative at W' (as published); `before`: at W, where the lower gradient was taken (with
            `identity` and without clipping, the true derivative of one step). They differ by 2 to 8 per cent in norm
            in our reference cases. `before` keeps a copy of the lower parameters.
        preconditioner: J is `identity` or `adam`, times xi.
        xi: Scale of J; None: the learning rate of the lower step.
        radius: e |v|, the length of the displacement (0.01 in DARTS and the official code). bfloat16 hardly resolves
            it: run the perturbed passes in full precision (lower_loss(perturbed_loss=...)), or choose 0.1.
        masks: `common`: the perturbed passes replay the dropout masks of the lower pass; `independent`: each draws its
            own, as in the official code, so that the effect of different masks is divided by 2e as well.

    Raises:
        ValueError: An option is unknown, the radius is not positive, or the estimator is `forward` and the point is
            `after`: the lower gradient there is unknown, and computing it would cost the pass that `forward` saves.
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

    All values are tensors on the device, so that nothing has to wait for it.

    Attributes:
        direct: The direct term, one tensor per attention factor.
        implicit: The implicit term, likewise; None for `first_order`.
        upper_loss: Detached scalar.
        displacement: e v by lower parameter name; None unless the estimator is `central`.
        epsilon: e; None if there was no perturbed pass.
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
    """What an estimator needs to know about the lower step.

    Attributes:
        loss: Recomputes the lower loss, with the masks that the options ask for.
        response_: Multiplies u by J in place.
        start: Copy of the lower parameters before the step (point `before`), else None.
        attention_gradient: dL1/da at W, from the step itself (estimator `forward`), else None.
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
    """Compute direct and implicit term at the model's current weights; leaves every weight bit-identical.

    Args:
        mixup: The mixup over the model, or two levels of ordinary parameters.
        upper_loss: Runs the model on a held-out batch.
        lower: What is known about the lower step.
        options: How the hypergradient is estimated.
        gradients: A replacement for torch.autograd.grad.
        restore: Whether to restore the effective weights; False if the caller writes them anyway because the attention
            moves next. Task weights and ordinary parameters are always restored.

    Raises:
        ValueError: The estimator is `forward` and lower has no start or no gradient of the attention.
    """
    if options.estimator == "forward" and (lower.start is None or lower.attention_gradient is None):
        raise ValueError("the forward estimator needs the lower step's start and its gradient of the attention")
    effective: list[Tensor] = list(mixup.effective)
    if options.estimator == "first_order":
        found, value = gradients_of(upper_loss, effective, gradients)
        return Hypergradient(mixup.attention_gradients(found), None, value)
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


def parts_of(loss: Loss) -> Iterator[Tensor]:
    """Yield the scalars that add up to a loss."""
    value = loss()
    yield from (value,) if isinstance(value, Tensor) else value


def gradients_of(
    loss: Loss, tensors: list[Tensor], gradients: Gradients = torch.autograd.grad
) -> tuple[list[Tensor], Tensor]:
    """Return the gradients of a loss with respect to tensors, and its detached value.

    Gradients are zero for tensors that the loss does not use (e.g. a pooler that a mean-pooling head ignores).
    """
    found: list[Tensor] = []
    values = []
    for part in parts_of(loss):
        found = _added(found, _gradients(gradients, part, tensors))
        values.append(part.detach())
    return found, sum_of(values)


def sum_of(parts: list[Tensor]) -> Tensor:
    """Return the sum of the detached parts of a loss; of a single one, itself."""
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum()


def _gradients(gradients: Gradients, loss: Tensor, tensors: list[Tensor], create_graph: bool = False) -> list[Tensor]:
    return list(gradients(loss, tensors, allow_unused=True, materialize_grads=True, create_graph=create_graph))


def _added(sums: list[Tensor], terms: list[Tensor]) -> list[Tensor]:
    # Out of place, as autograd may return one tensor for two inputs.
    for position, total in enumerate(sums):
        terms[position] = total + terms[position]
    return terms


def _upper_gradients(
    mixup: WeightMixup | Levels, upper_loss: Loss, gradients: Gradients
) -> tuple[list[Tensor], dict[str, Tensor], Tensor]:
    """dL2/da, dL2/dW by name of the lower parameter, and the loss."""
    all_gradients, value = gradients_of(upper_loss, [*mixup.effective, *mixup.ordinary.values()], gradients)
    count = len(mixup.effective)
    direct = mixup.attention_gradients(all_gradients[:count])
    by_name = dict(zip(mixup.ordinary, all_gradients[count:], strict=True))
    for mixed, gradient in zip(mixup.mixed, all_gradients, strict=False):
        by_name[mixed.name] = gradient.mul_(mixed.task_share())
    return direct, {name: by_name[name] for name in mixup.lower}, value


@contextmanager
def _at(
    mixup: WeightMixup | Levels, start: list[Tensor] | None, displacement: dict[str, Offset] | None, restore: bool
) -> Iterator[None]:
    """Set the lower parameters to start, if given, and allow moving them along the displacement; undo both on leaving.

    restore: whether the effective weights, if changed, are rewritten on leaving; after an error they always are.
    """
    moved = start is not None or displacement is not None
    try:
        if start is not None:
            with _exchanged(list(mixup.lower.values()), start):
                mixup.write()
                yield
        elif displacement is not None:
            # The mixed weights need no copy: they are recomputed afterwards.
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
        # It is not needed again, and the embeddings' part is as large as all mixed ones of a small encoder.
        for name in mixup.ordinary:
            del displacement[name]
    ahead = mixup.attention_gradients(gradients_of(lower.loss, effective, gradients)[0], displacement, 1)
    if estimator == "forward":
        assert lower.attention_gradient is not None  # hypergradient() checked it.
        difference = torch._foreach_sub(lower.attention_gradient, ahead)
        torch._foreach_div_(difference, epsilon)
        return list(difference)
    mixup.shift(displacement, -2)
    behind = mixup.attention_gradients(gradients_of(lower.loss, effective, gradients)[0], displacement, -1)
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
    first: list[Tensor] = []
    second: list[Tensor] = []
    # Fused attention kernels have no second derivative; the math kernel computes the same function.
    with sdpa_kernel(SDPBackend.MATH):
        for part in parts_of(loss):
            found = _gradients(gradients, part, tensors, create_graph=True)
            slope = torch.stack([(g * s).sum() for g, s in zip(found, direction, strict=True)]).sum()
            second = _added(second, _gradients(gradients, slope, list(mixup.effective)))
            first = _added(first, [gradient.detach() for gradient in found])
    through_weights = mixup.attention_gradients(second)
    through_share = [
        of_factor
        for mixed, gradient in zip(mixup.mixed, first, strict=False)
        for of_factor in mixed.share_gradient(gradient * vector[mixed.name])
    ]
    implicit = torch._foreach_add(through_weights, through_share) if through_share else through_weights
    torch._foreach_neg_(implicit)
    return list(implicit)
