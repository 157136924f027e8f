"""Almost stochastic order: a descriptor, not a decision. It ignores the pairing, and 0.5 rejects too often.

Source: del Barrio et al. 2018; Dror et al. 2019. deepsig 1.2.8 is the reference for the numbers, except that its
correction for several comparisons goes the wrong way: ask here for confidence 1 - alpha / comparisons.
"""

import numpy
from numpy.typing import ArrayLike
from scipy import special

from results.stats.inputs import Matrix, Vector, proportion, vector


def violation_ratio(first: ArrayLike, second: ArrayLike, step: float = 0.005) -> float:
    """Share of the squared Wasserstein distance on which the first is the worse one: 0 if it dominates, 1 if dominated.

    (n,) and (m,) scores, higher is better; step: spacing of the quantile grid. Equal samples: 0.5. ValueError if empty
    or not finite.
    """
    ratios = _violation_ratios(vector(first, "first")[None], vector(second, "second")[None], step)
    return float(ratios[0])


def minimum_epsilon(
    first: ArrayLike,
    second: ArrayLike,
    confidence: float = 0.95,
    draws: int = 1000,
    step: float = 0.005,
    seed: int = 0,
) -> float:
    """eps_min, the upper confidence bound of the violation ratio, in [0, 1]; below 0.2 the first may be called better.

    Arguments as in violation_ratio; the bound's spread is bootstrapped. Dror et al. 2019.
    """
    one, other = vector(first, "first"), vector(second, "second")
    generator = numpy.random.default_rng(seed)
    resampled = [values[generator.integers(0, values.size, (draws, values.size))] for values in (one, other)]
    deviation = _violation_ratios(resampled[0], resampled[1], step).std()
    bound = violation_ratio(one, other, step) + deviation * special.ndtri(proportion(confidence, "confidence"))
    return float(numpy.clip(bound, 0.0, 1.0))


def _violation_ratios(first: Matrix, second: Matrix, step: float) -> Vector:
    grid = numpy.arange(proportion(step, "step"), 1, step)
    gap = _quantiles(second, grid) - _quantiles(first, grid)
    distance = (gap**2).sum(axis=1)
    # deepsig leaves the first grid point out of the violation and not out of the distance; so do we, to be comparable.
    violation = (numpy.maximum(gap[:, 1:], 0.0) ** 2).sum(axis=1)
    equal = distance == 0
    ratios: Vector = numpy.where(equal, 0.5, violation / numpy.where(equal, 1.0, distance))
    return ratios


def _quantiles(rows: Matrix, grid: Vector) -> Matrix:
    count = rows.shape[1]
    quantiles: Matrix = numpy.sort(rows, axis=1)[:, numpy.ceil(count * grid).astype(int) - 1]
    return quantiles
