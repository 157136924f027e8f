"""Effects, instability, power, budgets and reproductions: edge cases, and numbers of the protocol."""

import itertools
import subprocess
import sys

import numpy
import pytest

from results import stats
from results.stats import Summary, compare


def test_hedges_correction_removes_the_bias() -> None:
    generator = numpy.random.default_rng(0)
    result = [stats.effect(row) for row in generator.normal(1.0, 1.0, (20_000, 5))]
    assert numpy.mean([effect.g_z for effect in result]) == pytest.approx(1.0, abs=0.03)
    assert numpy.mean([effect.d_z for effect in result]) > 1.2
    assert stats.hedges_correction(1) == 0.0
    assert stats.hedges_correction(10_000) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(ValueError, match="at least 1"):
        stats.hedges_correction(0)


def test_winning_every_seed_is_not_certainty() -> None:
    every = stats.probability_of_winning([1.0] * 10)
    most = stats.probability_of_winning([1.0] * 6 + [-1.0] * 4)
    assert every.probability == 1.0
    assert 0.5 < every.low < 1.0
    assert every.meaningful
    assert not most.meaningful
    assert stats.probability_of_winning([0.0, 0.0]).probability == 0.5


@pytest.mark.parametrize(("failures", "n", "low", "high"), [(0, 10, 0, 28), (1, 10, 2, 40), (0, 5, 0, 43)])
def test_the_wilson_interval_of_few_runs_is_wide(failures: int, n: int, low: int, high: int) -> None:
    assert [round(100 * end) for end in stats.wilson(failures, n)] == [low, high]
    mirrored = stats.wilson(n - failures, n)
    assert mirrored == pytest.approx(tuple(1 - end for end in reversed(stats.wilson(failures, n))))


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        stats.wilson(successes, n)


def test_failed_runs_are_those_at_the_majority_score_and_those_that_diverged() -> None:
    result = stats.failed([52.7, 53.6, 53.8, numpy.nan, 70.0], majority=52.7, tolerance=1.0)
    assert result.tolist() == [True, True, False, True, False]
    with pytest.raises(ValueError, match="majority"):
        stats.failed([0.5], float("nan"), 0.01)


def test_mcnemar_uses_only_discordant_seeds() -> None:
    first = [True] * 7 + [False] * 13
    assert stats.mcnemar(first, [False] * 20) == stats.McNemar(2 / 2**7, 7, 0)
    assert stats.mcnemar([False] * 20, first) == stats.McNemar(2 / 2**7, 0, 7)
    assert stats.mcnemar(first, first).p == 1.0


def test_variance_permutation_keeps_its_level_under_collapses_and_detects_a_difference() -> None:
    generator = numpy.random.default_rng(0)
    scores = generator.normal(70, 1, (2, 400, 10)) - 15 * (generator.random((2, 400, 10)) < 0.1)
    p = [stats.variance_permutation(one, other).p for one, other in zip(*scores, strict=True)]
    assert numpy.mean(numpy.array(p) <= 0.05) < 0.09
    wide = stats.variance_permutation(generator.normal(0, 9, 18), generator.normal(0, 1, 18))
    assert wide.p < 0.01
    assert wide.log_sd_ratio > 1


def test_variance_permutation_is_symmetric_and_handles_zero_spread() -> None:
    first, second = [1.0, 5.0, 2.0, 8.0, 3.0], [2.0, 2.5, 2.2, 2.1, 2.4]
    one, other = stats.variance_permutation(first, second), stats.variance_permutation(second, first)
    assert one.p == other.p
    assert one.log_sd_ratio == -other.log_sd_ratio
    assert stats.variance_permutation([1.0, 1.0], [2.0, 2.0]) == stats.VarianceRatio(0.0, 1.0)
    constant = stats.variance_permutation([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0])
    assert constant.log_sd_ratio == -numpy.inf
    assert 0 < constant.p <= 1
    with pytest.raises(ValueError, match="at least 2"):
        stats.variance_permutation([1.0], [2.0])


def test_detectable_effects_of_the_protocol() -> None:
    result = {n: round(stats.minimum_detectable_effect(n), 2) for n in (3, 5, 8, 10, 15, 20, 30)}
    assert result == {3: 3.26, 5: 1.68, 8: 1.16, 10: 1.00, 15: 0.78, 20: 0.66, 30: 0.53}
    corrected = [round(stats.minimum_detectable_effect(n, alpha=0.05 / 7), 2) for n in (5, 10, 20)]
    assert corrected == [2.87, 1.41, 0.87]
    assert stats.minimum_detectable_effect(1) == numpy.inf
    with pytest.raises(ValueError, match="at least 1"):
        stats.minimum_detectable_effect(0)
    with pytest.raises(ValueError, match="power"):
        stats.minimum_detectable_effect(10, power=1.0)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 30])
@pytest.mark.parametrize("comparisons", [1, 7, 24, 300])
def test_the_detectable_effect_has_the_requested_power(n: int, comparisons: int) -> None:
    alpha = 0.05 / comparisons
    result = stats.minimum_detectable_effect(n, alpha)
    assert stats.detection_power(result, n, alpha) == pytest.approx(0.8, abs=1e-9)
    powers = [stats.detection_power(d_z, n, alpha) for d_z in numpy.linspace(0, 2 * result, 50)]
    assert (numpy.diff(powers) > 0).all()
    assert powers == [stats.detection_power(-d_z, n, alpha) for d_z in numpy.linspace(0, 2 * result, 50)]


def test_power_agrees_with_a_simulation() -> None:
    rows = numpy.random.default_rng(0).normal(1.0, 1.0, (3000, 10))
    result = numpy.mean([stats.t_test(row) <= 0.05 for row in rows])
    assert result == pytest.approx(stats.detection_power(1.0, 10), abs=4 * numpy.sqrt(0.8 * 0.2 / 3000))
    assert stats.detection_power(0.0, 10) == pytest.approx(0.05, abs=1e-9)
    with pytest.raises(ValueError, match="at least 2"):
        stats.detection_power(1.0, 1)


def test_expected_best_is_the_mean_over_all_searches() -> None:
    scores = [0.3, 0.9, 0.5, 0.5, 0.1]
    unbiased = stats.expected_best_without_replacement(scores)
    for n in range(1, 6):
        searches = [max(chosen) for chosen in itertools.combinations(scores, n)]
        assert unbiased[n - 1] == pytest.approx(numpy.mean(searches))
    many = numpy.random.default_rng(0).random(2000)
    curve = stats.expected_best_without_replacement(many)
    assert (numpy.diff(curve) > -1e-12).all()
    assert curve[-1] == pytest.approx(many.max())


def test_verdicts_on_a_reproduction() -> None:
    published = Summary(70.0, 1.0, 10)
    assert compare(Summary(70.1, 1.0, 10), published, margin=1.5).verdict == "reproduced"
    assert compare(Summary(67.0, 1.0, 10), published, margin=1.5).verdict == "not reproduced"
    assert compare(Summary(69.0, 3.0, 5), published, margin=1.5).verdict == "too little data to say"
    # Significantly different, but within the margin that was declared irrelevant.
    close = compare(Summary(70.5, 0.2, 100), Summary(70.0, 0.2, 100), margin=1.5)
    assert close.p < 0.001
    assert close.verdict == "reproduced"


@pytest.mark.parametrize(
    ("ours", "published"),
    [
        (Summary(70.0, 1.0, 10), Summary(70.0, None, 10)),
        (Summary(70.0, 1.0, 10), Summary(70.0, 1.0, 1)),
        (Summary(70.0, float("nan"), 10), Summary(70.0, 1.0, 10)),
        (Summary(70.0, 0.0, 3), Summary(60.0, 0.0, 3)),
    ],
)
def test_without_a_spread_on_both_sides_there_is_no_verdict(ours: Summary, published: Summary) -> None:
    result = compare(ours, published, margin=1.0)
    assert result.verdict == "too little data to say"
    assert numpy.isnan([result.p, result.equivalence_p, result.low, result.high]).all()
    assert result.difference == ours.mean - published.mean


def test_a_reproduction_needs_a_margin_and_possible_spreads() -> None:
    with pytest.raises(ValueError, match="margin"):
        compare(Summary(70.0, 1.0, 10), Summary(70.0, 1.0, 10), margin=0.0)
    with pytest.raises(ValueError, match="sd"):
        compare(Summary(70.0, -1.0, 10), Summary(70.0, 1.0, 10), margin=1.0)
    with pytest.raises(ValueError, match="at least 2"):
        stats.sample_sd(1.0, 1)
    assert stats.sample_sd(1.0, 10) == pytest.approx(1.0541, abs=1e-4)


def test_the_package_is_light_to_import() -> None:
    heavy = "torch", "pandas", "scipy.stats", "scipy.optimize", "sklearn", "statsmodels"
    program = f"import sys, results.stats; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
