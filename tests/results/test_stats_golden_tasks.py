"""Reference values over tasks: ranks, interquartile means, stochastic order, claims across tasks.

From other libraries, full enumerations and published tables, reproduced within their tolerance.
"""

from typing import Any

import numpy
import pytest

from helpers.stat_cases import CONTENT, STUDENTIZED_RANGE, cases, close, exactly
from results import stats
from results.stats.signs import ENUMERATED_TO


@cases("friedman_nemenyi")
def test_friedman(case: dict[str, Any]) -> None:
    scores, expected = case["input"]["scores"], case["output"]
    corrected, plain = stats.friedman(scores), stats.friedman(scores, tie_correction=False)
    assert stats.mean_ranks(scores) == exactly(expected["mean_ranks_rank1_is_best"])
    assert corrected.chi_squared == exactly(expected["friedman_chi2_tie_corrected_scipy"])
    assert corrected.chi_squared_p == exactly(expected["friedman_p_chi2_scipy"])
    assert corrected.f == exactly(expected["iman_davenport_F_tie_corrected"])
    assert corrected.f_p == exactly(expected["iman_davenport_p_tie_corrected"])
    assert corrected.kendall_w == exactly(expected["kendall_W_tie_corrected"])
    assert list(corrected.degrees_of_freedom) == expected["iman_davenport_df"]
    assert plain.chi_squared == exactly(expected["friedman_chi2_no_tie_correction_demsar"])
    assert plain.f == exactly(expected["iman_davenport_F_no_tie_correction"])
    assert plain.f_p == exactly(expected["iman_davenport_p_no_tie_correction"])


@cases("friedman_nemenyi")
def test_nemenyi(case: dict[str, Any]) -> None:
    scores, expected = case["input"]["scores"], case["output"]
    tasks, methods = numpy.shape(scores)
    ranges = close(STUDENTIZED_RANGE)
    critical = stats.critical_difference(methods, tasks)
    assert critical == ranges(expected["nemenyi_cd_alpha_0.05"])
    assert stats.critical_difference(methods, tasks, alpha=0.1) == ranges(expected["nemenyi_cd_alpha_0.1"])
    ranks = stats.mean_ranks(scores)
    bars = stats.cliques(ranks, numpy.abs(ranks[:, None] - ranks) < critical)
    assert bars == expected["nemenyi_cliques_alpha_0.05_method_indices_best_first"]


def test_demsars_table_as_printed() -> None:
    case = next(case for case in CONTENT["cases"]["friedman_nemenyi"] if case["id"].startswith("demsar2006"))
    scores, expected = case["input"]["scores"], case["output"]
    result = stats.friedman(scores, tie_correction=False)
    assert stats.mean_ranks(scores).round(3).tolist() == expected["published_mean_ranks"]
    assert round(result.chi_squared, 2) == expected["published_chi2"]
    assert round(result.f, 2) == expected["published_FF"]
    assert round(stats.critical_difference(4, 14), 2) == expected["published_cd_0_05"]


@pytest.mark.parametrize("side", ["A", "B"])
@cases("iqm_rliable")
def test_interquartile_mean(case: dict[str, Any], side: str) -> None:
    tasks = numpy.array(case["input"][f"scores_{side}"]).T
    expected = case["output"][side]
    assert stats.interquartile_mean(tasks) == exactly(expected["iqm"])
    interval = stats.interquartile_mean_interval(tasks, widened=False)
    assert interval == close(0.001)(expected["iqm_ci95_percentile_mean_over_10_seeds"])


@cases("iqm_rliable")
def test_performance_profile(case: dict[str, Any]) -> None:
    first, second = (numpy.array(case["input"][f"scores_{side}"]).T for side in "AB")
    expected = case["output"]
    profile = expected["performance_profile"]
    assert stats.performance_profile(first, profile["taus"]) == exactly(profile["A"])
    assert stats.performance_profile(second, profile["taus"]) == exactly(profile["B"])


@cases("across_tasks")
def test_across_tasks(case: dict[str, Any]) -> None:
    differences, expected = case["input"]["paired_differences"], case["output"]
    means = stats.task_means(differences)
    assert means == exactly(expected["task_mean_diff"])
    stratified = stats.stratified_sign_flip(differences)
    assert stratified.mean == exactly(expected["macro_mean_diff"])
    assert stratified.p == exactly(expected["stratified_signflip_exact_p_two_sided"])

    welch = stats.welch_satterthwaite(differences)
    assert welch.mean == exactly(expected["macro_mean_diff"])
    assert welch.standard_error == exactly(expected["welch_satterthwaite_se"])
    assert welch.degrees_of_freedom == exactly(expected["welch_satterthwaite_df"])
    assert welch.mean / welch.standard_error == exactly(expected["welch_satterthwaite_t"])
    assert welch.p == exactly(expected["welch_satterthwaite_p_two_sided"])
    assert (welch.low, welch.high) == exactly(expected["welch_satterthwaite_ci95"])

    assert stats.sign_flip(means).p == exactly(expected["task_level_signflip_exact_p_two_sided"])
    assert stats.wilcoxon(means).p == exactly(expected["task_level_wilcoxon_exact_p_two_sided"])
    assert stats.t_test(means) == exactly(expected["task_level_t_p_two_sided"])
    assert list(stats.wins_ties_losses(means)) == expected["tasks_won_tied_lost"]


def test_a_reference_value_is_of_as_many_differences_as_are_ever_enumerated() -> None:
    blocks = max(numpy.size(case["input"]["paired_differences"]) for case in CONTENT["cases"]["across_tasks"])
    assert blocks == ENUMERATED_TO
