"""Attention-guided weight mixup on any torch model, usable without the suite; needs torch alone.

WeightMixup holds the mixed layers, BilevelStep makes one lower and one upper step, HypergradientOptions chooses among
the estimators of the hypergradient.
"""

from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import HypergradientOptions
from amix.mixup.weight_mixup import WeightMixup

__all__ = ["BilevelStep", "HypergradientOptions", "WeightMixup"]
