"""How far predicted probabilities can be trusted: log-loss, Brier score, calibration error, temperature scaling.

Logits are (examples, classes), labels (examples,) class numbers from 0. Lower is better for all three measures. They
are for classification only.
"""

import math
from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike, NDArray
from scipy import special

from results.stats.inputs import Matrix, Vector, matrix

BINS = 15
"""Bins of the calibration error: as many as Guo et al. 2017 have, but of equal mass."""
TEMPERATURES = (1 / 32, 32.0)
"""Range of a fitted temperature. A dev set without errors has no best temperature, since log-loss keeps falling as the
temperature goes to 0; the lower end is then taken. The upper end, which makes logits of a few units almost uniform, is
taken where confidence says nothing about correctness."""
SIMULATIONS = 50
"""Draws of labels for the calibration error that a perfectly calibrated model would have."""

Labels = NDArray[numpy.int64]


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
    shares: Matrix = special.softmax(matrix(logits, "logits", columns=2) / _positive(temperature), axis=1)
    return shares


def log_loss(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> float:
    """Mean negative log probability (natural) of the true class, computed from logits so that none is rounded to 0.

    Args:
        logits: (examples, classes).
        labels: (examples,) class numbers from 0.
        temperature: What the logits are divided by.

    Returns:
        Nats per example: ln(classes) for a uniform guess.

    Raises:
        ValueError: For logits that are not finite, labels outside the classes, or a temperature that is not positive.
    """
    values, truth = _checked(logits, labels)
    logs = special.log_softmax(values / _positive(temperature), axis=1)
    return float(-logs[numpy.arange(truth.size), truth].mean())


def brier_score(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> float:
    """Mean over examples of the sum over classes of (probability - one if true)^2, from 0 to 2 (Brier 1950).

    For two classes this is twice the form that looks at one class alone. ValueError as in `log_loss`.
    """
    values, truth = _checked(logits, labels)
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
        ValueError: As in `log_loss`.
    """
    values, truth = _checked(logits, labels)
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


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature within TEMPERATURES that minimises log-loss on a dev set (Guo et al. 2017).

    Args:
        logits: (examples, classes) on dev, never on the split that is reported.
        labels: (examples,) class numbers from 0.

    Returns:
        The temperature, which changes no predicted class; an end of TEMPERATURES if log-loss still falls beyond it, as
        on a dev set without errors.

    Raises:
        ValueError: As in `log_loss`.
    """
    # Imported here because scipy.optimize takes longer to import than all the rest of this package.
    from scipy.optimize import minimize_scalar

    values, truth = _checked(logits, labels)
    # Log-loss is convex in 1 / temperature, so it has a single minimum in log temperature too.
    low, high = (math.log(end) for end in TEMPERATURES)
    minimum = minimize_scalar(
        lambda log: log_loss(values, truth, math.exp(log)),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-8},
    )
    candidates = (math.exp(minimum.x), *TEMPERATURES)
    return min(candidates, key=lambda temperature: log_loss(values, truth, temperature))


def _absolute(bins: Bins) -> float:
    return float((bins.count / bins.count.sum() * numpy.abs(bins.correct - bins.confidence)).sum())


def _positive(temperature: float) -> float:
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature: expected a positive number, got {temperature}")
    return temperature


def _checked(logits: ArrayLike, labels: ArrayLike) -> tuple[Matrix, Labels]:
    values, truth = matrix(logits, "logits", columns=2), numpy.asarray(labels)
    if truth.shape != values.shape[:1]:
        raise ValueError(f"labels: expected one per row of the logits, {values.shape[0]}, got shape {truth.shape}")
    if truth.min() < 0 or truth.max() >= values.shape[1] or (truth != truth.astype(numpy.int64)).any():
        raise ValueError(
            f"labels: expected class numbers from 0 to {values.shape[1] - 1}, got {truth.min()} to {truth.max()}"
        )
    return values, truth.astype(numpy.int64)
