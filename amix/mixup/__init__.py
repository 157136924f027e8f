"""Attention-guided weight mixup for any torch model; usable without the suite, needs only torch.

WeightMixup holds the mixed layers, BilevelStep takes one lower and one upper step, and HypergradientOptions selects the
estimator of the hypergradient.
"""

from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import HypergradientOptions
from amix.mixup.weight_mixup import WeightMixup

__all__ = ["BilevelStep", "HypergradientOptions", "WeightMixup"]
