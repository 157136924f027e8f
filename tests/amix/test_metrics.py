"""GLUE's metrics against values worked out by hand."""

import numpy
import pytest

from amix.data.metrics import majority_scores, score


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
