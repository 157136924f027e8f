"""Measures of probabilities against scikit-learn, by hand, and on models whose calibration is known."""

import math

import numpy
import pytest
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from amix.data.temperature import TEMPERATURES, fit_temperature, log_loss
from results.stats import calibration
from results.stats.calibration import (
    brier_score,
    calibration_error,
    confidence_bins,
    mean_confidence,
    probabilities,
)


def calibrated(examples: int, classes: int, seed: int = 0, scale: float = 2.0) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Logits, and labels drawn from exactly their probabilities."""
    generator = numpy.random.default_rng(seed)
    logits = scale * generator.standard_normal((examples, classes))
    cumulative = probabilities(logits).cumsum(axis=1)
    return logits, (generator.random((examples, 1)) > cumulative).sum(axis=1).clip(max=classes - 1)


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_log_loss_and_brier_score_are_those_of_scikit_learn(classes: int, temperature: float) -> None:
    logits, labels = calibrated(300, classes, seed=classes)
    shares = probabilities(logits, temperature)
    names = list(range(classes))
    assert log_loss(logits, labels, temperature) == pytest.approx(sklearn_log_loss(labels, shares, labels=names))
    expected = brier_score_loss(labels, shares, labels=names, scale_by_half=False)
    assert brier_score(logits, labels, temperature) == pytest.approx(expected)
    if classes == 2:
        assert brier_score(logits, labels, temperature) == pytest.approx(
            2 * brier_score_loss(labels, shares[:, 1], scale_by_half=True)
        )


def test_two_examples_by_hand() -> None:
    # Probabilities 3/4, 1/4 and 1/5, 4/5; true classes 0 and 0.
    logits, labels = numpy.log([[3.0, 1.0], [1.0, 4.0]]), [0, 0]
    assert log_loss(logits, labels) == pytest.approx(-(math.log(0.75) + math.log(0.2)) / 2)
    assert brier_score(logits, labels) == pytest.approx((2 * 0.25**2 + 2 * 0.8**2) / 2)
    assert mean_confidence(logits) == pytest.approx((0.75 + 0.8) / 2)
    # One example to a bin: |1 - 3/4| and |0 - 4/5|. Calibrated, the gaps are 2 c (1 - c) on average: .375 and .32.
    result = calibration_error(logits, labels)
    assert result.error == pytest.approx((0.25 + 0.8) / 2)
    assert result.when_calibrated == pytest.approx((0.375 + 0.32) / 2, abs=0.12)
    assert math.isnan(result.debiased_squared)
    # In one bin: share correct 1/2, confidence .775; debiased by 1/4 over n - 1 = 1.
    one = calibration_error(logits, labels, bins=1)
    assert one.error == pytest.approx(0.275)
    assert one.debiased_squared == pytest.approx(0.275**2 - 0.25)


def test_a_uniform_guess_costs_the_logarithm_of_the_classes_and_certainty_stays_finite() -> None:
    assert log_loss(numpy.zeros((5, 4)), [0, 1, 2, 3, 0]) == pytest.approx(math.log(4))
    assert log_loss([[2000.0, 0.0]], [1]) == pytest.approx(2000.0)
    assert log_loss([[2000.0, 0.0]], [0]) == 0.0


def test_bins_have_equal_mass_and_do_not_depend_on_the_order_of_examples() -> None:
    generator = numpy.random.default_rng(1)
    confidence = generator.choice([0.5, 0.6, 0.7, 0.9], 103)
    correct = generator.integers(0, 2, 103)
    bins = confidence_bins(confidence, correct, 10)
    assert bins.count.sum() == 103
    assert numpy.ptp(bins.count) <= 1
    assert (numpy.diff(bins.confidence) >= 0).all()
    assert (bins.count * bins.correct).sum() == pytest.approx(correct.sum())
    for _ in range(5):
        shuffled = generator.permutation(103)
        other = confidence_bins(confidence[shuffled], correct[shuffled], 10)
        assert other.correct == pytest.approx(bins.correct)
    assert confidence_bins([0.5, 0.9], [1, 0], 10).count.tolist() == [1, 1]


def test_a_calibrated_model_has_only_the_stated_bias() -> None:
    for examples in (60, 1000):
        result = [calibration_error(*calibrated(examples, 3, seed), seed=seed) for seed in range(60)]
        errors = numpy.array([one.error for one in result])
        stated = numpy.mean([one.when_calibrated for one in result])
        noise = 4 * errors.std() / math.sqrt(len(result))
        assert errors.mean() == pytest.approx(stated, abs=noise)
        assert errors.mean() > 2 * noise
        squared = numpy.array([one.debiased_squared for one in result])
        assert abs(squared.mean()) <= 4 * squared.std() / math.sqrt(len(result))


def test_known_overconfidence_is_measured() -> None:
    # Two classes, always confidence .9, right in 60 % of the cases.
    labels = numpy.array([0] * 60 + [1] * 40)
    logits = numpy.tile([math.log(9.0), 0.0], (100, 1))
    result = calibration_error(logits, labels)
    assert result.error == pytest.approx(0.3)
    assert result.when_calibrated < 0.06
    assert fit_temperature(logits, labels) == pytest.approx(math.log(9) / math.log(1.5), rel=1e-4)


@pytest.mark.parametrize("truth", [0.4, 1.0, 5.0])
def test_temperature_is_recovered_and_is_the_minimum(truth: float) -> None:
    logits, labels = calibrated(20_000, 3)
    fitted = fit_temperature(logits * truth, labels)
    assert fitted == pytest.approx(truth, rel=0.05)
    best = log_loss(logits * truth, labels, fitted)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert log_loss(logits * truth, labels, fitted * factor) > best


def test_a_dev_set_without_errors_or_signal_gives_an_end_of_the_range() -> None:
    separated = numpy.array([[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    assert fit_temperature(separated, [0, 1, 0]) == TEMPERATURES[0]
    assert fit_temperature(separated, [1, 0, 1]) == TEMPERATURES[1]


def test_temperature_changes_no_prediction_and_cannot_worsen_dev() -> None:
    for seed in range(20):
        logits, labels = calibrated(16, 3, seed, scale=4.0)
        fitted = fit_temperature(logits, labels)
        assert TEMPERATURES[0] <= fitted <= TEMPERATURES[1]
        assert log_loss(logits, labels, fitted) <= log_loss(logits, labels) + 1e-12
        assert (probabilities(logits, fitted).argmax(axis=1) == logits.argmax(axis=1)).all()


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([[1.0], [2.0]], [0, 0], "at least 1 x 2"),
        ([[1.0, numpy.inf]], [0], "finite"),
        ([[1.0, 2.0]], [2], "from 0 to 1, got 2 to 2"),
        ([[1.0, 2.0]], [0.5], "class numbers"),
        ([[1.0, 2.0]], [0, 1], "one per row"),
    ],
)
def test_invalid_logits_and_labels_are_refused(logits: list[list[float]], labels: list[float], message: str) -> None:
    for measure in (log_loss, brier_score, calibration_error, fit_temperature):
        with pytest.raises(ValueError, match=message):
            measure(logits, labels)
    with pytest.raises(ValueError, match="positive"):
        log_loss([[1.0, 2.0]], [0], 0.0)
    with pytest.raises(ValueError, match="equally many"):
        calibration.confidence_bins([0.5], [1, 0])
