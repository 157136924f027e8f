"""How far predicted probabilities can be trusted: Brier score and calibration error, beside log-loss and temperature.

Logits are (examples, classes), labels (examples,) class numbers from 0. Log-loss and
temperature are in amix.data.temperature. Lower is better for all three measures. They are for classification only.
"""

import math
from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike
from scipy import special

from amix.data.temperature import Labels, checked, positive
from results.stats.inputs import Matrix, Vector, matrix

BINS = 15
"""Bins of the calibration error: as many as Guo et al. 2017 have, but of equal mass."""
SIMULATIONS = 50
"""Draws of labels for the calibration error that a perfectly calibrated model would have."""


@dataclass(frozen=True)
class CalibrationError:
    """Expected calibration error of the predicted class, in shares of 1.

    Attributes:
        error: Mean over bins of equal mass of |share correct - mean confidence|, weighted by their sizes.
        when_calibrated: Its mean over SIMULATIONS simulated data sets if every confidence were exact: `error` cannot be
            below zero, so few examples in a bin inflate it.
        debiased_squared: Unbiased estimate of the mean squared error of the bins, negative values included.
    """

    error: float
    when_calibrated: float
    debiased_squared: float


@dataclass(frozen=True)
class Bins:
    """Bins of equal mass, by ascending confidence: number of examples, mean confidence, share correct."""

    count: Labels
    confidence: Vector
    correct: Vector


def probabilities(logits: ArrayLike, temperature: float = 1.0) -> Matrix:
    """(examples, classes) softmax of logits / temperature. ValueError for logits that are not finite or one class."""
    shares: Matrix = special.softmax(matrix(logits, "logits", columns=2) / positive(temperature), axis=1)
    return shares


def brier_score(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> float:
    """Mean over examples of the sum over classes of (probability - one if true)^2, from 0 to 2 (Brier 1950).

    For two classes this is twice the form that looks at one class alone. ValueError as in
    `amix.data.temperature.log_loss`.
    """
    values, truth = checked(logits, labels)
    shares = probabilities(values, temperature)
    shares[numpy.arange(truth.size), truth] -= 1
    return float((shares**2).sum(axis=1).mean())


def mean_confidence(logits: ArrayLike, temperature: float = 1.0) -> float:
    """Mean probability of the predicted class."""
    return float(probabilities(logits, temperature).max(axis=1).mean())


def confidence_bins(confidence: ArrayLike, correct: ArrayLike, bins: int = BINS) -> Bins:
    """Bins by ascending confidence whose numbers of examples are as equal as possible.

    Args:
        confidence: (examples,) probability of the predicted class.
        correct: (examples,) 1 where the predicted class is the true one, else 0.
        bins: Number of bins; at most the number of examples is used.

    Returns:
        The bins. Examples of equal confidence all count with the share correct among them, so that the result does not
        depend on the order of the examples.

    Raises:
        ValueError: Without examples or bins, or if the shapes differ.
    """
    values, hits = numpy.asarray(confidence, dtype=numpy.float64), numpy.asarray(correct, dtype=numpy.float64)
    if values.ndim != 1 or values.shape != hits.shape or values.size == 0 or bins < 1:
        raise ValueError(
            f"confidence, correct: expected equally many, at least one, and at least one bin, got shapes "
            f"{values.shape} and {hits.shape}, {bins} bins"
        )
    return _Binning(values, bins).of(hits)


class _Binning:
    """Assigns examples to bins once, for many draws of which are correct."""

    def __init__(self, confidence: Vector, bins: int) -> None:
        self.order = numpy.argsort(confidence, kind="stable")
        parts = numpy.array_split(self.order, min(bins, confidence.size))
        self.count = numpy.array([part.size for part in parts])
        self.starts = numpy.cumsum(self.count) - self.count
        self.confidence = self._means(confidence)
        self.ties = numpy.unique(confidence, return_inverse=True, return_counts=True)[1:]

    def of(self, correct: Vector) -> Bins:
        group, size = self.ties
        if size.size < correct.size:
            correct = (numpy.bincount(group, weights=correct) / size)[group]
        return Bins(self.count, self.confidence, self._means(correct))

    def _means(self, values: Vector) -> Vector:
        means: Vector = numpy.add.reduceat(values[self.order], self.starts) / self.count
        return means


def calibration_error(
    logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0, bins: int = BINS, seed: int = 0
) -> CalibrationError:
    """Expected calibration error with bins of equal mass, and how much of it is bias.

    Args:
        logits: (examples, classes).
        labels: (examples,) class numbers from 0.
        temperature: What the logits are divided by.
        bins: Number of bins.
        seed: Of the simulated labels.

    Returns:
        The error (Naeini et al. 2015; bins of equal mass: Nixon et al. 2019), its mean for a perfectly calibrated
        model, and the debiased squared error, sum over bins b of n_b / n [(p_b - y_b)^2 - y_b (1 - y_b) / (n_b - 1)]
        (Kumar, Liang and Ma 2019; nan with a bin of one example).

    Raises:
        ValueError: As in `amix.data.temperature.log_loss`.
    """
    values, truth = checked(logits, labels)
    shares = probabilities(values, temperature)
    confidence, correct = shares.max(axis=1), shares.argmax(axis=1) == truth
    binning = _Binning(confidence, bins)
    observed = binning.of(correct.astype(numpy.float64))
    error = _absolute(observed)
    generator = numpy.random.default_rng(seed)
    drawn = [
        _absolute(binning.of((generator.random(truth.size) < confidence).astype(numpy.float64)))
        for _ in range(SIMULATIONS)
    ]
    weight = observed.count / truth.size
    noise = math.nan
    if observed.count.min() > 1:
        noise = float((weight * observed.correct * (1 - observed.correct) / (observed.count - 1)).sum())
    squared = float((weight * (observed.confidence - observed.correct) ** 2).sum())
    return CalibrationError(error, float(numpy.mean(drawn)), squared - noise)


def _absolute(bins: Bins) -> float:
    return float((bins.count / bins.count.sum() * numpy.abs(bins.correct - bins.confidence)).sum())
