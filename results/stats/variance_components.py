"""Where the spread of scores comes from: a crossed design of two random factors, and what it says about seeds.

The design runs every subset seed with every seed of the rest (head, order, dropout), `runs` times each. The model is
y_ijr = m + a_i + b_j + c_ij + e_ijr, all effects random and independent. With one run of each combination the
interaction c and the difference e between repeats (zero if a run is deterministic given its seeds) are one component.
Components are estimated from mean squares (the method of moments: Searle, Casella and McCulloch 1992, chapter 4);
negative estimates are set to zero.

Intervals are generalised ones (Weerahandi 1993; for two-way layouts Burdick, Borror and Montgomery 2005): each mean
square is replaced by df MS / chi^2(df), which has the distribution of its expectation given the data, and a component,
or a share, is computed from each draw. They assume normal effects. Where runs collapse, intervals of shares cover a
little less often (in at least 85 % of the simulated designs, at a nominal 95 %), and that of the interaction's
variance, to which single collapses belong, far too seldom (in at most 85 %): see results/tables/variance-components.md.
A bootstrap over both factors would resample only five or ten levels, and its spread would be biased.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike

from results.stats.inputs import Vector, proportion

DRAWS = 10_000
SUBSET, REST, INTERACTION, REPEAT = "subset", "rest", "interaction", "repeat"


@dataclass(frozen=True)
class Component:
    """One source of variance.

    Attributes:
        variance: In squared units of the scores; at least zero.
        low: Lower end of its interval.
        high: Upper end.
        share: Of the variance of a single run in which every source is redrawn; nan if nothing varies.
        share_low: Lower end of its interval.
        share_high: Upper end.
    """

    variance: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float


@dataclass(frozen=True)
class MeanSquare:
    """A line of the analysis of variance: sum of squares over its degrees of freedom."""

    value: float
    degrees_of_freedom: int


def mean_squares(scores: ArrayLike) -> dict[str, MeanSquare]:
    """The analysis of variance of a balanced two-way design.

    Args:
        scores: (subsets, rests) or (subsets, rests, runs), at least 2 x 2 x 1: scores of one method, or paired
            differences of two, whose components are then those of the difference.

    Returns:
        Mean squares of SUBSET, REST, INTERACTION and, with several runs of each combination, REPEAT.

    Raises:
        ValueError: For another shape, or values that are not finite: a missing run leaves the design unbalanced.
    """
    y = numpy.asarray(scores, dtype=numpy.float64)
    if y.ndim == 2:
        y = y[:, :, None]
    if y.ndim != 3 or min(y.shape[:2]) < 2 or y.shape[2] < 1:
        raise ValueError(f"scores: expected at least 2 subsets x 2 rests (x runs), got shape {numpy.shape(scores)}")
    if not numpy.isfinite(y).all():
        raise ValueError("scores: every combination of subset and rest needs a finite score in every run")
    a, b, runs = y.shape
    cells, rows, columns, mean = y.mean(axis=2), y.mean(axis=(1, 2)), y.mean(axis=(0, 2)), y.mean()
    inner = cells - rows[:, None] - columns[None] + mean
    by_source = {
        SUBSET: MeanSquare(b * runs * float(((rows - mean) ** 2).sum()) / (a - 1), a - 1),
        REST: MeanSquare(a * runs * float(((columns - mean) ** 2).sum()) / (b - 1), b - 1),
        INTERACTION: MeanSquare(runs * float((inner**2).sum()) / ((a - 1) * (b - 1)), (a - 1) * (b - 1)),
    }
    if runs > 1:
        freedom = a * b * (runs - 1)
        by_source[REPEAT] = MeanSquare(float(((y - cells[:, :, None]) ** 2).sum()) / freedom, freedom)
    return by_source


def variance_components(scores: ArrayLike, level: float = 0.95, seed: int = 0) -> dict[str, Component]:
    """Variance of each source, its share of the total, and intervals of both.

    Args:
        scores: As in `mean_squares`.
        level: Of each interval.
        seed: Of the draws behind the intervals.

    Returns:
        SUBSET, REST and INTERACTION, which includes repeats if there is one run of each combination; otherwise also
        REPEAT.

    Raises:
        ValueError: As in `mean_squares`, and for a level outside (0, 1).
    """
    squares = mean_squares(scores)
    shape = numpy.shape(scores)
    runs = shape[2] if len(shape) == 3 else 1
    ends = 0.5 - proportion(level, "level") / 2, 0.5 + level / 2
    point = _components({name: numpy.array([one.value]) for name, one in squares.items()}, shape[0], shape[1], runs)
    generator = numpy.random.default_rng(seed)
    expected = {
        name: one.degrees_of_freedom * one.value / generator.chisquare(one.degrees_of_freedom, DRAWS)
        for name, one in squares.items()
    }
    drawn = _components(expected, shape[0], shape[1], runs)
    shares, drawn_shares = _shares(point), _shares(drawn)
    by_source = {}
    for name, variance in point.items():
        low, high = numpy.quantile(drawn[name], ends)
        share_low, share_high = numpy.quantile(drawn_shares[name], ends)
        by_source[name] = Component(
            float(variance[0]), float(low), float(high), float(shares[name][0]), float(share_low), float(share_high)
        )
    return by_source


def variance_of_mean(variances: Mapping[str, float], subsets: int, rests: int, runs: int = 1) -> float:
    """Variance of the mean over a crossed design with these numbers of seeds.

    Args:
        variances: Variance by source, as the `variance` of `variance_components`; a missing source counts as zero.
        subsets: Subset seeds.
        rests: Seeds of the rest, each with every subset.
        runs: Runs of each combination.

    Returns:
        subset / subsets + rest / rests + interaction / (subsets rests) + repeat / (subsets rests runs), which more
        seeds of the rest cannot bring below subset / subsets.

    Raises:
        ValueError: For a number below 1 or an unknown source.
    """
    divisors = {SUBSET: subsets, REST: rests, INTERACTION: subsets * rests, REPEAT: subsets * rests * runs}
    return _weighed(variances, divisors)


def variance_of_paired_mean(variances: Mapping[str, float], seeds: int) -> float:
    """Variance of the mean over seeds that each redraw every source: the sum of all variances over their number.

    No design has a smaller one for the same number of runs: a crossed design repeats some of the draws.
    ValueError as in `variance_of_mean`.
    """
    return _weighed(variances, dict.fromkeys((SUBSET, REST, INTERACTION, REPEAT), seeds))


def seeds_for(variances: Mapping[str, float], standard_error: float) -> int:
    """The fewest seeds, each redrawing every source, whose mean has at most this standard error.

    ValueError for a standard error that is not positive.
    """
    if not standard_error > 0:
        raise ValueError(f"standard_error: expected a positive number, got {standard_error}")
    total = variance_of_paired_mean(variances, 1)
    return max(1, int(numpy.ceil(total / standard_error**2 - 1e-9)))


def _components(squares: Mapping[str, Vector], subsets: int, rests: int, runs: int) -> dict[str, Vector]:
    repeat = squares.get(REPEAT)
    by_source = {
        SUBSET: (squares[SUBSET] - squares[INTERACTION]) / (rests * runs),
        REST: (squares[REST] - squares[INTERACTION]) / (subsets * runs),
        INTERACTION: squares[INTERACTION] if repeat is None else (squares[INTERACTION] - repeat) / runs,
    }
    if repeat is not None:
        by_source[REPEAT] = repeat
    return {name: numpy.maximum(values, 0.0) for name, values in by_source.items()}


def _shares(components: Mapping[str, Vector]) -> dict[str, Vector]:
    total = numpy.sum(list(components.values()), axis=0)
    # Without any spread shares are undefined.
    known = numpy.where(total > 0, total, numpy.nan)
    return {name: values / known for name, values in components.items()}


def _weighed(variances: Mapping[str, float], divisors: Mapping[str, int]) -> float:
    unknown = [name for name in variances if name not in divisors]
    if unknown or min(divisors.values()) < 1:
        raise ValueError(
            f"expected variances of {', '.join(divisors)} and numbers of at least 1, got {', '.join(variances)} and "
            f"{sorted(set(divisors.values()))}"
        )
    return float(sum(variance / divisors[name] for name, variance in variances.items()))
