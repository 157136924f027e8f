"""Attention-guided weight mixup, and what all finetuning methods of the suite share.

WeightMixup, BilevelStep and HypergradientOptions are the mixup on its own; they need only torch. The subpackages are
specs (plain data about runs), mixup, models, data, training (the Method contract and the loop), agwm and runs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amix.mixup import BilevelStep, HypergradientOptions, WeightMixup

__all__ = ["BilevelStep", "HypergradientOptions", "WeightMixup"]


def __getattr__(name: str) -> Any:
    """Import the mixup, and torch with it, on first use: plans and tables need only amix.specs."""
    if name in __all__:
        from amix import mixup

        return getattr(mixup, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
