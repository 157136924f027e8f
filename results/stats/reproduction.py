"""Our mean against a published one. A difference that is not significant is no reproduction: equivalence is tested."""

import math
from dataclasses import dataclass

from scipy import special

from results.stats.equivalence import equivalence_p
from results.stats.inputs import proportion

REPRODUCED = "reproduced"
NOT_REPRODUCED = "not reproduced"
TOO_LITTLE_DATA = "too little data to say"


@dataclass(frozen=True)
class Summary:
    """Mean and sd (ddof 1) of n runs, in points; the sd is None if a paper gives none."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Comparison:
    """Ours minus published, in points, and the verdict; everything else is nan if the spread of one side is unknown.

    p and low..high: Welch's t-test and its interval at 1 - alpha. equivalence_p: the larger of the two one-sided tests
    against +-margin, with its interval at 1 - 2 alpha.
    """

    difference: float
    verdict: str
    standard_error: float = math.nan
    degrees_of_freedom: float = math.nan
    p: float = math.nan
    low: float = math.nan
    high: float = math.nan
    equivalence_p: float = math.nan
    equivalence_low: float = math.nan
    equivalence_high: float = math.nan


def sample_sd(population_sd: float, n: int) -> float:
    """The sd of n runs with ddof 1, from the one with ddof 0 that numpy.std gives: times sqrt(n / (n - 1)).

    ValueError for n < 2, where the sd with ddof 1 does not exist.
    """
    if n < 2:
        raise ValueError(f"n: at least 2 needed, got {n}")
    return population_sd * math.sqrt(n / (n - 1))


def compare(ours: Summary, published: Summary, margin: float, alpha: float = 0.05) -> Comparison:
    """Welch's test and the two one-sided tests of equivalence, from summaries, with a verdict.

    The verdict is `reproduced` if the two are equivalent within the margin, else `not reproduced` if they differ
    significantly, else `too little data to say`, as it is if one side has fewer than two runs or no sd.
    Source: Welch 1947; Schuirmann 1987.

    Args:
        ours: Our runs.
        published: The paper's.
        margin: The difference in points that would not matter, declared beforehand.
        alpha: Level of both tests.

    Raises:
        ValueError: For a margin not above 0, or a negative sd.
    """
    proportion(alpha, "alpha")
    if margin <= 0:
        raise ValueError(f"margin: expected a number above 0, got {margin}")
    difference = ours.mean - published.mean
    variances = _variance_of_mean(ours), _variance_of_mean(published)
    if variances[0] is None or variances[1] is None or variances[0] + variances[1] == 0:
        return Comparison(difference, TOO_LITTLE_DATA)
    error = math.sqrt(variances[0] + variances[1])
    freedom = error**4 / (variances[0] ** 2 / (ours.n - 1) + variances[1] ** 2 / (published.n - 1))
    p = float(2 * special.stdtr(freedom, -abs(difference) / error))
    equivalent = equivalence_p(difference, error, freedom, margin)
    half = float(special.stdtrit(freedom, 1 - alpha / 2)) * error
    equivalence_half = float(special.stdtrit(freedom, 1 - alpha)) * error
    return Comparison(
        difference,
        _verdict(p, equivalent, alpha),
        error,
        freedom,
        p,
        difference - half,
        difference + half,
        equivalent,
        difference - equivalence_half,
        difference + equivalence_half,
    )


def _verdict(p: float, equivalence_p: float, alpha: float) -> str:
    if equivalence_p <= alpha:
        return REPRODUCED
    return NOT_REPRODUCED if p <= alpha else TOO_LITTLE_DATA


def _variance_of_mean(summary: Summary) -> float | None:
    if summary.sd is not None and summary.sd < 0:
        raise ValueError(f"sd: expected a number of at least 0, got {summary.sd}")
    if summary.sd is None or summary.n < 2 or math.isnan(summary.sd):
        return None
    return summary.sd**2 / summary.n
