"""Scores of cross-validation: folds share training rows, so that their scores vary less than independent ones would."""

from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike
from scipy import special

from results.stats.inputs import proportion, vector


@dataclass(frozen=True)
class Resampled:
    """Mean of n fold scores or differences, its corrected standard error and interval, p of a zero mean (two-sided)."""

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
        test_share: n_test / n_train, 1/4 with five folds.
        level: of the interval.

    Returns:
        Mean, error, interval and p; of one fold the mean alone, the rest nan. Without any spread p is 1 where the mean
        is zero, else 0.

    Raises:
        ValueError: If there are no values, one is not finite, or test_share is not positive.
    """
    found = vector(values, "values")
    quantile = 0.5 + proportion(level, "level") / 2
    if not 0 < test_share < numpy.inf:
        raise ValueError(f"test_share: expected a positive number, got {test_share}")
    mean, nan = float(found.mean()), float("nan")
    if found.size == 1:
        return Resampled(mean, nan, nan, nan, nan, 1)
    error = float(numpy.sqrt((1 / found.size + test_share) * found.var(ddof=1)))
    half = float(special.stdtrit(found.size - 1, quantile)) * error
    # The rounding of equal scores is no spread.
    if error <= 1e-12 * max(1.0, abs(mean)):
        p = 1.0 if abs(mean) <= 1e-12 else 0.0
    else:
        p = float(2 * special.stdtr(found.size - 1, -abs(mean) / error))
    return Resampled(mean, error, mean - half, mean + half, p, int(found.size))
