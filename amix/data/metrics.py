"""Metrics from arrays: scikit-learn and scipy compute them, here stand the conventions.

GLUE's are kept for GLUE: f1 is that of class 1, and a correlation with a constant is 0. On people's own data a score
that the labels leave undefined (all of them equal, a class that is not there) is None, never 0. A constant prediction
still correlates 0: it ranks nothing, and leaving such runs out would flatter a method that collapses.
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
from amix.specs.tasks import CORRELATIONS, EVALUATE, Task

Array = numpy.ndarray
Scores = dict[str, float | None]


@dataclass(frozen=True)
class Outcome:
    """What a metric may look at.

    Attributes:
        labels: shape [n], class ids or numbers.
        predictions: shape [n], the same of the model.
        logits: shape [n, classes] where there are classes; None where only predictions are known.
        positive: id of the class that f1 is of.
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
        """Shape [n, classes]."""
        if self.logits is None:
            raise ValueError("this metric needs the logits of every class beside the predictions")
        return numpy.asarray(softmax(self.logits, axis=1))


Metric = Callable[[Outcome], float]


def _correlation(function: Callable[[Array, Array], float]) -> Metric:
    def score(one: Outcome) -> float:
        if len(one.labels) < 2 or numpy.ptp(one.labels) == 0 or numpy.ptp(one.predictions) == 0:
            return 0.0  # A constant ranks nothing; the correlation itself is undefined there.
        return float(function(one.labels, one.predictions))

    return score


def _f1(average: str) -> Metric:
    return lambda one: float(f1_score(one.labels, one.predictions, average=average, zero_division=0.0))


def _of_every_class(function: Callable[[Array, Array], float]) -> Metric:
    """One class against the others, on its probability; the mean over the classes, or the positive one of two."""

    def score(one: Outcome) -> float:
        classes = range(one.probabilities.shape[1])
        chosen = [one.positive] if len(classes) == 2 else classes
        return float(numpy.mean([function(one.labels == name, one.probabilities[:, name]) for name in chosen]))

    return score


_SCORES: dict[str, Metric] = {
    "accuracy": lambda one: float(accuracy_score(one.labels, one.predictions)),
    "f1": lambda one: float(f1_score(*one.of_one, zero_division=0.0)),
    "matthews": _correlation(matthews_corrcoef),
    "pearson": _correlation(lambda labels, predictions: pearsonr(labels, predictions)[0]),
    "spearman": _correlation(lambda labels, predictions: spearmanr(labels, predictions)[0]),
    "macro_f1": _f1("macro"),
    "weighted_f1": _f1("weighted"),
    # The mean over the classes that occur of the share of each that is found.
    "balanced_accuracy": lambda one: float(
        recall_score(one.labels, one.predictions, labels=numpy.unique(one.labels), average="macro", zero_division=0.0)
    ),
    "roc_auc": _of_every_class(roc_auc_score),
    "average_precision": _of_every_class(average_precision_score),
    "mae": lambda one: float(mean_absolute_error(one.labels, one.predictions)),
    "rmse": lambda one: float(root_mean_squared_error(one.labels, one.predictions)),
}


def _undefined(metric: str, one: Outcome) -> bool:
    """Whether the labels alone leave this metric without a value."""
    if metric == "f1":
        return not one.of_one[0].any()
    if metric in ("roc_auc", "average_precision"):
        return len(numpy.unique(one.labels)) < one.probabilities.shape[1]
    return metric in ("matthews", *CORRELATIONS) and (len(one.labels) < 2 or bool(numpy.ptp(one.labels) == 0))


def score(metrics: tuple[str, ...], labels: Array, predictions: Array) -> dict[str, float]:
    """Scores by GLUE's conventions, on the scale -1..1; f1 is that of class 1; a constant prediction correlates 0.

    Args:
        metrics: names of METRICS.
        labels: shape [n], class ids, or numbers for regression.
        predictions: shape [n], the same of the model.

    Raises:
        ValueError: They differ in length or are empty.
    """
    one = _outcome(labels, predictions)
    return {metric: _SCORES[metric](one) for metric in metrics}


def task_scores(task: Task, labels: Array, predictions: Array, logits: Array | None = None) -> Scores:
    """Every metric of a task.

    Args:
        task: names the metrics, the positive class, and whose data these are.
        labels: shape [n], class ids or numbers.
        predictions: shape [n], the same of the model.
        logits: shape [n, classes], needed by ROC AUC and average precision.

    Returns:
        The scores; None where the labels of one's own data leave one undefined. MAE and RMSE are in the label's unit.

    Raises:
        ValueError: lengths that differ, nothing to score, or logits that are needed and missing.
        DataError: a metric of the library evaluate that cannot be computed.
    """
    if task.origin != "files":
        return dict(score(task.metrics, labels, predictions))
    one = _outcome(labels, predictions, logits, task.positive_class)
    return {
        metric: _evaluated(task, metric, one) if metric.startswith(EVALUATE) else _defined(metric, one)
        for metric in task.metrics
    }


def _defined(metric: str, one: Outcome) -> float | None:
    return None if _undefined(metric, one) else _SCORES[metric](one)


def _evaluated(task: Task, metric: str, one: Outcome) -> float | None:
    value = evaluate_score(metric, one.labels, one.predictions, Path(task.folder))
    return None if math.isnan(value) else value


def _outcome(labels: Array, predictions: Array, logits: Array | None = None, positive: int = 1) -> Outcome:
    if len(labels) != len(predictions) or len(labels) == 0:
        raise ValueError(f"scores need as many labels as predictions, at least one: {len(labels)}, {len(predictions)}")
    return Outcome(labels, predictions, logits, positive)


def majority_scores(
    metrics: tuple[str, ...], train_labels: Array, test_labels: Array, regression: bool
) -> dict[str, float]:
    """What predicting the training set's most frequent class (its mean for regression) scores on the test set."""
    return score(metrics, test_labels, _constant(train_labels, len(test_labels), regression))


def task_majority(task: Task, train_labels: Array, test_labels: Array) -> Scores:
    """The scores of predicting the training set's most frequent class (its mean for regression) for every test row.

    Args:
        task: as for task_scores.
        train_labels: shape [n].
        test_labels: shape [m].

    Returns:
        As task_scores; the constant prediction has the same probability for every row.
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
    """A score that epochs are compared by: an undefined one is worse than any."""
    value = scores[metric]
    return -numpy.inf if value is None else value
