"""BEFT: only the biases of the value projections train."""

from dataclasses import dataclass
from typing import Any

from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import PARITY, PeftMethod, attention_targets


@register
class BEFT(PeftMethod):
    """BEFT: of all weights of the body only the bias of every value projection trains, and the head.

    The paper (arXiv 2509.15974) asks which of the biases of query, key and value is worth training in the low-data
    regime and finds the value's. Through peft's `beft`, which adds a vector, 0 at the start, to the projection's output
    and so to its bias. lr is ours: a handful of biases needs far more than full finetuning's. Official code:
    whubaichuan/BEFT, not compared with.
    """

    @dataclass(frozen=True)
    class Config:
        """lr: null takes the recipe's. targets: endings of module names; empty for the value projections."""

        lr: float | None = 5e-3
        targets: tuple[str, ...] = ()

    name = "beft"
    info = MethodInfo(
        paper="BEFT, arXiv 2509.15974",
        year=2025,
        kind="parameter-efficient",
        parity=PARITY,
        grid={"lr": (1e-3, 5e-3, 2e-2)},
        toy_settings={
            "lr": 5e-2,
            "targets": ("intermediate.dense", "output.dense", "query", "value", "query_proj", "value_proj"),
        },
        toy_epochs=60,
    )

    def settings(self, model: Model, fit: Fit) -> Any:
        """The value projections."""
        from peft import BeftConfig

        return BeftConfig(target_modules=list(self.config.targets) or value_targets(model))


def value_targets(model: Model) -> list[str]:
    """The value projection's name among the two of an attention.

    Raises:
        MethodError: where query, key and value are one matrix.
    """
    names = attention_targets(model)
    if len(names) != 2:
        raise MethodError(f"{type(model).__name__} has no value projection of its own, but {names[0]}; name `targets`")
    return names[1:]
