"""BEFT: only the biases of the value projections train."""

from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register
from baselines.parameter_efficient._peft import PARITY, PeftMethod, attention_targets


@register
class BEFT(PeftMethod):
    """BEFT: only the bias of every value projection and the head train.

    The paper (arXiv 2509.15974) asks which of the biases of query, key and value is worth training in the low-data
    regime and finds that it is the value's. Through peft's `beft`, which adds a vector, 0 at the start, to the
    projection's output and so to its bias. lr is ours: a few biases need a far larger one than full finetuning.
    Official code: whubaichuan/BEFT, with which we did not compare.

    Official options that change numbers (run_BEFT.py): bias-terms is `targets`, restricted to biases of linear layers
    (bitfit covers all); learning-rate is `lr`, which their code takes from a table by task, 1e-4 to 1e-3; epochs (16)
    and batch-size (16) are the recipe's; training-data-number is the suite's size; fine-tune-type as for bitfit.
    """

    @dataclass(frozen=True)
    class Config:
        """lr: null uses the recipe's. targets: last parts of module names; empty for the value projections."""

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
        toy_epochs=30,
    )

    @override
    def usual_targets(self, model: Model) -> list[str]:
        """The value projections."""
        return value_targets(model)

    @override
    def settings(self, model: Model, fit: Fit) -> Any:
        """peft's configuration."""
        from peft import BeftConfig

        return BeftConfig(target_modules=self.targets(model))


def value_targets(model: Model) -> list[str]:
    """Last part of the value projections' names.

    Raises:
        MethodError: If query, key and value are one matrix.
    """
    names = attention_targets(model)
    if len(names) != 2:
        raise MethodError(f"{type(model).__name__} has no separate value projection, only {names[0]}; set `targets`")
    return names[1:]
