"""Expected best of n trials of tuning: what a budget buys. Select on dev, report on test."""

import numpy
from numpy.typing import ArrayLike

from results.stats.inputs import Vector, vector


def expected_best_without_replacement(scores: ArrayLike) -> Vector:
    """(B,) expected best of n = 1..B trials, unbiased: sum v_(i) C(i-1, n-1) / C(B, n).

    scores: (B,), one per trial. Source: Tang et al. 2020. ValueError if empty or not finite.
    """
    ordered = numpy.sort(vector(scores, "scores"))
    count = ordered.size
    # P(the i-th smallest is the best of n), from the largest down, by ratios of neighbours: no binomial overflows.
    best = numpy.empty(count)
    for n in range(1, count + 1):
        index = numpy.arange(count, n, -1)
        ratios = numpy.concatenate(([1.0], (index - n) / (index - 1)))
        best[n - 1] = ordered[::-1][: ratios.size] @ (n / count * numpy.cumprod(ratios))
    return best
