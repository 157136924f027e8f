"""Presets of the method: the released code as it runs, and a version at a fraction of the cost."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from amix.agwm.method import AGWM, PAPER, AGWMConfig
from amix.agwm.split_search import AttentionRule
from amix.mixup.hypergradient import Estimator
from amix.training.registry import register


@dataclass(frozen=True)
class ReleasedCodeConfig(AGWMConfig):
    """Settings of the released code with Betty 0.2.0, the release it pins."""

    attention: AttentionRule = "as_run"
    xi: float | None = 1.0
    masks: Literal["common", "independent"] = "independent"


@register
class AGWMOfficial(AGWM):
    """The released code step by step, including its bugs.

    Each iteration updates the task weights twice on one batch and leaves the displacement of the finite difference in
    between; the first one also wipes Adam's moments. Every pass draws a new dropout mask. The implicit term lacks the
    learning rate and is 1e3 to 1e5 times as long as the direct one. Weights decay after the update. See
    amix.agwm.released_code. Official options that change numbers: under the names that the docstring of AGWM lists.
    """

    name = "agwm_official"
    info = replace(
        AGWM.info,
        paper=f"{PAPER}; code at 7aa6a27 with betty 0.2.0",
        parity="matched: task weights and attention of whole searches, one of them in float32",
        cases=("agwm_trajectory*",),
        passes=ReleasedCodeConfig().mean_passes(),
        toy_settings={"splits": 1},
    )
    Config: ClassVar[type] = ReleasedCodeConfig


@dataclass(frozen=True)
class FastConfig(AGWMConfig):
    """One split, an attention step every fourth iteration, and one perturbed pass per attention step.

    The attention's learning rate is four times as large, so that it can move as far in a quarter of the steps.
    """

    splits: int = 1
    attention_every: int = 4
    attention_lr: float = 8e-3
    estimator: Estimator = "forward"
    point: Literal["before", "after"] = "before"


@register
class AGWMFast(AGWM):
    """The method as intended at 2.2 times the passes of plain finetuning (published recipe, 300 examples).

    Not a published setting, so that there is no official code; how its scores compare with those of the full method is
    measured, not assumed (suite agwm-one-split). Up to November 2026 it searched three splits, which cost 4.6 times the
    passes; suites with such runs say `splits: 3`.
    """

    name = "agwm_fast"
    Config: ClassVar[type] = FastConfig
    info = replace(
        AGWM.info,
        parity="no official code; the code is agwm's",
        cases=(),
        passes=FastConfig().mean_passes(),
    )
