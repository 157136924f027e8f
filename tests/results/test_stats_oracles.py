"""The same quantities by independent libraries, on random data: scipy everywhere, others where they are installed."""

import numpy
import pytest
from scipy import stats

from results import stats as statistics


@pytest.mark.parametrize("seed", range(5))
def test_corrections_against_statsmodels(seed: int) -> None:
    oracle = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    p = numpy.random.default_rng(seed).random(12).round(2)
    assert statistics.holm(p) == pytest.approx(oracle.multipletests(p, method="holm")[1])
    assert statistics.benjamini_hochberg(p) == pytest.approx(oracle.multipletests(p, method="fdr_bh")[1])


@pytest.mark.parametrize("n", [2, 5, 12, 40])
def test_power_against_statsmodels(n: int) -> None:
    oracle = pytest.importorskip("statsmodels.stats.power", reason="statsmodels is not installed").TTestPower()
    assert statistics.detection_power(0.7, n) == pytest.approx(oracle.power(0.7, n, 0.05), abs=1e-9)
    if n > 2:  # With two pairs the oracle propagates a nan of scipy.
        result = statistics.minimum_detectable_effect(n, alpha=0.01, power=0.9)
        assert oracle.power(result, n, 0.01) == pytest.approx(0.9, abs=1e-8)


def test_proportions_against_statsmodels() -> None:
    oracle = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    for failures, n in ((0, 5), (3, 10), (20, 20)):
        expected = oracle.proportion_confint(failures, n, method="wilson")
        assert statistics.wilson(failures, n) == pytest.approx(expected, abs=1e-9)


def test_mcnemar_against_statsmodels() -> None:
    oracle = pytest.importorskip("statsmodels.stats.contingency_tables", reason="statsmodels is not installed")
    first, second = numpy.random.default_rng(0).random((2, 30)) < [[0.4], [0.15]]
    table = [[(first & second).sum(), (first & ~second).sum()], [(~first & second).sum(), (~first & ~second).sum()]]
    assert statistics.mcnemar(first, second).p == pytest.approx(oracle.mcnemar(table, exact=True).pvalue)


@pytest.mark.parametrize("gap", [0.0, 0.8, 3.0])
def test_equivalence_against_statsmodels(gap: float) -> None:
    oracle = pytest.importorskip("statsmodels.stats.weightstats", reason="statsmodels is not installed")
    generator = numpy.random.default_rng(0)
    ours, theirs = generator.normal(70 + gap, 1, 6), generator.normal(70, 2, 9)
    summaries = [statistics.Summary(runs.mean(), runs.std(ddof=1), runs.size) for runs in (ours, theirs)]
    result = statistics.compare(*summaries, margin=1.5)
    means = oracle.CompareMeans.from_data(ours, theirs)
    assert result.equivalence_p == pytest.approx(means.ttost_ind(-1.5, 1.5, usevar="unequal")[0], abs=1e-9)
    assert result.p == pytest.approx(stats.ttest_ind(ours, theirs, equal_var=False).pvalue, abs=1e-9)


@pytest.mark.parametrize("n", [4, 9, 12])
def test_paired_tests_against_scipy(n: int) -> None:
    differences = numpy.random.default_rng(n).normal(0.4, 1, n).round(1)
    t = stats.ttest_1samp(differences, 0)
    assert statistics.t_test(differences) == pytest.approx(t.pvalue, abs=1e-12)
    assert statistics.t_interval(differences, 0.9) == pytest.approx(tuple(t.confidence_interval(0.9)), abs=1e-12)
    flipped = stats.permutation_test((differences,), numpy.mean, permutation_type="samples", n_resamples=numpy.inf)
    assert statistics.sign_flip(differences).p == pytest.approx(flipped.pvalue, abs=1e-12)
    kept = differences[differences != 0]
    ranked = stats.wilcoxon(kept, method=stats.PermutationMethod(n_resamples=numpy.inf))
    assert statistics.wilcoxon(differences).p == pytest.approx(ranked.pvalue, abs=1e-12)


def test_friedman_against_scipy() -> None:
    generator = numpy.random.default_rng(0)
    scores = generator.normal(size=(6, 4)).round(0)
    expected = stats.friedmanchisquare(*scores.T)
    result = statistics.friedman(scores)
    assert (result.chi_squared, result.chi_squared_p) == pytest.approx((expected.statistic, expected.pvalue))


def test_interquartile_mean_and_its_interval_against_scipy() -> None:
    tasks = numpy.random.default_rng(0).normal([[60.0], [75.0], [90.0]], 2.0, (3, 7))
    assert statistics.interquartile_mean(tasks) == pytest.approx(stats.trim_mean(tasks, 0.25, axis=None))

    def trimmed(*resampled: numpy.ndarray, axis: int = -1) -> numpy.ndarray:
        return stats.trim_mean(numpy.concatenate(resampled, axis=axis), 0.25, axis=axis)

    expected = stats.bootstrap(
        tuple(tasks), trimmed, n_resamples=5000, method="percentile", rng=numpy.random.default_rng(1)
    ).confidence_interval
    result = statistics.interquartile_mean_interval(tasks, draws=5000, widened=False)
    assert result == pytest.approx(tuple(expected), abs=0.15)
