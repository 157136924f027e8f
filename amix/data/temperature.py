"""The temperature that makes a run's probabilities fit its dev set, and the log-loss that it minimises.

They are here because a run that is exported takes its temperature along; the measures of results.stats.calibration
build on them. Imports no torch.
"""

import math
from collections.abc import Mapping

import numpy
from numpy.typing import ArrayLike, NDArray
from scipy import special

from amix.specs.wording import counted

Labels = NDArray[numpy.int64]
Matrix = NDArray[numpy.float64]
Logits = tuple[Matrix, Labels]
"""(examples, classes) logits and their labels."""
TEMPERATURES = (1 / 32, 32.0)
"""Range of a fitted temperature. A dev set without errors has no best temperature, since log-loss keeps falling as the
temperature goes to 0; the lower end is then taken. The upper end, which makes logits of a few units almost uniform, is
taken where confidence says nothing about correctness."""


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
    values, truth = checked(logits, labels)
    logs = special.log_softmax(values / positive(temperature), axis=1)
    return float(-logs[numpy.arange(truth.size), truth].mean())


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

    values, truth = checked(logits, labels)
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


def logits_of(arrays: Mapping[str, numpy.ndarray], split: str = "dev") -> Logits | None:
    """The logits and labels of a split among a run's arrays; None if there are none, or for a regression."""
    logits, labels = (arrays.get(f"{split}_{name}") for name in ("logits", "labels"))
    if logits is None or labels is None or logits.ndim != 2 or logits.shape[1] < 2:
        return None
    return logits.astype(numpy.float64), labels.astype(numpy.int64)


def dev_temperature(arrays: Mapping[str, numpy.ndarray]) -> tuple[float, str]:
    """The temperature fitted on a run's dev set, and that set in words; 1 and '' without dev logits of classes."""
    dev = logits_of(arrays)
    return (1.0, "") if dev is None else (fit_temperature(*dev), f"the run's dev set ({counted(dev[1].size, 'text')})")


def positive(temperature: float) -> float:
    """The temperature; ValueError unless it is positive and finite."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature: expected a positive number, got {temperature}")
    return temperature


def checked(logits: ArrayLike, labels: ArrayLike) -> Logits:
    """Logits and labels as arrays; ValueError as in `log_loss`, for one class, and if they are not equally many."""
    values, truth = numpy.asarray(logits, dtype=numpy.float64), numpy.asarray(labels)
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise ValueError(f"logits: expected a matrix of at least 1 x 2, got shape {values.shape}")
    if not numpy.isfinite(values).all():
        raise ValueError("logits: every value must be finite")
    if truth.shape != values.shape[:1]:
        raise ValueError(f"labels: expected one per row of the logits, {values.shape[0]}, got shape {truth.shape}")
    if truth.min() < 0 or truth.max() >= values.shape[1] or (truth != truth.astype(numpy.int64)).any():
        raise ValueError(
            f"labels: expected class numbers from 0 to {values.shape[1] - 1}, got {truth.min()} to {truth.max()}"
        )
    return values, truth.astype(numpy.int64)
