"""How much a method's score depends on the seed. A failed run is data; a run lost to the machine is missing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy
from numpy.typing import ArrayLike, NDArray
from scipy import special

from results.stats.inputs import Matrix, Vector, pair, proportion, vector
from results.stats.signs import drawn_sums

ENUMERATED_TO = 17
DRAWS = 100_000
NORMAL_CONSISTENCY = 1 / special.ndtri(0.75)
"""Makes the median absolute deviation of normal values estimate their sd."""


@dataclass(frozen=True)
class Spread:
    """Spread of one method's scores on one task, in their unit; sd has ddof 1 and is nan for a single run."""

    mean: float
    sd: float
    median: float
    interquartile_range: float
    median_absolute_deviation: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class McNemar:
    """Exact two-sided p, and the numbers of seeds on which only the first and only the second method failed."""

    p: float
    only_first: int
    only_second: int


@dataclass(frozen=True)
class VarianceRatio:
    """log(sd of the first / sd of the second), infinite when one has no spread, and a two-sided p."""

    log_sd_ratio: float
    p: float


def spread(scores: ArrayLike) -> Spread:
    """Location and spread of (n,) scores. The median absolute deviation is scaled to the sd of normal values.

    ValueError if empty or not finite: score diverged runs as the majority class first.
    """
    values = vector(scores, "scores")
    lower, median, upper = numpy.quantile(values, (0.25, 0.5, 0.75))
    deviation = NORMAL_CONSISTENCY * numpy.median(numpy.abs(values - median))
    sd = values.std(ddof=1) if values.size > 1 else numpy.nan
    numbers = (values.mean(), sd, median, upper - lower, deviation, values.min(), values.max())
    return Spread(*map(float, numbers))


def failed(scores: ArrayLike, majority: float, tolerance: float) -> NDArray[numpy.bool_]:
    """(n,) True where a run ended at or below the majority-class score + tolerance, or diverged (nan).

    All three in one unit; higher is better. ValueError for a majority score that is not finite.
    """
    if not numpy.isfinite(majority):
        raise ValueError(f"majority: expected a finite score, got {majority}")
    values = numpy.asarray(scores, dtype=numpy.float64)
    return numpy.isnan(values) | (values <= majority + tolerance)


def wilson(successes: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, such as that of failed runs; not degenerate at 0 of n. Wilson 1927.

    successes may be a half-integer, for ties. ValueError for n < 1 or successes outside 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n and n >= 1, got {successes} of {n}")
    z = float(special.ndtri(0.5 + proportion(level, "level") / 2))
    share = float(successes) / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # Rounding leaves 1e-17 where the ends are exactly 0 and 1.
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == n else centre + half)


def mcnemar(first_failed: ArrayLike, second_failed: ArrayLike) -> McNemar:
    """Exact McNemar test that two methods fail equally often, over the seeds on which only one of them failed.

    Both are (n,) booleans, paired by seed. p = 1 without such seeds. ValueError if empty or of unequal length.
    """
    first, second = pair(first_failed, second_failed, "failures")
    only_first, only_second = int((first > second).sum()), int((second > first).sum())
    tail = float(special.bdtr(min(only_first, only_second), only_first + only_second, 0.5))
    return McNemar(min(1.0, 2 * tail), only_first, only_second)


def variance_permutation(first: ArrayLike, second: ArrayLike, seed: int = 0) -> VarianceRatio:
    """Paired permutation test of equal spread: scores minus their method's median, swapped within seeds.

    p = share of the 2^n swaps with |log variance ratio| at least that observed; above n = 17, (1 + hits) / (1 + draws)
    of 100,000 seeded swaps. It keeps its level when runs collapse, where the F test rejects a third of the time.
    ValueError if not finite, of unequal length, or for fewer than two pairs.
    """
    left, right = pair(first, second, "scores", smallest=2)
    observed = _log_ratio(left.var(ddof=1)[None], right.var(ddof=1)[None])[0] / 2
    left, right = left - numpy.median(left), right - numpy.median(right)
    exhaustive = left.size <= ENUMERATED_TO
    # Sums and sums of squares are linear in the swaps, so that no table of swapped scores is needed.
    moved = _swapped_sums((right - left, right**2 - left**2), None if exhaustive else seed)
    ratios = numpy.abs(_log_ratio(*_swapped_variances(left, right, *moved)))
    threshold = abs(_log_ratio(left.var(ddof=1)[None], right.var(ddof=1)[None])[0])
    hits = int((ratios >= threshold - 1e-9).sum())
    p = hits / ratios.size if exhaustive else (1 + hits) / (1 + ratios.size)
    return VarianceRatio(float(observed), float(p))


def _log_ratio(first: Vector, second: Vector) -> Vector:
    with numpy.errstate(divide="ignore", invalid="ignore"):
        ratio: Vector = numpy.log(first) - numpy.log(second)
    # Two methods without any spread have equal spread.
    return numpy.nan_to_num(ratio, nan=0.0, posinf=numpy.inf, neginf=-numpy.inf)


def _swapped_variances(left: Vector, right: Vector, moved: Vector, moved_squares: Vector) -> tuple[Vector, Vector]:
    # What a swap adds on the left it takes from the right.
    n = left.size
    sums = left.sum() + moved, right.sum() - moved
    squares = (left**2).sum() + moved_squares, (right**2).sum() - moved_squares
    # Scores without any spread must keep a variance of exactly zero in spite of rounding.
    noise = 1e-13 * ((left**2).sum() + (right**2).sum())
    first, second = ((square - total**2 / n) / (n - 1) for square, total in zip(squares, sums, strict=True))
    return numpy.where(first > noise, first, 0.0), numpy.where(second > noise, second, 0.0)


def _swapped_sums(changes: Sequence[Vector], seed: int | None) -> list[Vector]:
    """The sums of each (n,) change over the swapped seeds, for all swaps, or for those drawn from a seed."""
    if seed is None:
        return [_all_swaps(change.size) @ change for change in changes]
    return [(change.sum() + drawn_sums(change, DRAWS, seed)) / 2 for change in changes]


@cache
def _all_swaps(n: int) -> Matrix:
    # The first seed is never swapped: swapping the complement of a set only inverts the ratio.
    bits: Matrix = ((numpy.arange(2 ** (n - 1))[:, None] >> numpy.arange(n - 1, -1, -1)) & 1).astype(numpy.float64)
    return bits
