"""A power law through the errors at a few training sizes, and what it predicts for more examples.

A learner's error falls roughly as a n^-b over a range of sizes (Hestness et al. 2017; Viering and Loog 2023, who also
show where it does not). With three sizes no third parameter can be fitted, so far beyond them the prediction is too
low for an error that levels off.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike

from results.stats.cross_validation import Resampled, corrected_t
from results.stats.inputs import Matrix, matrix, vector

SMALLEST_ERROR = 1e-3
"""Replaces smaller errors in the fit, which takes logarithms."""


@dataclass(frozen=True)
class PowerLaw:
    """error(n) = scale * n ** -exponent; a negative exponent is an error that grows with n."""

    scale: float
    exponent: float

    def error(self, n: float) -> float:
        """The error with n training examples."""
        return self.scale * n**-self.exponent


def fit_power_law(sizes: ArrayLike, errors: ArrayLike) -> PowerLaw:
    """Least squares of log error on log size.

    Args:
        sizes: (k,) training examples, at least two different numbers.
        errors: (k,) mean errors, at least 0; see SMALLEST_ERROR.

    Raises:
        ValueError: For fewer than two sizes, sizes that are not positive, or errors below 0.
    """
    n, e = vector(sizes, "sizes", 2), vector(errors, "errors", 2)
    if n.size != e.size or numpy.unique(n).size < 2 or n.min() <= 0 or e.min() < 0:
        raise ValueError(
            "a power law needs as many errors as sizes, two different positive sizes, and no error below 0"
        )
    slope, intercept = numpy.polyfit(numpy.log(n), numpy.log(numpy.maximum(e, SMALLEST_ERROR)), 1)
    return PowerLaw(float(math.exp(intercept)), float(-slope))


@dataclass(frozen=True)
class Curve:
    """Errors of one method on the same folds at every size, and the power law through their means.

    Attributes:
        sizes: (k,) training examples, ascending.
        errors: (folds, k).
        test_share: n_test / n_train of the largest size.
    """

    sizes: tuple[int, ...]
    errors: Matrix
    test_share: float

    @classmethod
    def of(cls, sizes: ArrayLike, errors: ArrayLike, test_share: float) -> "Curve":
        """A checked curve; ValueError for shapes that do not match or values that are not finite."""
        table = matrix(errors, "errors", columns=2)
        n = vector(sizes, "sizes", 2)
        if n.size != table.shape[1]:
            raise ValueError(f"errors {table.shape} and sizes {n.shape} do not match")
        return cls(tuple(int(size) for size in n), table, test_share)

    @property
    def law(self) -> PowerLaw:
        """The fit to the means over the folds."""
        return fit_power_law(self.sizes, self.errors.mean(axis=0))

    def gain(self, n: int, more: int, level: float = 0.95) -> Resampled:
        """How much the error falls from n to n + more examples (see `of_law`)."""
        return self.of_law(lambda law: law.error(n) - law.error(n + more), level)

    def error_at(self, n: int, level: float = 0.95) -> Resampled:
        """The error with n examples (see `of_law`)."""
        return self.of_law(lambda law: law.error(n), level)

    def of_law(self, statistic: Callable[[PowerLaw], float], level: float = 0.95) -> Resampled:
        """A statistic of the law, with an interval over folds.

        The corrected t interval is applied to jackknife pseudo-values, n theta - (n - 1) theta without fold i (Tukey
        1958); for a mean these are the folds' own scores. With fewer than three folds there is no interval.
        """
        whole = statistic(self.law)
        count = len(self.errors)
        if count < 3:
            nan = float("nan")
            return Resampled(whole, nan, nan, nan, nan, count)
        pseudo = [
            count * whole
            - (count - 1) * statistic(fit_power_law(self.sizes, numpy.delete(self.errors, fold, axis=0).mean(axis=0)))
            for fold in range(count)
        ]
        interval = corrected_t(pseudo, self.test_share, level)
        shift = whole - interval.mean  # The estimate is the fit's own; the pseudo-values give its spread.
        return Resampled(whole, interval.standard_error, interval.low + shift, interval.high + shift, interval.p, count)


def crossing(first: PowerLaw, second: PowerLaw) -> float | None:
    """The size at which two laws have the same error; None if their exponents are practically equal."""
    if abs(first.exponent - second.exponent) < 1e-6:
        return None
    exponent = math.log(first.scale / second.scale) / (first.exponent - second.exponent)
    return math.exp(exponent) if abs(exponent) < 30 else None
