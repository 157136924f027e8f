"""Metrics against values worked out by hand; GLUE's conventions, and those for users' own data."""

from typing import Any

import numpy
import pytest

from amix.data.metrics import comparable, majority_scores, score, task_majority, task_scores
from amix.specs.task import Task


def test_classification_scores_by_hand() -> None:
    labels, predictions = numpy.array([1, 1, 1, 0, 0]), numpy.array([1, 1, 0, 1, 0])
    # Two true positives, one false positive, one false negative, one true negative.
    scores = score(("accuracy", "f1", "matthews"), labels, predictions)
    assert scores == pytest.approx({"accuracy": 3 / 5, "f1": 2 / 3, "matthews": (2 * 1 - 1 * 1) / 6})


def test_correlations_by_hand() -> None:
    labels, predictions = numpy.array([1.0, 2.0, 3.0, 4.0]), numpy.array([1.0, 2.0, 4.0, 3.0])
    assert score(("spearman",), labels, predictions)["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))


def test_a_constant_correlates_zero_and_matthews_is_zero() -> None:
    assert score(("spearman", "pearson"), numpy.array([1.0, 2.0]), numpy.array([3.0, 3.0])) == {
        "spearman": 0,
        "pearson": 0,
    }
    assert score(("matthews",), numpy.array([1, 0, 1]), numpy.array([1, 1, 1])) == {"matthews": 0}


def test_majority_comes_from_the_training_labels() -> None:
    scores = majority_scores(("accuracy", "f1"), numpy.array([0, 0, 1]), numpy.array([1, 1, 0]), regression=False)
    assert scores == pytest.approx({"accuracy": 1 / 3, "f1": 0.0})
    constant = majority_scores(("pearson",), numpy.array([0.5, 1.5]), numpy.array([1.0, 2.0]), regression=True)
    assert constant == {"pearson": 0.0}


@pytest.mark.parametrize("size", [0, 2])
def test_lengths_must_agree(size: int) -> None:
    with pytest.raises(ValueError, match="as many labels"):
        score(("accuracy",), numpy.zeros(size), numpy.zeros(0))


def own(metrics: tuple[str, ...], labels: tuple[str, ...] | None, **fields: Any) -> Task:
    return Task("own", "own", ("text",), labels, metrics, "files", **fields)


CLASSES = ("macro_f1", "weighted_f1", "balanced_accuracy", "roc_auc", "average_precision")


def test_scores_of_three_classes_by_hand() -> None:
    labels, predictions = numpy.array([0, 0, 0, 1, 1, 2]), numpy.array([0, 0, 1, 1, 0, 2])
    # Class 0: 2 hits, 3 predicted, 3 there: F1 2/3, found 2/3. Class 1: 1, 2, 2: 1/2, 1/2. Class 2: all right.
    logits = numpy.eye(3)[predictions]
    scores = task_scores(own(CLASSES, ("a", "b", "c")), labels, predictions, logits)
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert scores["weighted_f1"] == pytest.approx((3 * 2 / 3 + 2 * 1 / 2 + 1) / 6)
    assert scores["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # One against the others, equal probabilities counting half: 0: (2/3 + 2/3)/2; 1: (1/2 + 3/4)/2; 2: 1.
    assert scores["roc_auc"] == pytest.approx((2 / 3 + 5 / 8 + 1) / 3)
    # Precision above each step of recall: 0: 2/3 * 2/3 + 1/3 * 1/2; 1: 1/2 * 1/2 + 1/2 * 1/3; 2: 1.
    assert scores["average_precision"] == pytest.approx((11 / 18 + 5 / 12 + 1) / 3)


@pytest.mark.parametrize("positive", [0, 1])
def test_f1_and_average_precision_are_those_of_the_named_class(positive: int) -> None:
    names = ("spam", "ham")
    task = own(("f1", "average_precision", "roc_auc"), names, positive=names[positive])
    labels = numpy.array([0, 1, 1, 1])
    scores = task_scores(task, labels, numpy.ones(4, dtype=int), numpy.array([[0.0, 3.0], [0, 2], [0, 1], [0, 4]]))
    # By the probability of spam, the spam is third of four: one of its three comparisons is right. By that of ham it is
    # second, so that ham has precisions 1, 2/3 and 3/4.
    expected = [(0.0, 1 / 3), (6 / 7, (1 + 2 / 3 + 3 / 4) / 3)][positive]
    assert (scores["f1"], scores["average_precision"]) == pytest.approx(expected)
    assert scores["roc_auc"] == pytest.approx(1 / 3)


def test_f1_of_one_of_many_classes() -> None:
    task = own(("f1",), ("a", "b", "c"), positive="c")
    assert task_scores(task, numpy.array([2, 2, 0, 1]), numpy.array([2, 0, 2, 1])) == {"f1": 0.5}


def test_errors_are_in_the_unit_of_the_label() -> None:
    task = own(("spearman", "mae", "rmse"), None)
    scores = task_scores(task, numpy.array([100.0, 200.0, 300.0]), numpy.array([100.0, 230.0, 340.0]))
    assert scores == pytest.approx({"spearman": 1.0, "mae": 70 / 3, "rmse": (2500 / 3) ** 0.5})


def test_undefined_scores_are_none_only_on_users_data() -> None:
    ones, some = numpy.ones(4, dtype=int), numpy.array([1, 0, 1, 0])
    logits = numpy.zeros((4, 2))
    spam = own(("f1", "matthews", "roc_auc", "average_precision", "accuracy"), ("spam", "ham"), positive="spam")
    undefined = dict.fromkeys(("f1", "matthews", "roc_auc", "average_precision"))
    assert task_scores(spam, ones, some, logits) == {**undefined, "accuracy": 0.5}
    three = own(("roc_auc", "macro_f1"), ("a", "b", "c"))
    assert task_scores(three, some, some, numpy.zeros((4, 3))) == {"roc_auc": None, "macro_f1": 1.0}
    number = own(("spearman", "pearson", "mae"), None)
    hidden = task_scores(number, numpy.full(3, -1.0), numpy.array([1.0, 2.0, 3.0]))
    assert hidden == {"spearman": None, "pearson": None, "mae": 3.0}
    # A constant prediction ranks nothing, and such runs must not be left out of a mean.
    assert task_scores(number, numpy.array([1.0, 2.0]), numpy.full(2, 3.0))["spearman"] == 0.0
    glue = Task("glue", "glue", ("text",), None, ("spearman",))
    assert task_scores(glue, numpy.full(3, -1.0), numpy.array([1.0, 2.0, 3.0])) == {"spearman": 0.0}


def test_the_majority_class_has_all_scores() -> None:
    task = own(("f1", *CLASSES), ("spam", "ham"), positive="spam")
    scores = task_majority(task, numpy.array([1, 1, 0]), numpy.array([0, 1, 1, 1]))
    assert scores["roc_auc"] == 0.5
    assert scores["average_precision"] == 0.25
    assert scores["f1"] == 0.0
    assert scores["balanced_accuracy"] == 0.5


def test_metrics_of_probabilities_need_logits() -> None:
    with pytest.raises(ValueError, match="needs the logits"):
        task_scores(own(("roc_auc",), ("a", "b")), numpy.array([0, 1]), numpy.array([0, 1]))


def test_an_undefined_score_is_worse_than_any_other() -> None:
    assert comparable({"f1": None}, "f1") < comparable({"f1": -1.0}, "f1")
