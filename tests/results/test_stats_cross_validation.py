"""The corrected test over cross-validation folds, learning curves, and the simulations that validate the test."""

import csv
import math

import numpy
import pytest
from scipy import stats

from results.analysis import cross_validation_simulations as simulations
from results.loading.layout import ROOT
from results.stats.cross_validation import corrected_t
from results.stats.learning_curve import Curve, PowerLaw, crossing, fit_power_law

COMMITTED = ROOT / "results" / "tables" / "cross-validation.csv"


def test_without_the_correction_it_is_the_paired_t_test_and_the_correction_widens_it() -> None:
    values = numpy.random.default_rng(0).normal(0.4, 1.0, 10)
    plain = corrected_t(values, 1e-12)
    expected = stats.ttest_1samp(values, 0.0)
    assert plain.p == pytest.approx(expected.pvalue)
    assert (plain.low, plain.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    corrected = corrected_t(values, 0.25)
    assert corrected.standard_error == pytest.approx(plain.standard_error * math.sqrt((0.1 + 0.25) / 0.1))
    assert corrected.p > plain.p
    t = corrected.mean / corrected.standard_error
    assert corrected.p == pytest.approx(2 * stats.t.sf(abs(t), 9))


def test_edge_cases_of_the_test_and_of_curves() -> None:
    assert corrected_t([0.5], 0.25).mean == 0.5
    assert math.isnan(corrected_t([0.5], 0.25).p)
    assert corrected_t([0.0] * 5, 0.25).p == 1.0
    assert corrected_t([0.1] * 5, 0.25).p == 0.0
    for values, share in (([], 0.25), ([1.0, math.nan], 0.25), ([1.0, 2.0], 0.0)):
        with pytest.raises(ValueError, match="values|test_share"):
            corrected_t(values, share)


@pytest.mark.parametrize("law", [PowerLaw(2.0, 0.5), PowerLaw(0.3, 0.1), PowerLaw(0.1, -0.2)])
def test_a_power_law_is_recovered_and_its_gain_is_exact(law: PowerLaw) -> None:
    sizes = (40, 80, 160)
    result = fit_power_law(sizes, [law.error(n) for n in sizes])
    assert (result.scale, result.exponent) == pytest.approx((law.scale, law.exponent))
    curve = Curve.of(sizes, [[law.error(n) for n in sizes]] * 5, 0.25)
    gain = curve.gain(200, 100)
    assert gain.mean == pytest.approx(law.error(200) - law.error(300))
    assert (gain.low, gain.high) == pytest.approx((gain.mean, gain.mean), abs=1e-9)


def test_the_interval_of_a_linear_statistic_is_that_of_the_errors() -> None:
    """If folds differ only by a factor, the error at the middle size is each fold's own."""
    factors = numpy.array([0.8, 0.9, 1.0, 1.1, 1.3])
    errors = factors[:, None] * numpy.array([0.4, 0.2, 0.1])
    result, expected = Curve.of((10, 20, 40), errors, 0.25).error_at(20), corrected_t(errors[:, 1], 0.25)
    assert (result.mean, result.low, result.high) == pytest.approx(
        (expected.mean, expected.low, expected.high), rel=1e-6
    )


def test_invalid_curves_are_refused() -> None:
    with pytest.raises(ValueError, match="different positive sizes"):
        fit_power_law((10, 10), (0.1, 0.2))
    with pytest.raises(ValueError, match="do not match"):
        Curve.of((10, 20, 40), [[0.1, 0.2]], 0.25)
    assert math.isnan(Curve.of((10, 20), [[0.2, 0.1]] * 2, 0.25).gain(20, 100).low)
    assert fit_power_law((10, 20), (0.0, 0.0)).error(10) > 0


def test_where_two_laws_cross() -> None:
    at = crossing(PowerLaw(2.0, 0.5), PowerLaw(0.5, 0.2))
    assert at is not None
    assert PowerLaw(2.0, 0.5).error(at) == pytest.approx(PowerLaw(0.5, 0.2).error(at))
    assert crossing(PowerLaw(2.0, 0.5), PowerLaw(1.0, 0.5)) is None


def committed() -> dict[tuple[str, str, str, str], float]:
    rows = csv.DictReader(COMMITTED.read_text(encoding="utf-8").splitlines())
    return {
        (row["outcome"], row["data"], row["rows"], f"{row['folds']}x{row['repeats']}"): float(row["rate"])
        for row in rows
    }


def test_the_committed_rates_justify_the_corrected_test() -> None:
    result = committed()
    assert len(result) == len(simulations.OUTCOMES) * len(simulations.DATA) * len(simulations.ROWS) * 3
    for (outcome, data, _, design), rate in result.items():
        if outcome == "corrected t":
            assert rate <= 0.05
        if outcome == "paired t" and data == "normal" and design != "5x1":
            assert rate > 0.15
        if outcome == "interval misses" and data == "normal":
            assert rate <= 0.05
        if outcome == "interval of the best misses" and data == "normal" and design == "5x2":
            assert rate <= 0.1


def test_a_short_run_agrees_with_the_committed_rates() -> None:
    expected = committed()
    for one in simulations.simulate(60, seed=3):
        rate = expected[one.outcome, one.data, str(one.rows), f"{one.folds}x{one.repeats}"]
        assert abs(one.rate - rate) <= 4.5 * math.sqrt(max(rate * (1 - rate), 0.01) / 60), one
    with pytest.raises(ValueError, match="at least 1"):
        simulations.simulate(0)


def test_the_true_accuracy_agrees_with_many_new_rows() -> None:
    generator = numpy.random.default_rng(0)
    weights = generator.normal(size=(2, simulations.FEATURES + 1))
    y = numpy.where(generator.random(200_000) < 0.5, 1.0, -1.0)
    x = generator.normal(size=(len(y), simulations.FEATURES)) + simulations.DISTANCE * y[:, None]
    for one, expected in zip(weights, simulations.true_accuracy(weights), strict=True):
        assert (numpy.sign(x @ one[:-1] + one[-1]) == y).mean() == pytest.approx(expected, abs=0.005)
