"""How large a difference is, in other units than points."""

from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike
from scipy import special

from results.stats.across_tasks import wins_ties_losses
from results.stats.inputs import vector
from results.stats.instability import wilson


@dataclass(frozen=True)
class Effect:
    """d_z: mean over sd (ddof 1) of the paired differences; g_z: the same without its small-sample bias."""

    d_z: float
    g_z: float


@dataclass(frozen=True)
class Winning:
    """Share of seeds won, ties counting half, with its interval."""

    probability: float
    low: float
    high: float

    @property
    def meaningful(self) -> bool:
        """Whether the interval is above 1/2 and reaches above 3/4 (Bouthillier et al. 2021)."""
        return self.low > 0.5 and self.high > 0.75


def effect(differences: ArrayLike) -> Effect:
    """Standardized mean of paired differences, (n,); not d_av, which pingouin calls cohen.

    nan for a single difference; without any spread 0 if all are zero, else infinite. ValueError if empty or not finite.
    """
    values = vector(differences, "differences")
    if values.size == 1:
        return Effect(float("nan"), float("nan"))
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    if sd == 0:
        limit = 0.0 if mean == 0 else float(numpy.copysign(numpy.inf, mean))
        return Effect(limit, limit)
    return Effect(mean / sd, hedges_correction(values.size - 1) * mean / sd)


def hedges_correction(degrees_of_freedom: int) -> float:
    """J = Gamma(v / 2) / (sqrt(v / 2) Gamma((v - 1) / 2)), exact; zero for v = 1, whose d has no mean. Hedges 1981."""
    if degrees_of_freedom < 1:
        raise ValueError(f"degrees_of_freedom: at least 1 needed, got {degrees_of_freedom}")
    half = degrees_of_freedom / 2
    return float(numpy.exp(special.gammaln(half) - special.gammaln(half - 0.5)) / numpy.sqrt(half))


def probability_of_winning(differences: ArrayLike, level: float = 0.95) -> Winning:
    """P(method > reference) on one seed, from paired differences (n,), ties counting half. Bouthillier et al. 2021.

    The interval is Wilson's with ties as half a win; theirs is a percentile bootstrap, which has zero width when every
    seed is won. ValueError if empty or not finite.
    """
    wins, ties, losses = wins_ties_losses(differences)
    n = wins + ties + losses
    return Winning((wins + ties / 2) / n, *wilson(wins + ties / 2, n, level))
