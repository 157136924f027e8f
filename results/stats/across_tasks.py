"""One method against the reference over several tasks: two claims that must not be confused, each with its own test.

A claim about this benchmark (these tasks, other seeds) takes the stratified sign flip and the Welch-Satterthwaite
interval. A claim about tasks like these takes t_test and sign_flip on the task means, in which a task counts once
however many seeds it has. Pooling all (task, seed) pairs in one t-test is valid for neither.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike
from scipy import special

from results.stats.inputs import DECIMALS, Vector, proportion, vector
from results.stats.paired import SignFlip
from results.stats.signs import sign_pattern_p


@dataclass(frozen=True)
class WelchSatterthwaite:
    """The mean over tasks with its standard error, degrees of freedom, two-sided p and interval; nan where unknown."""

    mean: float
    standard_error: float = math.nan
    degrees_of_freedom: float = math.nan
    p: float = math.nan
    low: float = math.nan
    high: float = math.nan


def stratified_sign_flip(differences: Sequence[ArrayLike], seed: int = 0) -> SignFlip:
    """Sign-flip test of a zero mean over these tasks: one sign per (task, seed) block, equal weight for every task.

    Args:
        differences: One (n_t,) array per task, method minus reference.
        seed: Of the sign patterns, where they are drawn (as in `sign_flip`).

    Returns:
        The test; its `n` counts the blocks, its `mean` is the mean of the task means.

    Raises:
        ValueError: Without tasks, or if one is empty or not finite.
    """
    tasks = per_task(differences)
    p, floor = sign_pattern_p(numpy.concatenate([task / task.size for task in tasks]), seed)
    return SignFlip(p, floor, sum(task.size for task in tasks), float(task_means(tasks).mean()))


def welch_satterthwaite(differences: Sequence[ArrayLike], level: float = 0.95) -> WelchSatterthwaite:
    """Interval and test of the mean over these tasks, which may differ in spread and in number of seeds.

    v_t = s_t^2 / n_t; se^2 = sum v_t / N^2; df = (sum v_t)^2 / sum(v_t^2 / (n_t - 1)). The spread of a task with one
    seed is unknown, so that everything but the mean is nan; without any spread the interval is the mean itself.
    Source: Satterthwaite 1946; Welch 1947. ValueError as in `stratified_sign_flip`.
    """
    tasks = per_task(differences)
    quantile = 0.5 + proportion(level, "level") / 2
    mean = float(task_means(tasks).mean())
    counts = numpy.array([task.size for task in tasks])
    if counts.min() == 1:
        return WelchSatterthwaite(mean)
    variances = numpy.array([task.var(ddof=1) for task in tasks]) / counts
    if not variances.any():
        return WelchSatterthwaite(mean, 0.0, math.nan, 1.0 if mean == 0 else 0.0, mean, mean)
    error = float(numpy.sqrt(variances.sum()) / len(tasks))
    freedom = float(variances.sum() ** 2 / (variances**2 / (counts - 1)).sum())
    p = float(2 * special.stdtr(freedom, -abs(mean) / error))
    half = float(special.stdtrit(freedom, quantile)) * error
    return WelchSatterthwaite(mean, error, freedom, p, mean - half, mean + half)


def task_means(differences: Sequence[ArrayLike]) -> Vector:
    """(N,) mean difference of each task, the sample for a claim about tasks like these."""
    return numpy.array([task.mean() for task in per_task(differences)])


def wins_ties_losses(differences: ArrayLike) -> tuple[int, int, int]:
    """Numbers of differences (of seeds, or of task means) above, at and below zero, after rounding to 9 decimals."""
    values = vector(differences, "differences").round(DECIMALS)
    return int((values > 0).sum()), int((values == 0).sum()), int((values < 0).sum())


def per_task(values: Sequence[ArrayLike], name: str = "differences") -> list[Vector]:
    """One checked vector per task; ValueError without tasks, or if one is empty or not finite."""
    if len(values) == 0:
        raise ValueError(f"{name}: at least one task needed")
    return [vector(task, f"{name} of task {index}") for index, task in enumerate(values)]
