"""SAGE: larger steps for weights whose sensitivity is low or uncertain."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.models.architecture import blocks
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.optimizers import DecayAfterAdamW
from amix.training.registry import register


class SensitivityAdamW(DecayAfterAdamW):
    """AdamW with decay after the update, whose step is multiplied by U / (I^ + eps^2) in groups marked `sensitive`.

    Args:
        params: Parameter groups.
        beta3: Of the running mean I^ of the sensitivity.
        tensor_clip_norm: Largest gradient norm of each tensor; 0 for no clipping.
        decay_at_peak_lr: Whether weight decay uses the schedule's peak learning rate instead of the current one.
        options: Of DecayAfterAdamW.
    """

    def __init__(
        self,
        params: Iterable[dict[str, Any]],
        beta3: float,
        tensor_clip_norm: float = 0.0,
        decay_at_peak_lr: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(params, **options)
        self.beta3, self.tensor_clip_norm, self.decay_at_peak_lr = beta3, tensor_clip_norm, decay_at_peak_lr

    @override
    def _update(self, group: dict[str, Any], step: int, parameters: list[Tensor]) -> None:
        if self.tensor_clip_norm:
            for parameter in parameters:
                nn.utils.clip_grad_norm_(parameter, self.tensor_clip_norm)
        if group.get("sensitive", False):
            for parameter in parameters:  # Tensor by tensor, because foreach would not stay in the cache.
                self._sensitive_update(group, step, parameter)
        else:
            super()._update(group | {"weight_decay": 0.0}, step, parameters)
        if group["weight_decay"]:
            lr = group["initial_lr"] if self.decay_at_peak_lr else group["lr"]
            torch._foreach_mul_(parameters, 1 - lr * group["weight_decay"])

    def _sensitive_update(self, group: dict[str, Any], step: int, parameter: Tensor) -> None:
        beta1, beta2 = group["betas"]
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if "mean_sensitivity" not in state:
            state["mean_sensitivity"] = torch.zeros_like(parameter)
        first, second, mean = state["exp_avg"], state["exp_avg_sq"], state["mean_sensitivity"]
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        sensitivity = torch.mul(parameter, gradient).abs_()
        mean.lerp_(sensitivity, 1 - self.beta3)
        expected = mean / (1 - self.beta3**step)
        uncertainty = sensitivity.sub_(expected).abs_()
        move = uncertainty.div_(expected.add_(group["eps"] ** 2)).mul_(first)
        size = group["lr"] * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        parameter.addcdiv_(move, second.sqrt().add_(group["eps"]), value=-size)


@register
class SAGE(Method):
    """SAGE (AdamW form): each weight's step is multiplied by U / (I^ + eps^2), so that insensitive weights learn more.

    I = |theta o g|, I^ its bias-corrected running mean with beta3, U = |I - I^|; the factor is between 0 and
    max(1, beta3 / (1 - beta3)), and 0 at the first step. It applies to weights and biases of the linear layers in the
    Transformer blocks; LayerNorms, embeddings, pooler and head take plain Adam steps. Liang et al. (2022); official
    code: cliang1453/SAGE, module/bert_optim.py (UnstructAwareAdamW) and mt_dnn/model.py. Departs: weight decay follows
    the schedule (there it does not, bert_optim.py:559, 625; `decay_at_peak_lr`), and gradients are clipped by the
    recipe, all together (there inside the optimizer too, per tensor; `tensor_clip_norm`). Their runs take thousands of
    steps with 2 to 5 times the usual learning rate. Official options that change numbers (train.py): beta3 is `beta3`,
    adam_eps `epsilon`, grad_clipping `tensor_clip_norm`, global_grad_clipping the recipe's clip_norm, learning_rate
    `lr`; optimizer usadamaw is this form. Not here: usadamax (the Adamax of the published runs), and the options of
    multi-task and of adversarial training (`smart`).
    """

    @dataclass(frozen=True)
    class Config:
        """lr: null uses the recipe's. epsilon: Adam's, which also keeps the factor finite. Others: SensitivityAdamW."""

        beta3: float = 0.75
        lr: float | None = None
        epsilon: float = 1e-6
        tensor_clip_norm: float = 0.0
        decay_at_peak_lr: bool = False

        def __post_init__(self) -> None:
            if not 0 <= self.beta3 < 1:
                raise MethodError(f"SAGE needs beta3 in [0, 1), not {self.beta3}")

    name = "sage"
    info = MethodInfo(
        paper="Liang et al., ICLR 2022",
        year=2022,
        kind="subnetwork",
        parity="matched: the same tensors, and parameters, with decay_at_peak_lr",
        cases=("sage*",),
        grid={"beta3": (0.6, 0.75, 0.9), "lr": (2e-5, 5e-5, 1e-4)},
    )

    @override
    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Plain finetuning's groups, each divided into sensitive and ordinary parameters."""
        linears = [module for block in blocks(model) for module in block.modules() if isinstance(module, nn.Linear)]
        inside = {id(parameter) for linear in linears for parameter in linear.parameters()}
        changes = {} if self.config.lr is None else {"lr": self.config.lr}
        groups = []
        for group in super().param_groups(model, fit):
            for sensitive in (True, False):
                members = [parameter for parameter in group["params"] if (id(parameter) in inside) == sensitive]
                groups.append(group | changes | {"params": members, "sensitive": sensitive})
        return [group for group in groups if group["params"]]

    @override
    def optimizer(self, groups: Groups, fit: Fit) -> torch.optim.Optimizer:
        """AdamW with sensitivity-guided steps."""
        recipe, config = fit.recipe, self.config
        return SensitivityAdamW(
            groups, config.beta3, config.tensor_clip_norm, config.decay_at_peak_lr,
            lr=recipe.lr, betas=recipe.betas, eps=config.epsilon,
        )  # fmt: skip
