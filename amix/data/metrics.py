"""Metrics of arrays: scikit-learn and scipy compute them; this module sets the conventions.

GLUE tasks keep GLUE's conventions: f1 is that of class 1, and a correlation with a constant is 0. On users' own data a
score that the labels leave undefined (all labels equal, or a class missing) is None, never 0. The correlation of a
constant prediction is still 0: it ranks nothing, and excluding such runs would flatter a method that collapses.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy
from scipy.special import softmax
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    mean_absolute_error,
    recall_score,
    roc_auc_score,
    root_mean_squared_error,
)

from amix.data.evaluate_metrics import evaluate_score
from amix.specs.task import CORRELATIONS, EVALUATE, Task

Array = numpy.ndarray
Scores = dict[str, float | None]


@dataclass(frozen=True)
class Outcome:
    """The arrays that metrics are computed from.

    Attributes:
        labels: Class ids or numbers, shape [n].
        predictions: The model's class ids or numbers, shape [n].
        logits: Shape [n, classes]; None for regression, or if only predictions are known.
        positive: Id of the class that f1 is computed for.
    """

    labels: Array
    predictions: Array
    logits: Array | None = None
    positive: int = 1

    @property
    def of_one(self) -> tuple[Array, Array]:
        """Whether each label, and each prediction, is the positive class."""
        return self.labels == self.positive, self.predictions == self.positive

    @property
    def probabilities(self) -> Array:
        """The softmax of the logits, [n, classes]."""
        if self.logits is None:
            raise ValueError("this metric needs the logits of every class, not only the predictions")
        return numpy.asarray(softmax(self.logits, axis=1))


Metric = Callable[[Outcome], float]


def _correlation(function: Callable[[Array, Array], float]) -> Metric:
    def score(outcome: Outcome) -> float:
        if len(outcome.labels) < 2 or numpy.ptp(outcome.labels) == 0 or numpy.ptp(outcome.predictions) == 0:
            return 0.0  # The correlation with a constant is undefined, and a constant ranks nothing.
        return float(function(outcome.labels, outcome.predictions))

    return score


def _f1(average: str) -> Metric:
    return lambda outcome: float(f1_score(outcome.labels, outcome.predictions, average=average, zero_division=0.0))


def _of_every_class(function: Callable[[Array, Array], float]) -> Metric:
    """Score each class's probability against all others: the mean over classes, or the positive one of two."""

    def score(outcome: Outcome) -> float:
        probabilities = outcome.probabilities
        classes = [outcome.positive] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
        return float(numpy.mean([function(outcome.labels == c, probabilities[:, c]) for c in classes]))

    return score


_SCORES: dict[str, Metric] = {
    "accuracy": lambda outcome: float(accuracy_score(outcome.labels, outcome.predictions)),
    "f1": lambda outcome: float(f1_score(*outcome.of_one, zero_division=0.0)),
    "matthews": _correlation(matthews_corrcoef),
    "pearson": _correlation(lambda labels, predictions: pearsonr(labels, predictions)[0]),
    "spearman": _correlation(lambda labels, predictions: spearmanr(labels, predictions)[0]),
    "macro_f1": _f1("macro"),
    "weighted_f1": _f1("weighted"),
    # Mean recall over the classes that occur.
    "balanced_accuracy": lambda outcome: float(
        recall_score(
            outcome.labels, outcome.predictions, labels=numpy.unique(outcome.labels), average="macro", zero_division=0.0
        )
    ),
    "roc_auc": _of_every_class(roc_auc_score),
    "average_precision": _of_every_class(average_precision_score),
    "mae": lambda outcome: float(mean_absolute_error(outcome.labels, outcome.predictions)),
    "rmse": lambda outcome: float(root_mean_squared_error(outcome.labels, outcome.predictions)),
}


def _undefined(metric: str, outcome: Outcome) -> bool:
    """Whether the labels alone leave this metric undefined."""
    labels = outcome.labels
    if metric == "f1":
        return not outcome.of_one[0].any()
    if metric in ("roc_auc", "average_precision"):
        return len(numpy.unique(labels)) < outcome.probabilities.shape[1]
    return metric in ("matthews", *CORRELATIONS) and (len(labels) < 2 or bool(numpy.ptp(labels) == 0))


def score(metrics: tuple[str, ...], labels: Array, predictions: Array) -> dict[str, float]:
    """Compute scores by GLUE's conventions: f1 is that of class 1, and a constant prediction correlates 0.

    Args:
        metrics: Names from METRICS.
        labels: Class ids, or numbers for regression, shape [n].
        predictions: The model's class ids or numbers, shape [n].

    Returns:
        Scores by metric, on the scale -1 to 1.

    Raises:
        ValueError: The arrays are empty or have different lengths.
    """
    outcome = _outcome(labels, predictions)
    return {metric: _SCORES[metric](outcome) for metric in metrics}


def task_scores(task: Task, labels: Array, predictions: Array, logits: Array | None = None) -> Scores:
    """Compute all metrics of a task.

    Args:
        task: Names the metrics and the positive class, and decides the conventions.
        labels: Class ids or numbers, shape [n].
        predictions: The model's class ids or numbers, shape [n].
        logits: Shape [n, classes], needed for ROC AUC and average precision.

    Returns:
        Scores by metric; None for those that the labels of users' own data leave undefined. MAE and RMSE are in the
        label's unit.

    Raises:
        ValueError: The arrays are empty or have different lengths, or needed logits are missing.
        DataError: A metric of the library evaluate cannot be computed.
    """
    if task.origin != "files":
        return dict(score(task.metrics, labels, predictions))
    outcome = _outcome(labels, predictions, logits, task.positive_class)
    return {
        metric: _evaluated(task, metric, outcome) if metric.startswith(EVALUATE) else _defined(metric, outcome)
        for metric in task.metrics
    }


def _defined(metric: str, outcome: Outcome) -> float | None:
    return None if _undefined(metric, outcome) else _SCORES[metric](outcome)


def _evaluated(task: Task, metric: str, outcome: Outcome) -> float | None:
    value = evaluate_score(metric, outcome.labels, outcome.predictions, Path(task.folder))
    return None if math.isnan(value) else value


def _outcome(labels: Array, predictions: Array, logits: Array | None = None, positive: int = 1) -> Outcome:
    if len(labels) != len(predictions) or len(labels) == 0:
        raise ValueError(f"scores need as many labels as predictions, at least one: {len(labels)}, {len(predictions)}")
    return Outcome(labels, predictions, logits, positive)


def majority_scores(
    metrics: tuple[str, ...], train_labels: Array, test_labels: Array, regression: bool
) -> dict[str, float]:
    """Return the scores of predicting the training set's most frequent class, or mean, on the test set."""
    return score(metrics, test_labels, _constant(train_labels, len(test_labels), regression))


def task_majority(task: Task, train_labels: Array, test_labels: Array) -> Scores:
    """Return a task's scores of predicting the training set's most frequent class, or mean, for every test row.

    Args:
        task: See task_scores.
        train_labels: Shape [n].
        test_labels: Shape [m].

    Returns:
        See task_scores; the constant prediction has the same probability for every row.
    """
    constant = _constant(train_labels, len(test_labels), task.regression)
    logits = numpy.zeros((len(test_labels), task.outputs))
    return task_scores(task, test_labels, constant, logits)


def _constant(train_labels: Array, count: int, regression: bool) -> Array:
    if regression:
        return numpy.full(count, train_labels.mean())
    values, counts = numpy.unique(train_labels, return_counts=True)
    return numpy.full(count, values[counts.argmax()])


def comparable(scores: Mapping[str, float | None], metric: str) -> float:
    """Return a score for comparing epochs: an undefined one is worse than any other."""
    value = scores[metric]
    return -numpy.inf if value is None else value
