"""GLUE's metrics from arrays: scikit-learn and scipy compute them, here stand only GLUE's conventions."""

from collections.abc import Callable

import numpy
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

Array = numpy.ndarray


def _correlation(function: Callable[[Array, Array], float]) -> Callable[[Array, Array], float]:
    def score(labels: Array, predictions: Array) -> float:
        if len(labels) < 2 or numpy.ptp(labels) == 0 or numpy.ptp(predictions) == 0:
            return 0.0  # A constant ranks nothing; the correlation itself is undefined there.
        return float(function(labels, predictions))

    return score


_SCORES: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": lambda labels, predictions: float(accuracy_score(labels, predictions)),
    "f1": lambda labels, predictions: float(f1_score(labels, predictions, pos_label=1, zero_division=0.0)),
    "matthews": _correlation(matthews_corrcoef),
    "pearson": _correlation(lambda labels, predictions: pearsonr(labels, predictions)[0]),
    "spearman": _correlation(lambda labels, predictions: spearmanr(labels, predictions)[0]),
}


def score(metrics: tuple[str, ...], labels: Array, predictions: Array) -> dict[str, float]:
    """Every metric of a task, on the scale -1..1; f1 is that of class 1; a constant prediction correlates 0.

    labels and predictions have shape [n] and hold class ids, or numbers for regression. Errors: ValueError when they
    differ in length or are empty.
    """
    if len(labels) != len(predictions) or len(labels) == 0:
        raise ValueError(f"scores need as many labels as predictions, at least one: {len(labels)}, {len(predictions)}")
    return {metric: _SCORES[metric](labels, predictions) for metric in metrics}


def majority_scores(
    metrics: tuple[str, ...], train_labels: Array, test_labels: Array, regression: bool
) -> dict[str, float]:
    """What predicting the training set's most frequent class (its mean for regression) scores on the test set."""
    if regression:
        constant = numpy.full(len(test_labels), train_labels.mean())
    else:
        values, counts = numpy.unique(train_labels, return_counts=True)
        constant = numpy.full(len(test_labels), values[counts.argmax()])
    return score(metrics, test_labels, constant)
