"""Confidence bands of tuning curves: how far the best of n trials may be from its estimate.

Settings drawn at random and independently give independent scores with some distribution function F, and the best of
n has F^n. A band that contains all of F with probability 1 - alpha therefore gives a band of the curve of the best of n
for every n at once (Lourie, Cho and He 2023, arXiv 2311.09480, "Show Your Work with Confidence"). Two bands of F:
Kolmogorov's, with the same distance everywhere (the exact critical distance, below the bound of Dvoretzky, Kiefer and
Wolfowitz), and one whose limits of every order statistic U_(i) ~ Beta(i, B - i + 1) cut off equal tails, with the tail
probability at which all of them hold together with probability 1 - alpha; it is narrower at the ends, which decide the
best of many trials. That probability is computed exactly, by following how many of B uniform numbers are below each
limit in turn. Ties only make the bands wider than necessary.

Trying a full grid is not random search: the band is then that of settings drawn at random from the grid's range.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy
from numpy.typing import ArrayLike
from scipy import special

from results.stats.inputs import Vector, proportion, vector

EQUAL_TAILED, KOLMOGOROV = "equal-tailed", "kolmogorov"
BANDS = (EQUAL_TAILED, KOLMOGOROV)


@dataclass(frozen=True)
class DistributionBand:
    """Band of a distribution function, constant between neighbouring scores.

    Attributes:
        scores: (B,) ascending.
        lower: (B + 1,) lower limit of F: below the first score, between the first and the second, ..., above the last.
        upper: (B + 1,) upper limit, likewise.
    """

    scores: Vector
    lower: Vector
    upper: Vector


@dataclass(frozen=True)
class CurveBand:
    """Band of a tuning curve at n = 1, 2, ..., within the bounds of the scores."""

    low: Vector
    high: Vector


def distribution_band(scores: ArrayLike, level: float = 0.95, kind: str = EQUAL_TAILED) -> DistributionBand:
    """A simultaneous confidence band of the distribution that the scores were drawn from.

    Args:
        scores: (B,), independent.
        level: Probability that the band contains the whole function.
        kind: One of BANDS.

    Returns:
        The band.

    Raises:
        ValueError: If empty or not finite, for a level outside (0, 1), or an unknown kind.
    """
    ordered = numpy.sort(vector(scores, "scores"))
    count, alpha = ordered.size, 1 - proportion(level, "level")
    if kind not in BANDS:
        raise ValueError(f"kind: expected one of {', '.join(BANDS)}, got {kind!r}")
    if kind == KOLMOGOROV:
        share, distance = numpy.arange(count + 1) / count, _critical_distance(count, alpha)
        return DistributionBand(ordered, numpy.maximum(share - distance, 0.0), numpy.minimum(share + distance, 1.0))
    low, high = _order_limits(count, _tail(count, alpha))
    # F is above the limit of the previous score and below that of the next one.
    return DistributionBand(ordered, numpy.concatenate(([0.0], low)), numpy.concatenate((high, [1.0])))


def expected_best_band(
    scores: ArrayLike,
    bounds: tuple[float, float],
    trials: int | None = None,
    level: float = 0.95,
    kind: str = EQUAL_TAILED,
) -> CurveBand:
    """Band of the mean of the best of n = 1..trials random trials, for scores within known bounds.

    Args:
        scores: (B,), one per trial, higher is better.
        bounds: Lowest and highest score possible; a mean has no band without them.
        trials: The largest n; None is B.
        level: Probability that the band contains the whole curve.
        kind: One of BANDS.

    Returns:
        E = highest - integral of F^n between the bounds, at both limits of F.

    Raises:
        ValueError: As in `distribution_band`, for no trial, or scores outside the bounds.
    """
    band = distribution_band(scores, level, kind)
    lowest, highest = bounds
    if not lowest <= band.scores[0] <= band.scores[-1] <= highest:
        raise ValueError(
            f"bounds: scores from {band.scores[0]} to {band.scores[-1]} are not within {lowest}, {highest}"
        )
    steps = numpy.diff(numpy.concatenate(([lowest], band.scores, [highest])))
    numbers = _numbers(band, trials)[:, None]
    return CurveBand(highest - band.upper**numbers @ steps, highest - band.lower**numbers @ steps)


def _numbers(band: DistributionBand, trials: int | None) -> Vector:
    count = band.scores.size if trials is None else trials
    if count < 1:
        raise ValueError(f"trials: at least 1 needed, got {count}")
    return numpy.arange(1.0, count + 1)


def _order_limits(count: int, tail: float) -> tuple[Vector, Vector]:
    index = numpy.arange(1.0, count + 1)
    low: Vector = special.betaincinv(index, count - index + 1, tail).astype(numpy.float64)
    # The upper limits mirror the lower ones.
    return low, 1 - low[::-1]


@lru_cache(maxsize=256)
def _critical_distance(count: int, alpha: float) -> float:
    # Imported here because scipy.stats takes longer to import than all the rest of this package.
    from scipy.stats import kstwo

    return float(kstwo.ppf(1 - alpha, count))


@lru_cache(maxsize=256)
def _tail(count: int, alpha: float) -> float:
    # Bonferroni's tail probability is too small and alpha / 2 too large; bisect between them.
    small, large = math.log(alpha / (2 * count) / 2), math.log(alpha / 2)
    for _ in range(50):
        middle = (small + large) / 2
        if _holding(*_order_limits(count, math.exp(middle))) >= 1 - alpha:
            small = middle
        else:
            large = middle
    return math.exp(small)


def _holding(low: Vector, high: Vector) -> float:
    """P(low_i <= U_(i) <= high_i for all i) for the order statistics of uniform numbers."""
    count = low.size
    marks = [(float(end), True) for end in low] + [(float(end), False) for end in high]
    # reached[j]: probability that j numbers are below the current mark and no limit is broken so far.
    reached = numpy.zeros(count + 1)
    reached[0] = 1.0
    before, passed_low, passed_high = 0.0, 0, 0
    numbers = numpy.arange(count + 1)
    for mark, is_low in sorted(marks):
        share = (mark - before) / (1 - before) if before < 1 else 0.0
        more = numbers[None, :] - numbers[:, None]
        ways = special.binom(count - numbers[:, None], numpy.maximum(more, 0))
        move = ways * share ** numpy.maximum(more, 0) * (1 - share) ** numpy.maximum(count - numbers[None, :], 0)
        reached = reached @ numpy.where(more >= 0, move, 0.0)
        # At most i - 1 numbers may be below low_i, at least i must be below high_i.
        if is_low:
            passed_low += 1
            reached[passed_low:] = 0.0
        else:
            passed_high += 1
            reached[:passed_high] = 0.0
        before = mark
    return float(reached.sum())
