"""AdamW with the weight decay after the update, as in transformers' former AdamW."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from typing_extensions import override


class DecayAfterAdamW(Optimizer):
    """AdamW as in transformers 4.24: bias-corrected Adam, with the weight decay after the update.

    W <- W - lr sqrt(1 - b2^n) / (1 - b1^n) m / (sqrt(s) + eps);  W <- W - lr decay W. torch's AdamW decays first and
    adds eps after the bias correction. The published search uses this one, the default of TrainingArguments at the
    time.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    @override
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        if closure is not None:
            raise ValueError("DecayAfterAdamW takes no closure")
        for group in self.param_groups:
            for step, parameters in self._by_step(group["params"]).items():
                self._update(group, step, parameters)

    def _by_step(self, parameters: list[Tensor]) -> dict[int, list[Tensor]]:
        """Group the parameters with a gradient by their number of updates, including this one."""
        groups: dict[int, list[Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
            state["step"] += 1
            groups.setdefault(state["step"], []).append(parameter)
        return groups

    def _update(self, group: dict[str, Any], step: int, parameters: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        gradients = [p.grad for p in parameters if p.grad is not None]
        first = [self.state[p]["exp_avg"] for p in parameters]
        second = [self.state[p]["exp_avg_sq"] for p in parameters]
        torch._foreach_lerp_(first, gradients, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
        denominators = torch._foreach_sqrt(second)
        torch._foreach_add_(denominators, group["eps"])
        size = group["lr"] * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        torch._foreach_addcdiv_(parameters, first, denominators, -size)
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
