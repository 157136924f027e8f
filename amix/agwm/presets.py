"""Named settings of the attention-guided mixup: as the released code runs it, and at a fraction of the cost."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from amix.agwm.method import AGWM, PAPER, AGWMConfig
from amix.agwm.split_search import AttentionRule
from amix.mixup.hypergradient import Estimator
from amix.training.registry import register


@dataclass(frozen=True)
class AsRunConfig(AGWMConfig):
    """The released code with Betty 0.2.0, the release it pins."""

    attention: AttentionRule = "as_run"
    xi: float | None = 1.0
    masks: Literal["common", "independent"] = "independent"


@register
class AGWMOfficial(AGWM):
    """The released code step by step, its bugs included.

    Per iteration two updates of the task weights on one batch, with the displacement of the finite difference left in
    between; Adam's moments wiped inside the first iteration; a new dropout mask for every pass; an implicit term
    without the learning rate, 1e3 to 1e5 times the direct one; decay after the update. See amix.agwm.released_code.
    Its options are under the names that AGWM's docstring lists.
    """

    name = "agwm_official"
    info = replace(
        AGWM.info,
        paper=f"{PAPER}; code at 7aa6a27 with betty 0.2.0",
        parity="matched: task weights and attention of whole searches, one of them in float32",
        cases=("agwm_trajectory*",),
        passes=AsRunConfig().mean_passes(),
        toy_settings={"splits": 1},
    )
    Config: ClassVar[type] = AsRunConfig


@dataclass(frozen=True)
class FastConfig(AGWMConfig):
    """Three splits, an attention step every fourth iteration, one perturbed pass each.

    The attention's learning rate is four times as large, so that it can move as far in a quarter of the steps.
    """

    splits: int = 3
    attention_every: int = 4
    attention_lr: float = 8e-3
    estimator: Estimator = "forward"
    point: Literal["before", "after"] = "before"


@register
class AGWMFast(AGWM):
    """The method as intended at less than five times the cost of plain finetuning (published recipe, 300 examples).

    Not a published setting; how its scores compare with the full method's is measured, not assumed.
    """

    name = "agwm_fast"
    Config: ClassVar[type] = FastConfig
    info = replace(
        AGWM.info,
        parity="no official code; the code is agwm's",
        cases=(),
        passes=FastConfig().mean_passes(),
    )
