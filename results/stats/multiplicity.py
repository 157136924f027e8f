"""Several comparisons at once: adjusted p-values, and the seeds that a test needs to survive the adjustment."""

import numpy
from numpy.typing import ArrayLike

from results.stats.inputs import Vector, proportion, vector


def holm(p_values: ArrayLike) -> Vector:
    """Holm's step-down adjusted p-values, in the order given; controls the family-wise error under any dependence.

    The i-th smallest of m is multiplied by m - i + 1, made monotone and capped at 1. Source: Holm 1979.

    Args:
        p_values: (m,), the whole family.

    Raises:
        ValueError: If empty, not finite or outside [0, 1]; leave out comparisons that were not made.
    """
    p = _family(p_values)
    order = numpy.argsort(p, kind="stable")
    stepped = p[order] * numpy.arange(p.size, 0, -1)
    return _in_given_order(numpy.maximum.accumulate(stepped), order)


def benjamini_hochberg(p_values: ArrayLike) -> Vector:
    """Benjamini and Hochberg's step-up q-values, in the order given; controls the false discovery rate.

    The i-th smallest of m is multiplied by m / i, made monotone from the largest down and capped at 1. ValueError as in
    `holm`. Source: Benjamini and Hochberg 1995.
    """
    p = _family(p_values)
    order = numpy.argsort(p, kind="stable")
    stepped = p[order] * p.size / numpy.arange(1, p.size + 1)
    return _in_given_order(numpy.minimum.accumulate(stepped[::-1])[::-1], order)


def smallest_sample(comparisons: int, alpha: float = 0.05) -> int:
    """Fewest seeds n with which a sign-flip test can be significant after Holm: comparisons * 2^(1-n) <= alpha.

    1 comparison: 6 seeds; 7: 9; 28: 11. ValueError for no comparison or alpha outside (0, 1).
    """
    if comparisons < 1:
        raise ValueError(f"comparisons: at least 1 needed, got {comparisons}")
    proportion(alpha, "alpha")
    n = 1
    while comparisons * 2.0 ** (1 - n) > alpha:
        n += 1
    return n


def _family(p_values: ArrayLike) -> Vector:
    p = vector(p_values, "p_values")
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"p_values: expected numbers between 0 and 1, got {p.min()} to {p.max()}")
    return p


def _in_given_order(ascending: Vector, order: numpy.ndarray) -> Vector:
    adjusted = numpy.empty_like(ascending)
    adjusted[order] = numpy.minimum(ascending, 1.0)
    return adjusted
