"""Descriptive statistics of many runs on many tasks, after rliable (Agarwal et al. 2021): for figures, not decisions.

Reimplemented because rliable 1.2.0 does not import under pandas 3, draws from numpy's global generator whatever seed
it is given, and resamples two methods independently although our runs are paired.
"""

from collections.abc import Sequence

import numpy
from numpy.typing import ArrayLike

from results.stats.across_tasks import per_task
from results.stats.inputs import Matrix, Vector, proportion, vector

DRAWS = 20_000


def interquartile_mean(scores: ArrayLike) -> float:
    """Mean of all runs of all tasks without the lowest and the highest quarter.

    scores: any shape. floor(size / 4) values are dropped at each end, as in scipy's trim_mean. ValueError if empty or
    not finite.
    """
    return float(_interquartile_means(vector(numpy.ravel(numpy.asarray(scores)), "scores")[None])[0])


def interquartile_mean_interval(
    scores: Sequence[ArrayLike], level: float = 0.95, draws: int = DRAWS, seed: int = 0, widened: bool = True
) -> tuple[float, float]:
    """Stratified percentile bootstrap interval of the interquartile mean: runs are resampled inside each task.

    scores: one (n_t,) array per task. widened: stretch deviations from a task's mean by sqrt(n_t / (n_t - 1)), without
    which nominal 95 % intervals cover about 90 % at n = 5; False gives rliable's interval.
    ValueError without tasks, or if one is empty or not finite.
    """
    return _quantiles(_resampled(per_task(scores, "scores"), draws, seed, widened), level)


def performance_profile(scores: Sequence[ArrayLike], thresholds: ArrayLike) -> Vector:
    """Share of runs above each threshold, averaged over tasks: (thresholds,). Agarwal et al. 2021.

    scores: one (n_t,) array per task. ValueError without tasks, or for an empty or not finite array.
    """
    tasks, levels = per_task(scores, "scores"), vector(thresholds, "thresholds")
    return numpy.mean([(task[:, None] > levels).mean(axis=0) for task in tasks], axis=0)


def _resampled(tasks: list[Vector], draws: int, seed: int, widened: bool) -> Vector:
    generator = numpy.random.default_rng(seed)
    parts = []
    for task in tasks:
        stretched = _widened(task) if widened else task
        parts.append(stretched[generator.integers(0, task.size, (draws, task.size))])
    return _interquartile_means(numpy.concatenate(parts, axis=1))


def _widened(task: Vector) -> Vector:
    # The mean of n resampled values has only (n - 1) / n of the right variance.
    if task.size == 1:
        return task
    widened: Vector = task.mean() + (task - task.mean()) * numpy.sqrt(task.size / (task.size - 1))
    return widened


def _interquartile_means(rows: Matrix) -> Vector:
    count = rows.shape[1]
    cut = count // 4
    means: Vector = numpy.sort(rows, axis=1)[:, cut : count - cut].mean(axis=1)
    return means


def _quantiles(values: Vector, level: float) -> tuple[float, float]:
    tail = (1 - proportion(level, "level")) / 2
    low, high = numpy.quantile(values, (tail, 1 - tail))
    return float(low), float(high)
