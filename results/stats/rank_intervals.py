"""Confidence intervals of ranks, from tests of all pairs.

A method's true rank is 1 plus the number of methods with a higher true mean; methods with equal true means share the
better rank. Its best possible rank is 1 plus the number of methods shown to be better; its worst one is the number of
methods less those shown to be worse (Mogstad, Romano, Shaikh and Wilhelm 2024, "Inference for Ranks", section 3; Al
Mohamad, Goeman and van Zwet 2022). They use simultaneous intervals of the differences; here each direction of a pair is
a hypothesis of its own, "not better", with half the two-sided sign-flip p, and Holm's step-down runs over all of them,
so that directions are controlled as well as differences.

Marginal: the interval of one method named beforehand covers its rank with probability 1 - alpha; the family is its
pairs. Simultaneous: all intervals together cover all ranks; the family is all pairs. Both are valid if each paired
difference is symmetric about its true mean.
"""

from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike, NDArray

from results.stats.inputs import Matrix, matrix, proportion
from results.stats.multiplicity import holm

Ranks = NDArray[numpy.int64]


@dataclass(frozen=True)
class RankIntervals:
    """Best and worst rank of every method, 1 the best: for each method alone, and for all at once."""

    low: Ranks
    high: Ranks
    low_simultaneous: Ranks
    high_simultaneous: Ranks


def rank_intervals(differences: ArrayLike, p_values: ArrayLike, alpha: float = 0.05) -> RankIntervals:
    """Rank intervals from the comparisons of all pairs.

    Args:
        differences: (methods, methods), row minus column; only signs count.
        p_values: (methods, methods), two-sided and uncorrected; the diagonal is not read.
        alpha: One minus the level, below 1/2.

    Returns:
        The intervals, method by method.

    Raises:
        ValueError: For fewer than two methods, tables that are not square or differ in shape, differences that do not
            change sign with the order, or p-values outside [0, 1].
    """
    gaps, p = _tables(differences, p_values)
    if proportion(alpha, "alpha") >= 0.5:
        raise ValueError(f"alpha: expected less than 0.5, got {alpha}")
    # No difference, or one in the other direction, is no evidence of being better.
    one_sided = numpy.where(gaps > 0, p / 2, 1.0)
    count = len(gaps)
    off = ~numpy.eye(count, dtype=bool)
    shown = numpy.zeros((count, count), dtype=bool)
    shown[off] = holm(one_sided[off]) <= alpha
    low, high = numpy.empty(count, dtype=numpy.int64), numpy.empty(count, dtype=numpy.int64)
    for method in range(count):
        others = numpy.arange(count) != method
        family = numpy.concatenate((one_sided[others, method], one_sided[method, others]))
        better, worse = numpy.split(holm(family) <= alpha, 2)
        low[method], high[method] = 1 + better.sum(), count - worse.sum()
    return RankIntervals(low, high, 1 + shown.sum(axis=0), count - shown.sum(axis=1))


def _tables(differences: ArrayLike, p_values: ArrayLike) -> tuple[Matrix, Matrix]:
    gaps, p = matrix(differences, "differences", 2, 2), matrix(p_values, "p_values", 2, 2)
    if gaps.shape[0] != gaps.shape[1] or gaps.shape != p.shape:
        raise ValueError(
            f"differences, p_values: expected two square tables of one shape, got {gaps.shape} and {p.shape}"
        )
    if (numpy.sign(gaps) != -numpy.sign(gaps.T)).any():
        raise ValueError("differences: entry (i, j) must be entry (j, i) with the other sign")
    return gaps, p
