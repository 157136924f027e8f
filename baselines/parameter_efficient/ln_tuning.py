"""LayerNorm tuning."""

from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from amix.models.architecture import backbone
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import PARITY, PeftMethod


@register
class LNTuning(PeftMethod):
    """LayerNorm tuning: only the gains and biases of the body's normalisation layers and the head train.

    Qi et al. (2022), section 3, through peft. lr is ours. Of all methods here it changes the function least.

    No official code was found. peft's options choose layers by name, which is not available here: all of them are
    tuned.
    """

    @dataclass(frozen=True)
    class Config:
        """lr: null uses the recipe's."""

        lr: float | None = 1e-3

    name = "ln_tuning"
    info = MethodInfo(
        paper="Qi et al., arXiv 2022; Zhao et al., ICLR 2024",
        year=2022,
        kind="parameter-efficient",
        parity=PARITY,
        grid={"lr": (5e-4, 1e-3, 2e-3, 5e-3)},
        toy_settings={"lr": 2e-2},
        toy_epochs=15,
    )

    @override
    def usual_targets(self, model: Model) -> list[str]:
        """All normalisation layers of the body.

        Raises:
            MethodError: If there are none.
        """
        inside = {id(module) for module in backbone(model).modules()}
        modules = {name: module for name, module in model.named_modules() if id(module) in inside}
        norms = [name for name, module in modules.items() if "norm" in type(module).__name__.lower()]
        if not norms:
            raise MethodError(f"{type(model).__name__} has no normalisation layer")
        return norms

    @override
    def settings(self, model: Model, fit: Fit) -> Any:
        """peft's configuration."""
        from peft import LNTuningConfig

        return LNTuningConfig(target_modules=self.targets(model))
