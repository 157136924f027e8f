"""One cell of a table: a method against the reference over the same seeds. The protocol's test is the sign flip."""

from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike
from scipy import special

from results.stats.inputs import DECIMALS, Vector, proportion, vector
from results.stats.signs import sign_pattern_p, sums_of_subsets


@dataclass(frozen=True)
class SignFlip:
    """Two-sided p; floor, the smallest p that n differences can give; their number; their mean, in their unit."""

    p: float
    floor: float
    n: int
    mean: float

    @property
    def exact(self) -> bool:
        """Whether every sign pattern was counted; a p from drawn patterns cannot be as small as one of 2^(n - 1)."""
        return self.floor <= 2.0 ** (1 - self.n)


@dataclass(frozen=True)
class Wilcoxon:
    """Two-sided p; the sum of the ranks of the positive differences; the number of differences other than zero."""

    p: float
    positive_ranks: float
    n: int


def sign_flip(differences: ArrayLike, seed: int = 0) -> SignFlip:
    """Exact sign-flip (Fisher-Pitman) permutation test of a zero mean of paired differences.

    p = share of the 2^n sign patterns with |mean| >= |observed mean|: exact up to n = 40; above, exact if the scores
    are on a lattice, else by 100,000 seeded draws: see `exact`. With n < 6 no p can reach 0.05: see `floor`.
    Source: Fisher 1935; Dror et al. 2018.

    Args:
        differences: (n,), method minus reference, seed by seed, any unit. Zeros are kept, as they affect the mean.
        seed: Of the drawn patterns.

    Raises:
        ValueError: If empty or not finite.
    """
    values = vector(differences, "differences")
    p, floor = sign_pattern_p(values, seed)
    return SignFlip(p, floor, values.size, float(values.mean()))


def t_interval(differences: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Student's t interval of the mean: mean -+ t(n - 1) sd / sqrt(n), sd with ddof 1, in the unit of the differences.

    (nan, nan) for a single difference. ValueError if empty or not finite.
    """
    values = vector(differences, "differences")
    quantile = 0.5 + proportion(level, "level") / 2
    if values.size == 1:
        return float("nan"), float("nan")
    half = special.stdtrit(values.size - 1, quantile) * _standard_error(values)
    return float(values.mean() - half), float(values.mean() + half)


def t_test(differences: ArrayLike) -> float:
    """Two-sided p of the paired t-test, reported next to the sign flip as a sensitivity check.

    nan for a single difference; without any spread 1 if all are zero, else 0. ValueError if empty or not finite.
    """
    values = vector(differences, "differences")
    if values.size == 1:
        return float("nan")
    error, mean = _standard_error(values), abs(values.mean())
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * special.stdtr(values.size - 1, -mean / error))


def wilcoxon(differences: ArrayLike) -> Wilcoxon:
    """Exact Wilcoxon signed-rank test, reported next to the sign flip as a sensitivity check.

    Differences are rounded to 9 decimals, zeros dropped, ties given their mean rank, and p is conditional on these
    ranks. `wilcoxon(method="exact")` of scipy 1.17 ignores ties and lets noise break those of unrounded floats.
    If all are zero, p = 1 and n = 0. ValueError if empty or not finite.
    """
    values = vector(differences, "differences").round(DECIMALS)
    values = values[values != 0]
    ranks = middle_ranks(numpy.abs(values))
    positive = float(ranks[values > 0].sum())
    if values.size == 0:
        return Wilcoxon(1.0, positive, 0)
    # Twice a mean rank is an integer, so the sums are on a lattice.
    share = sums_of_subsets(numpy.rint(2 * ranks).astype(numpy.int64))
    centre = ranks.sum()
    doubled_sums = numpy.arange(share.size)
    extreme = numpy.abs(doubled_sums - centre) >= abs(2 * positive - centre)
    return Wilcoxon(min(1.0, float(share[extreme].sum())), positive, values.size)


def middle_ranks(values: Vector) -> Vector:
    """Ranks 1..n from the smallest value up; equal values share the mean of their ranks."""
    _, inverse, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    last = numpy.cumsum(counts)
    middle: Vector = last - (counts - 1) / 2
    return middle[inverse]


def _standard_error(values: Vector) -> float:
    return float(values.std(ddof=1) / numpy.sqrt(values.size))
