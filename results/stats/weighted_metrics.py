"""The tasks' metrics with a weight per example; with weights that count draws, exactly the metric of the resample.

Every function takes weights (draws, examples), labels (examples,) and predictions (seeds, examples) and returns scores
(draws, seeds). No resample is ever materialised, which makes thousands of them cheap.
"""

from collections.abc import Callable, Iterator

import numpy
from numpy.typing import NDArray

from results.stats.inputs import Matrix, Vector


def accuracy(weights: Matrix, labels: Vector, predictions: Matrix) -> Matrix:
    """Share of correct predictions."""
    return _mean(weights, predictions == labels)


def f1(weights: Matrix, labels: Vector, predictions: Matrix) -> Matrix:
    """F1 of class 1: 2 TP / (predicted + actual); zero where class 1 neither occurs nor is predicted."""
    positive = labels == 1
    hits = _mean(weights, (predictions == 1) & positive)
    both = _mean(weights, predictions == 1) + _mean(weights, positive[None])
    return _ratio(2 * hits, both)


def matthews(weights: Matrix, labels: Vector, predictions: Matrix) -> Matrix:
    """Matthews' correlation, for any number of classes (Gorodkin 2004); zero for a constant prediction or label."""
    correct = accuracy(weights, labels, predictions)
    cross, predicted_square, actual_square = (numpy.zeros_like(correct) for _ in range(3))
    for label in numpy.union1d(labels, predictions):
        predicted = _mean(weights, predictions == label)
        actual = _mean(weights, (labels == label)[None])
        cross += predicted * actual
        predicted_square += predicted**2
        actual_square += actual**2
    # Rounding must not make the spread of a constant negative.
    spreads = numpy.maximum((1 - predicted_square) * (1 - actual_square), 0.0)
    return _ratio(correct - cross, numpy.sqrt(spreads))


def pearson(weights: Matrix, labels: Vector, predictions: Matrix) -> Matrix:
    """Pearson's correlation; zero for a constant prediction or label."""
    x, y = _standardized(predictions), _standardized(labels[None])
    mean_x, mean_y = _mean(weights, x), _mean(weights, y)
    covariance = _mean(weights, x * y) - mean_x * mean_y
    spreads = (_mean(weights, x**2) - mean_x**2) * (_mean(weights, y**2) - mean_y**2)
    return _ratio(covariance, numpy.sqrt(numpy.maximum(spreads, 0.0)))


def spearman(weights: Matrix, labels: Vector, predictions: Matrix) -> Matrix:
    """Spearman's rank correlation, ties at their mean rank; zero for a constant prediction or label."""
    # From here on draws are the last axis, so that sorting by a row of predictions moves whole rows.
    by_example = numpy.ascontiguousarray(weights.T)
    total = by_example.sum(axis=0)
    y = _centred_ranks(by_example, labels, total)
    weighted_y = by_example * y
    spread_y = numpy.einsum("ed,ed->d", weighted_y, y)
    scores = numpy.empty((weights.shape[0], predictions.shape[0]))
    for seed, row in enumerate(predictions):
        x = _centred_ranks(by_example, row, total)
        spread_x = numpy.einsum("ed,ed,ed->d", by_example, x, x)
        scores[:, seed] = _ratio(numpy.einsum("ed,ed->d", weighted_y, x), numpy.sqrt(spread_x * spread_y))
    return scores


def macro_f1(weights: Matrix, labels: Vector, predictions: Matrix) -> Matrix:
    """Mean F1 of the classes that occur or are predicted."""
    sums = numpy.zeros((weights.shape[0], predictions.shape[0]))
    present = numpy.zeros_like(sums)
    for score, occurs, _ in _by_class(weights, labels, predictions):
        sums += score
        present += occurs
    return _ratio(sums, present)


def weighted_f1(weights: Matrix, labels: Vector, predictions: Matrix) -> Matrix:
    """Mean of the classes' F1, weighted by their shares of the examples."""
    parts = [share * score for score, _, share in _by_class(weights, labels, predictions)]
    return numpy.sum(parts, axis=0)


def balanced_accuracy(weights: Matrix, labels: Vector, predictions: Matrix) -> Matrix:
    """Mean recall of the classes that occur."""
    sums = numpy.zeros((weights.shape[0], predictions.shape[0]))
    present = numpy.zeros_like(sums)
    for label in numpy.unique(labels):
        actual = _mean(weights, (labels == label)[None])
        sums += _ratio(_mean(weights, (predictions == label) & (labels == label)), actual + numpy.zeros_like(sums))
        present += actual > 0
    return _ratio(sums, present)


def _by_class(weights: Matrix, labels: Vector, predictions: Matrix) -> Iterator[tuple[Matrix, Matrix, Matrix]]:
    """F1 of each class, whether it occurs or is predicted (draws, seeds), and the share of its examples (draws, 1)."""
    for label in numpy.union1d(labels, predictions):
        actual = _mean(weights, (labels == label)[None])
        both = _mean(weights, predictions == label) + actual
        score = _ratio(2 * _mean(weights, (predictions == label) & (labels == label)), both)
        yield score, (both > 0).astype(numpy.float64), actual


METRICS: dict[str, Callable[[Matrix, Vector, Matrix], Matrix]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
    "weighted_f1": weighted_f1,
}


def _mean(weights: Matrix, values: NDArray[numpy.generic]) -> Matrix:
    # (draws, rows of values): the weighted mean of each row of values.
    mean: Matrix = weights @ values.T.astype(numpy.float64) / weights.sum(axis=1, keepdims=True)
    return mean


def _standardized(rows: Matrix) -> Matrix:
    # Keeps squares of large values from cancelling, and makes one threshold for zero valid in every unit.
    spread = rows.std(axis=1, keepdims=True)
    standardized: Matrix = (rows - rows.mean(axis=1, keepdims=True)) / numpy.where(spread > 0, spread, 1.0)
    return standardized


def _centred_ranks(weights: Matrix, values: Vector, total: Vector) -> Matrix:
    # (examples, draws) to (examples, draws). The middle of the weight range of a value and its equals, counted from the
    # smallest value (mean rank - 1/2), as a share of the total weight, minus one half.
    _, group, counts = numpy.unique(values, return_inverse=True, return_counts=True)
    weight = weights[numpy.argsort(values, kind="stable")]
    if len(counts) < len(values):
        weight = numpy.add.reduceat(weight, numpy.cumsum(counts) - counts, axis=0)
    middle = numpy.cumsum(weight, axis=0)
    middle -= weight / 2
    middle /= total
    middle -= 0.5
    ranks: Matrix = middle[group]
    return ranks


def _ratio(numerator: Matrix, denominator: Matrix) -> Matrix:
    # A smaller spread is a rounding error; that of n examples is at least of order 1 / n.
    defined = denominator > 1e-12
    ratio: Matrix = numpy.where(defined, numerator / numpy.where(defined, denominator, 1.0), 0.0)
    return ratio
