"""What seeds do not cover: another test set. A two-way bootstrap resamples seeds and test examples together.

The same test examples score every seed, so that an interval over seeds speaks of this test set alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import ArrayLike, NDArray

from results.stats.inputs import Matrix, matrix, proportion, vector
from results.stats.weighted_metrics import METRICS

BATCH = 250
"""Draws scored at once: bounds memory to BATCH x examples floats."""


@dataclass(frozen=True)
class TwoWay:
    """Mean over seeds of method minus reference on the metric's scale, its standard error and percentile interval."""

    difference: float
    standard_error: float
    low: float
    high: float


def two_way_bootstrap(
    method: ArrayLike,
    reference: ArrayLike,
    labels: ArrayLike,
    metric: str,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> TwoWay:
    """Interval of the difference of two methods that covers other seeds and other test examples.

    method, reference: (seeds, examples) predictions, rows paired by seed; labels: (examples,); metric: a name in
    weighted_metrics.METRICS. Seeds and examples are drawn independently with replacement, the same ones for both
    methods; the seeds' part is widened by sqrt(n / (n - 1)). With one seed the interval covers examples alone.
    Source: Owen 2007, the pigeonhole bootstrap, whose interval is slightly too wide. ValueError for an
    unknown metric, shapes that do not match, or values that are not finite.
    """
    ours, theirs = matrix(method, "method"), matrix(reference, "reference")
    truth = vector(labels, "labels")
    if ours.shape != theirs.shape or ours.shape[1] != truth.size:
        raise ValueError(f"predictions {ours.shape}, {theirs.shape} and labels {truth.shape} do not match")
    if metric not in METRICS:
        raise ValueError(f"metric: expected one of {', '.join(sorted(METRICS))}, got {metric!r}")
    tail = (1 - proportion(level, "level")) / 2
    drawn = drawn_scores(numpy.stack([ours, theirs]), truth, metric, draws, seed)
    differences = drawn[:, 0] - drawn[:, 1]
    low, high = numpy.quantile(differences, (tail, 1 - tail))
    everything = numpy.ones((1, truth.size))
    observed = (METRICS[metric](everything, truth, ours) - METRICS[metric](everything, truth, theirs)).mean()
    return TwoWay(float(observed), float(differences.std(ddof=1)), float(low), float(high))


def drawn_scores(predictions: NDArray[Any], labels: NDArray[Any], metric: str, draws: int, seed: int = 0) -> Matrix:
    """Resampled scores (draws, methods) of predictions (methods, seeds, examples): means over the drawn seeds.

    labels: (examples,). Every method sees the same seeds and examples of a draw, so that columns are paired; see
    two_way_bootstrap.
    """
    methods, seeds, examples = predictions.shape
    generator = numpy.random.default_rng(seed)
    rows = predictions.reshape(methods * seeds, examples)
    found = numpy.empty((draws, methods))
    for start in range(0, draws, BATCH):
        count = min(BATCH, draws - start)
        scores = METRICS[metric](_counts(examples, count, generator), labels, rows).reshape(count, methods, seeds)
        shares = _counts(seeds, count, generator) / seeds
        if seeds > 1:
            shares = 1 / seeds + (shares - 1 / seeds) * numpy.sqrt(seeds / (seeds - 1))
        found[start : start + count] = numpy.einsum("dms,ds->dm", scores, shares)
    return found


def _counts(size: int, draws: int, generator: numpy.random.Generator) -> Matrix:
    # How often each of `size` things comes up when `size` are drawn with replacement: one row per draw.
    drawn = generator.integers(0, size, (draws, size)) + size * numpy.arange(draws)[:, None]
    return numpy.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size).astype(numpy.float64)
