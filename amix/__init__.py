"""Attention-guided weight mixup and what every finetuning method of the suite shares.

The mixup alone, which needs torch and nothing else, is WeightMixup, BilevelStep and HypergradientOptions. Further in:
specs (plain data about runs), mixup, models, data, training (the Method contract and the loop), agwm, runs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amix.mixup import BilevelStep, HypergradientOptions, WeightMixup

__all__ = ["BilevelStep", "HypergradientOptions", "WeightMixup"]


def __getattr__(name: str) -> Any:
    """Import the mixup, and torch with it, only when it is asked for: plans and tables need amix.specs alone."""
    if name in __all__:
        from amix import mixup

        return getattr(mixup, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
