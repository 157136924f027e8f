"""The derivative of the lower optimizer's step with respect to the gradient."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

Preconditioner = Literal["identity", "adam"]


@torch.no_grad()
def apply_step_jacobian_(
    vectors: Sequence[Tensor],
    parameters: Sequence[Tensor],
    optimizer: Optimizer,
    preconditioner: Preconditioner = "identity",
    xi: float | None = None,
    rates: Sequence[float] | None = None,
) -> None:
    """Multiply vectors, in place, by the distance that the optimizer's step moves the parameters per unit of gradient.

    identity  v = xi u: one step of gradient descent, W' = W - xi g. With xi None, its length is the learning rate: the
              true derivative of an SGD step, and the choice of DARTS (Liu et al. 2019, equation 7).
    adam      v_k = xi u_k sqrt(1 - b2^n) / (sqrt(b2 mean(s_k)) + eps) per tensor k, with Adam's second moment s_k after
              n updates: a step of Adam without momentum (b1 = 0), the second moment held fixed, one scale per tensor.
              With momentum the gradient of one batch moves the weights by (1 - b1) / (1 - b1^n) of that in the step
              itself (all of it at n = 1, about a tenth from n = 20 on with b1 = 0.9) and by the rest in later steps.

    The official code uses `adam` with xi = 1, without the learning rate (betty 0.2.0, darts.py and utils.py), which
    makes the implicit term 1 / lr times as long as with xi = lr. The b2 under the root is Betty's as well.

    Args:
        vectors: u, one tensor per parameter; becomes v, or 0 for a parameter that the optimizer does not hold.
        parameters: The lower parameters, in the order of the vectors.
        optimizer: The lower optimizer.
        preconditioner: See above.
        xi: See above; None: the learning rate.
        rates: Learning rate of each parameter group at the step; None: the optimizer's current ones.

    Raises:
        ValueError: The preconditioner is `adam` and the optimizer has no second moments, or the optimizer holds none
            of the parameters.
    """
    position = {id(parameter): index for index, parameter in enumerate(parameters)}
    if preconditioner == "adam" and not any("exp_avg_sq" in state for state in optimizer.state.values()):
        raise ValueError(f"the preconditioner 'adam' needs second moments, but {type(optimizer).__name__} has none")
    for number, group in enumerate(optimizer.param_groups):
        rate = group["lr"] if rates is None else rates[number]
        for parameter in group["params"]:
            index = position.pop(id(parameter), None)
            if index is None:
                continue
            scale: float | Tensor = rate if xi is None else xi
            if preconditioner == "adam":
                scale = scale * _adam_scale(optimizer, parameter, group)
            vectors[index].mul_(scale)
    if len(position) == len(parameters):
        raise ValueError("the optimizer holds none of these parameters, so its step moves none of them")
    for index in position.values():
        vectors[index].zero_()


def _adam_scale(optimizer: Optimizer, parameter: Tensor, group: dict[str, Any]) -> Tensor | float:
    """The scale of one tensor; 1 if the optimizer has no state for it yet (it has never had a gradient)."""
    state = optimizer.state.get(parameter)
    if not state:
        return 1.0
    beta2 = group["betas"][1]
    step = state["step"]
    updates = step.to(torch.float64) if isinstance(step, Tensor) else torch.tensor(float(step), dtype=torch.float64)
    correction = (1 - beta2**updates).sqrt().to(parameter)
    scale: Tensor = correction / ((beta2 * state["exp_avg_sq"].mean()).sqrt() + group["eps"])
    return scale
