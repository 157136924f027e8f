"""How large a difference is, beside whether there is one. Points come first; these are in other units."""

from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike
from scipy import special

from results.stats.across_tasks import wins_ties_losses
from results.stats.inputs import Matrix, vector
from results.stats.instability import wilson


@dataclass(frozen=True)
class Effect:
    """d_z: mean over sd (ddof 1) of the paired differences; g_z: the same without its small-sample bias."""

    d_z: float
    g_z: float


@dataclass(frozen=True)
class Winning:
    """Share of seeds won, ties half, with its interval."""

    probability: float
    low: float
    high: float

    @property
    def meaningful(self) -> bool:
        """Bouthillier et al. 2021: surely above 1/2, and possibly above 3/4."""
        return self.low > 0.5 and self.high > 0.75


@dataclass(frozen=True)
class Practical:
    """Posterior probabilities that the mean difference is above the margin, inside +-margin, and below -margin."""

    better: float
    equal: float
    worse: float


def effect(differences: ArrayLike) -> Effect:
    """Standardized mean of paired differences, (n,); not d_av, which pingouin calls cohen.

    One difference: nan. Without any spread: 0 if all are zero, else infinite. ValueError if empty or not finite.
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
    """P(method > reference) on one seed, from paired differences (n,), ties half. Bouthillier et al. 2021.

    The interval is Wilson's with ties as half a win; theirs is a percentile bootstrap, which has no width at all when
    every seed is won. ValueError if empty or not finite.
    """
    wins, ties, losses = wins_ties_losses(differences)
    n = wins + ties + losses
    return Winning((wins + ties / 2) / n, *wilson(wins + ties / 2, n, level))


def probability_of_practical_difference(differences: ArrayLike, margin: float) -> Practical:
    """Posterior of the mean difference under the flat prior, split at +-margin.

    The posterior is t(n - 1) at the mean with scale sd / sqrt(n): Benavoli et al. 2017, without the
    correlation of cross-validation folds. margin: the largest difference that does not matter, in the unit of the
    differences, >= 0. One difference: nan. ValueError if empty, not finite, or for a negative margin.
    """
    values = vector(differences, "differences")
    if margin < 0:
        raise ValueError(f"margin: expected a number of at least 0, got {margin}")
    if values.size == 1:
        return Practical(float("nan"), float("nan"), float("nan"))
    mean, scale = float(values.mean()), float(values.std(ddof=1) / numpy.sqrt(values.size))
    if scale == 0:
        return Practical(float(mean > margin), float(abs(mean) <= margin), float(mean < -margin))
    better = float(special.stdtr(values.size - 1, (mean - margin) / scale))
    worse = float(special.stdtr(values.size - 1, (-margin - mean) / scale))
    return Practical(better, max(0.0, 1 - better - worse), worse)


def bayesian_signed_rank(
    differences: ArrayLike, margin: float, prior: float = 0.5, draws: int = 50_000, seed: int = 0
) -> Practical:
    """Bayesian signed-rank test over tasks: how often each of better, equal, worse is the most probable of the three.

    differences: (N,), one per task. Dirichlet weights over the tasks and one pseudo-task of weight `prior` with
    difference zero; a pair of tasks votes by its Walsh average against +-margin. Source: Benavoli et al. 2017, as in
    baycomp 1.0.3, which rounds nothing: choose a margin that no difference equals. ValueError if empty, not
    finite, or for a negative margin.
    """
    values = numpy.concatenate((numpy.zeros(1), vector(differences, "differences")))
    if margin < 0 or prior <= 0:
        raise ValueError(f"margin must be at least 0 and prior above 0, got {margin} and {prior}")
    concentration = numpy.concatenate(([prior], numpy.ones(values.size - 1)))
    weights = numpy.random.default_rng(seed).dirichlet(concentration, draws)
    sums = values[:, None] + values
    better = ((weights @ _above(sums, 2 * margin)) * weights).sum(axis=1)
    worse = ((weights @ _above(-sums, 2 * margin)) * weights).sum(axis=1)
    shares = numpy.stack((better, 1 - better - worse, worse), axis=1)
    most_probable = numpy.bincount(shares.argmax(axis=1), minlength=3) / draws
    return Practical(*map(float, most_probable))


def _above(values: Matrix, threshold: float) -> Matrix:
    # A value at the threshold votes half for either side.
    return (values > threshold) + (values == threshold) / 2
