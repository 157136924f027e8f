"""Methods ranked over tasks: Friedman's test, Nemenyi's critical difference, and the bars of a diagram.

Blocks are tasks and values are means over seeds, since a seed is not a data set. Descriptive: mean ranks depend on
which other methods are in the pool (Benavoli et al. 2016), so the bars come from pairwise tests corrected by Holm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike, NDArray
from scipy import special

from results.stats.across_tasks import per_task, stratified_sign_flip
from results.stats.inputs import DECIMALS, Matrix, Vector, matrix, proportion
from results.stats.multiplicity import holm
from results.stats.paired import middle_ranks


@dataclass(frozen=True)
class Friedman:
    """Friedman's chi^2 and Iman and Davenport's F with their p-values, degrees of freedom, and Kendall's W."""

    chi_squared: float
    chi_squared_p: float
    f: float
    f_p: float
    degrees_of_freedom: tuple[int, int]
    kendall_w: float


def rank_table(scores: ArrayLike) -> Matrix:
    """(tasks, methods) ranks within each task, 1 for the highest score; equal scores share the mean of their ranks.

    scores: (tasks, methods), higher is better, compared after rounding to 9 decimals. ValueError for fewer than two
    methods, no task, or a value that is not finite: leave out tasks in which a method is missing.
    """
    rows = matrix(scores, "scores", columns=2).round(DECIMALS)
    return numpy.stack([middle_ranks(-row) for row in rows])


def mean_ranks(scores: ArrayLike) -> Vector:
    """(methods,) mean ranks over tasks, as in `rank_table`."""
    means: Vector = rank_table(scores).mean(axis=0)
    return means


def friedman(scores: ArrayLike, tie_correction: bool = True) -> Friedman:
    """Friedman's test of equal ranks, with Iman and Davenport's F = (N - 1) chi^2 / (N (k - 1) - chi^2).

    scores: (N tasks, k methods), N >= 2. tie_correction: divide chi^2 by 1 - sum(t^3 - t) / (N (k^3 - k)), as scipy
    does; False is the formula of Demsar 2006. If all methods are tied on every task, chi^2 = 0 and p = 1.
    Source: Friedman 1937; Iman and Davenport 1980. ValueError as in rank_table, or for a single task.
    """
    ranks = rank_table(matrix(scores, "scores", rows=2, columns=2))
    tasks, methods = ranks.shape
    chi_squared = 12 * tasks / (methods * (methods + 1)) * ((ranks.mean(axis=0) - (methods + 1) / 2) ** 2).sum()
    if tie_correction:
        untied = _share_untied(ranks)
        chi_squared = chi_squared / untied if untied > 0 else 0.0
    largest = tasks * (methods - 1)
    # Rounding must not push identical rankings past the largest possible value, where F is undefined.
    chi_squared = min(float(chi_squared), float(largest))
    f = (tasks - 1) * chi_squared / (largest - chi_squared) if chi_squared < largest else float("inf")
    freedom = methods - 1, (methods - 1) * (tasks - 1)
    f_p = float(special.fdtrc(*freedom, f)) if numpy.isfinite(f) else 0.0
    chi_squared_p = float(special.chdtrc(methods - 1, chi_squared))
    return Friedman(chi_squared, chi_squared_p, f, f_p, freedom, chi_squared / largest)


def critical_difference(methods: int, tasks: int, alpha: float = 0.05) -> float:
    """Nemenyi's critical difference of two mean ranks: q_alpha sqrt(k (k + 1) / (6 N)). Demsar 2006.

    q_alpha is the studentized range quantile over sqrt(2). ValueError for fewer than two methods or no task.
    """
    # Imported here because scipy.stats takes longer to import than all the rest of this package.
    from scipy.stats import studentized_range

    quantile = studentized_range.ppf(1 - proportion(alpha, "alpha"), methods, numpy.inf) / numpy.sqrt(2)
    return float(quantile * _rank_error(methods, tasks))


def pairwise_holm(scores: Sequence[ArrayLike], seed: int = 0) -> Matrix:
    """(methods, methods) p-values of the stratified sign flip, Holm-adjusted over all k (k - 1) / 2 pairs; diagonal 1.

    scores: one (methods, n_t) array per task, each column from one seed. ValueError without tasks, for fewer than two
    methods, if the number of methods differs between tasks, or for a value that is not finite.
    """
    tables = [matrix(task, f"scores of task {index}", rows=2) for index, task in enumerate(scores)]
    per_task([table[0] for table in tables], "scores")
    methods = {table.shape[0] for table in tables}
    if len(methods) != 1:
        raise ValueError(f"scores: every task needs the same methods, got {sorted(methods)} of them")
    count = methods.pop()
    pairs = zip(*numpy.triu_indices(count, 1), strict=True)
    p = [stratified_sign_flip([table[i] - table[j] for table in tables], seed).p for i, j in pairs]
    return _symmetric(count, holm(p))


def cliques(ranks: ArrayLike, alike: NDArray[numpy.bool_]) -> list[list[int]]:
    """Bars of a critical-difference diagram: maximal runs of neighbours, best first, in which no pair differs.

    Args:
        ranks: (methods,) mean ranks, 1 is best.
        alike: (methods, methods), True where two methods do not differ significantly, such as
            pairwise_holm(...) > alpha, or rank distances below the critical difference.

    Returns:
        Indices into `ranks` for each run of at least two methods.

    Raises:
        ValueError: If the shapes do not match.
    """
    values = numpy.asarray(ranks, dtype=numpy.float64)
    if alike.shape != (values.size, values.size):
        raise ValueError(f"alike: expected shape {(values.size, values.size)}, got {alike.shape}")
    order = numpy.argsort(values, kind="stable")
    runs: list[list[int]] = []
    reached = 0
    for start in range(order.size):
        end = start + 1
        while end < order.size and alike[order[end], order[start:end]].all():
            end += 1
        if end - start > 1 and end > reached:
            runs.append([int(index) for index in order[start:end]])
            reached = end
    return runs


def _rank_error(methods: int, tasks: int) -> float:
    if methods < 2 or tasks < 1:
        raise ValueError(f"at least two methods and one task needed, got {methods} and {tasks}")
    return float(numpy.sqrt(methods * (methods + 1) / (6 * tasks)))


def _share_untied(ranks: Matrix) -> float:
    tasks, methods = ranks.shape
    tied = sum(int((counts**3 - counts).sum()) for counts in (numpy.unique(r, return_counts=True)[1] for r in ranks))
    return 1 - tied / (tasks * (methods**3 - methods))


def _symmetric(size: int, upper: Vector) -> Matrix:
    table = numpy.ones((size, size))
    table[numpy.triu_indices(size, 1)] = upper
    return numpy.minimum(table, table.T)
