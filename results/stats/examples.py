"""Uncertainty about the test set: a two-way bootstrap that resamples seeds and test examples together.

All seeds are scored on the same test examples, so an interval over seeds is about this test set only.
"""

from typing import Any

import numpy
from numpy.typing import NDArray

from results.stats.inputs import Matrix
from results.stats.weighted_metrics import METRICS

BATCH = 250
"""Draws scored at once: bounds memory to BATCH x examples floats."""


def drawn_scores(predictions: NDArray[Any], labels: NDArray[Any], metric: str, draws: int, seed: int = 0) -> Matrix:
    """Resampled scores (draws, methods) of predictions (methods, seeds, examples): means over the drawn seeds.

    labels: (examples,). Seeds and examples are drawn independently, with replacement, and shared by all methods, so
    that columns are paired.
    """
    methods, seeds, examples = predictions.shape
    generator = numpy.random.default_rng(seed)
    rows = predictions.reshape(methods * seeds, examples)
    resampled = numpy.empty((draws, methods))
    for start in range(0, draws, BATCH):
        count = min(BATCH, draws - start)
        scores = METRICS[metric](_counts(examples, count, generator), labels, rows).reshape(count, methods, seeds)
        shares = _counts(seeds, count, generator) / seeds
        if seeds > 1:
            shares = 1 / seeds + (shares - 1 / seeds) * numpy.sqrt(seeds / (seeds - 1))
        resampled[start : start + count] = numpy.einsum("dms,ds->dm", scores, shares)
    return resampled


def _counts(size: int, draws: int, generator: numpy.random.Generator) -> Matrix:
    # How often each of `size` items is drawn when `size` are drawn with replacement: one row per draw.
    drawn = generator.integers(0, size, (draws, size)) + size * numpy.arange(draws)[:, None]
    return numpy.bincount(drawn.ravel(), minlength=draws * size).reshape(draws, size).astype(numpy.float64)
