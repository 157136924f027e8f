"""Scores of cross-validation: folds share training rows, so their scores vary less than independent ones would."""

from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike
from scipy import special

from results.stats.inputs import proportion, vector


@dataclass(frozen=True)
class Resampled:
    """Mean of n fold scores or differences, its corrected standard error and interval, two-sided p of a zero mean."""

    mean: float
    standard_error: float
    low: float
    high: float
    p: float
    n: int


def corrected_t(values: ArrayLike, test_share: float, level: float = 0.95) -> Resampled:
    """Corrected resampled t-test and interval of a mean over the folds of repeated cross-validation.

    t = mean / sqrt((1/n + n_test/n_train) s^2) with n - 1 degrees of freedom, n counting all folds of all repeats.
    Nadeau and Bengio 2003, section 4.1: n_test/n_train stands for rho / (1 - rho), rho being the unknown correlation of
    two folds' scores; Bouckaert and Frank 2004 use it for repeated cross-validation. Its error rates for small data
    are in results/tables/cross-validation.csv.

    Args:
        values: (n,) differences of two methods on the same folds, or scores of one, any unit.
        test_share: n_test / n_train; 1/4 with five folds.
        level: Of the interval.

    Returns:
        Mean, error, interval and p; with a single fold all but the mean are nan. Without any spread p is 1 if the mean
        is zero, else 0.

    Raises:
        ValueError: If there are no values, one is not finite, or test_share is not positive.
    """
    scores = vector(values, "values")
    quantile = 0.5 + proportion(level, "level") / 2
    if not 0 < test_share < numpy.inf:
        raise ValueError(f"test_share: expected a positive number, got {test_share}")
    mean, nan = float(scores.mean()), float("nan")
    if scores.size == 1:
        return Resampled(mean, nan, nan, nan, nan, 1)
    error = float(numpy.sqrt((1 / scores.size + test_share) * scores.var(ddof=1)))
    half = float(special.stdtrit(scores.size - 1, quantile)) * error
    # Rounding errors of equal scores do not count as spread.
    if error <= 1e-12 * max(1.0, abs(mean)):
        p = 1.0 if abs(mean) <= 1e-12 else 0.0
    else:
        p = float(2 * special.stdtr(scores.size - 1, -abs(mean) / error))
    return Resampled(mean, error, mean - half, mean + half, p, int(scores.size))
