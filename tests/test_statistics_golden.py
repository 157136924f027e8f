"""Reference values of other libraries, of full enumerations and of published tables, reproduced within their tolerance.

COVERED and LEFT_OUT together name every number of the file, so that a new one cannot go unnoticed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest

from results import statistics
from results.simulations import percentile_intervals
from results.statistics.signs import ENUMERATED_TO

CONTENT = json.loads((Path(__file__).parent / "golden" / "stat_cases.json").read_text(encoding="utf-8"))
EXACT = 1e-9
STUDENTIZED_RANGE = 1e-6

LEFT_OUT = {
    "one-sided; the protocol's tests are two-sided": {
        "t_p_greater",
        "signflip_exact_p_greater",
        "wilcoxon_exact_p_greater_zeros_dropped_conditional_on_ties",
    },
    "a convention the protocol rejects": {
        "cohen_d_av_pingouin",
        "hedges_J_approx_1_minus_3_over_4df_minus_1",
        "wilcoxon_scipy_method_exact_ignores_ties_p_two_sided",
        "wilcoxon_pratt_PermutationMethod_p_two_sided",
        "wilcoxon_scipy_auto_p_two_sided",
        "wilcoxon_scipy_auto_on_unrounded_float_differences_p_two_sided",
        "pitman_morgan_r",
        "pitman_morgan_p",
        "pooled_t_p_WRONG_pseudoreplication_if_tasks_are_random",
        "BCa",
        "basic",
        "scipy_multisample_bootstrap_BCa_seed0",
        "iqm_ci95_task_bootstrap_seed0",
        "ci95_percentile_seed0_500reps_unpaired",
    },
    "another correction than Holm or Benjamini-Hochberg": {
        f"{correction}_{kind}"
        for correction in ("bonferroni", "holm_sidak", "by", "hommel", "hochberg")
        for kind in ("adjusted", "reject_at_0.05")
    },
    "another description than the suite prints": {
        "matched_pairs_rank_biserial",
        "sign_test_p_two_sided",
        "point_mean_median_iqm_optgap",
        "ci95_percentile_seed0_mean_median_iqm_optgap",
        "failed_rate_clopper_pearson95",
    },
    "says how the number was made": {
        "mc_sd",
        "iqm_ci95_mc_sd",
        "eps_min_a_over_b_mc_sd",
        "eps_min_b_over_a_mc_sd",
        "eps_min_a_over_b_by_seed",
        "seeds",
        "exact_by",
        "monte_carlo_check_200k",
        "note",
        "n_distinct_abs_diffs_unrounded",
        "n_distinct_abs_diffs_rounded_1e-9",
        "pingouin_power_at_that_d",
    },
    "the same number, rounded or by another route": {
        "published_mean_ranks",
        "published_chi2",
        "published_FF",
        "published_cd_0_05",
        "scipy_multisample_bootstrap_percentile_seed0",
        "percentile_exact_all_3125_resamples_numpy_linear_quantile",
        "wilcoxon_scipy_PermutationMethod_p_two_sided",
        "signflip_n_permutations",
        "t_df",
        "sem_diff",
        "nemenyi_q_alpha_0.05",
        "nemenyi_q_alpha_0.1",
        "n",
    },
}

COVERED: dict[str, set[str]] = {
    "paired": {
        "mean_diff",
        "sd_diff_ddof1",
        "t_statistic",
        "t_p_two_sided",
        "t_ci95_mean_diff",
        "cohen_d_z",
        "hedges_J_exact_df_n_minus_1",
        "hedges_g_z",
        "signflip_exact_p_two_sided",
        "signflip_floor_two_sided",
        "wilcoxon_W_plus_zeros_dropped",
        "wilcoxon_W_min_zeros_dropped",
        "wilcoxon_exact_p_two_sided_zeros_dropped_conditional_on_ties",
        "wins_ties_losses",
        "paired_prob_outperform_ties_half",
        "unpaired_prob_improvement_A12",
        "percentile",
        "ci95_mean_over_5_rng",
    },
    "multiplicity": {"holm_adjusted", "holm_reject_at_0.05", "bh_adjusted", "bh_reject_at_0.05"},
    "friedman_nemenyi": {
        "mean_ranks_rank1_is_best",
        "friedman_chi2_no_tie_correction_demsar",
        "friedman_chi2_tie_corrected_scipy",
        "friedman_p_chi2_scipy",
        "iman_davenport_F_no_tie_correction",
        "iman_davenport_p_no_tie_correction",
        "iman_davenport_F_tie_corrected",
        "iman_davenport_p_tie_corrected",
        "iman_davenport_df",
        "kendall_W_tie_corrected",
        "nemenyi_cd_alpha_0.05",
        "nemenyi_cd_alpha_0.1",
        "nemenyi_p_matrix_scikit_posthocs",
        "nemenyi_cliques_alpha_0.05_method_indices_best_first",
    },
    "iqm_rliable": {"iqm", "iqm_ci95_percentile_mean_over_10_seeds", "point", "taus", "A", "B"},
    "aso": {
        "violation_ratio_a_over_b_dt0005",
        "violation_ratio_b_over_a_dt0005",
        "violation_ratio_a_over_b_dt0001",
        "eps_min_a_over_b_mean",
        "eps_min_b_over_a_mean",
    },
    "power": {"mde_d_z", "mde_points_if_sd_diff_is_1_5", "n_ceil"},
    "expected_max_performance": {"with_replacement_dodge2019", "without_replacement_unbiased_tang2020"},
    "instability": {
        "mean",
        "sd_ddof1",
        "median",
        "iqr_numpy_linear",
        "mad_normal_scaled",
        "range",
        "failed",
        "failed_rate_wilson95",
        "brown_forsythe_W",
        "brown_forsythe_p",
        "log_sd_ratio",
        "discordant_failures",
        "mcnemar_exact_p_two_sided",
        "paired_swap_permutation_p_log_variance_ratio_median_centred",
    },
    "across_tasks": {
        "task_mean_diff",
        "macro_mean_diff",
        "welch_satterthwaite_se",
        "welch_satterthwaite_df",
        "welch_satterthwaite_t",
        "welch_satterthwaite_p_two_sided",
        "welch_satterthwaite_ci95",
        "stratified_signflip_exact_p_two_sided",
        "task_level_signflip_exact_p_two_sided",
        "task_level_wilcoxon_exact_p_two_sided",
        "task_level_t_p_two_sided",
        "tasks_won_tied_lost",
    },
    "bayes": {"p_x_better_p_rope_p_y_better_mean5"},
    "published_comparison": {
        "published_sd_ddof1",
        "difference",
        "se",
        "welch_df",
        "welch_t",
        "welch_p_two_sided",
        "ci95",
        "tost_p",
        "equivalent_at_0_05",
        "ci90_for_tost",
    },
}


def cases(group: str) -> Any:
    return pytest.mark.parametrize("case", [pytest.param(case, id=case["id"]) for case in CONTENT["cases"][group]])


def close(tolerance: float) -> Any:
    return lambda expected: pytest.approx(expected, abs=tolerance, rel=0)


exactly = close(EXACT)


def names(output: Any) -> Iterator[str]:
    if isinstance(output, dict):
        for name, value in output.items():
            if not name.isdigit():
                yield name
            yield from names(value)


@pytest.mark.parametrize("group", [g for g in CONTENT["cases"] if g != "known_library_defects_observed"])
def test_every_reference_number_is_tested_or_left_out_for_a_reason(group: str) -> None:
    present = {name for case in CONTENT["cases"][group] for name in names(case["output"])}
    wrappers = {"bootstrap_mean_diff", "a", "b", "prob_improvement_A_over_B", "performance_profile"}
    known = COVERED[group] | wrappers | {"n"}
    assert present - known - set.union(*LEFT_OUT.values()) == set()


@cases("paired")
def test_paired(case: dict[str, Any]) -> None:
    a, b = numpy.array(case["input"]["a"]), numpy.array(case["input"]["b"])
    expected = case["output"]
    differences = a - b

    flip = statistics.sign_flip(differences)
    assert flip.n == expected["n"]
    assert flip.mean == exactly(expected["mean_diff"])
    assert flip.p == exactly(expected["signflip_exact_p_two_sided"])
    assert flip.floor == exactly(expected["signflip_floor_two_sided"])
    assert statistics.spread(differences).sd == exactly(expected["sd_diff_ddof1"])
    assert statistics.t_test(differences) == exactly(expected["t_p_two_sided"])
    assert statistics.t_interval(differences) == exactly(expected["t_ci95_mean_diff"])

    signed_rank = statistics.wilcoxon(differences)
    negative_ranks = signed_rank.n * (signed_rank.n + 1) / 2 - signed_rank.positive_ranks
    assert signed_rank.p == exactly(expected["wilcoxon_exact_p_two_sided_zeros_dropped_conditional_on_ties"])
    assert signed_rank.positive_ranks == expected["wilcoxon_W_plus_zeros_dropped"]
    assert min(signed_rank.positive_ranks, negative_ranks) == expected["wilcoxon_W_min_zeros_dropped"]

    effect = statistics.effect(differences)
    assert effect.d_z == exactly(expected["cohen_d_z"])
    assert effect.g_z == exactly(expected["hedges_g_z"])
    assert effect.d_z * numpy.sqrt(flip.n) == exactly(expected["t_statistic"])
    assert statistics.hedges_correction(flip.n - 1) == exactly(expected["hedges_J_exact_df_n_minus_1"])

    assert list(statistics.wins_ties_losses(differences)) == expected["wins_ties_losses"]
    winning = statistics.probability_of_winning(differences).probability
    assert winning == exactly(expected["paired_prob_outperform_ties_half"])
    improvement = statistics.probability_of_improvement([a], [b])
    assert improvement == exactly(expected["unpaired_prob_improvement_A12"])


@cases("paired")
def test_percentile_bootstrap_of_the_simulations(case: dict[str, Any]) -> None:
    differences = numpy.array(case["input"]["a"]) - case["input"]["b"]
    rows = numpy.tile(differences, (20, 1))
    interval = percentile_intervals(rows, numpy.random.default_rng(0)).mean(axis=0)
    assert interval == close(0.001)(case["output"]["bootstrap_mean_diff"]["percentile"]["ci95_mean_over_5_rng"])


@cases("multiplicity")
def test_multiplicity(case: dict[str, Any]) -> None:
    expected, alpha = case["output"], case["input"]["alpha"]
    holm, q_values = statistics.holm(case["input"]["p"]), statistics.benjamini_hochberg(case["input"]["p"])
    assert holm == exactly(expected["holm_adjusted"])
    assert (holm <= alpha).tolist() == expected["holm_reject_at_0.05"]
    assert q_values == exactly(expected["bh_adjusted"])
    assert (q_values <= alpha).tolist() == expected["bh_reject_at_0.05"]


@cases("friedman_nemenyi")
def test_friedman(case: dict[str, Any]) -> None:
    scores, expected = case["input"]["scores"], case["output"]
    corrected, plain = statistics.friedman(scores), statistics.friedman(scores, tie_correction=False)
    assert statistics.mean_ranks(scores) == exactly(expected["mean_ranks_rank1_is_best"])
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
    critical = statistics.critical_difference(methods, tasks)
    assert critical == ranges(expected["nemenyi_cd_alpha_0.05"])
    assert statistics.critical_difference(methods, tasks, alpha=0.1) == ranges(expected["nemenyi_cd_alpha_0.1"])
    assert statistics.nemenyi(scores) == ranges(numpy.array(expected["nemenyi_p_matrix_scikit_posthocs"]))
    ranks = statistics.mean_ranks(scores)
    bars = statistics.cliques(ranks, numpy.abs(ranks[:, None] - ranks) < critical)
    assert bars == expected["nemenyi_cliques_alpha_0.05_method_indices_best_first"]


def test_demsars_table_as_printed() -> None:
    case = next(case for case in CONTENT["cases"]["friedman_nemenyi"] if case["id"].startswith("demsar2006"))
    scores, expected = case["input"]["scores"], case["output"]
    result = statistics.friedman(scores, tie_correction=False)
    assert statistics.mean_ranks(scores).round(3).tolist() == expected["published_mean_ranks"]
    assert round(result.chi_squared, 2) == expected["published_chi2"]
    assert round(result.f, 2) == expected["published_FF"]
    assert round(statistics.critical_difference(4, 14), 2) == expected["published_cd_0_05"]


@pytest.mark.parametrize("side", ["A", "B"])
@cases("iqm_rliable")
def test_interquartile_mean(case: dict[str, Any], side: str) -> None:
    tasks = numpy.array(case["input"][f"scores_{side}"]).T
    expected = case["output"][side]
    assert statistics.interquartile_mean(tasks) == exactly(expected["iqm"])
    interval = statistics.interquartile_mean_interval(tasks, widened=False)
    assert interval == close(0.001)(expected["iqm_ci95_percentile_mean_over_10_seeds"])


@cases("iqm_rliable")
def test_profile_and_probability_of_improvement(case: dict[str, Any]) -> None:
    first, second = (numpy.array(case["input"][f"scores_{side}"]).T for side in "AB")
    expected = case["output"]
    profile = expected["performance_profile"]
    assert statistics.performance_profile(first, profile["taus"]) == exactly(profile["A"])
    assert statistics.performance_profile(second, profile["taus"]) == exactly(profile["B"])
    improvement = statistics.probability_of_improvement(first, second)
    assert improvement == exactly(expected["prob_improvement_A_over_B"]["point"])


@cases("aso")
def test_almost_stochastic_order(case: dict[str, Any]) -> None:
    a, b, expected = case["input"]["a"], case["input"]["b"], case["output"]
    assert statistics.violation_ratio(a, b) == exactly(expected["violation_ratio_a_over_b_dt0005"])
    assert statistics.violation_ratio(b, a) == exactly(expected["violation_ratio_b_over_a_dt0005"])
    assert statistics.violation_ratio(a, b, step=0.001) == exactly(expected["violation_ratio_a_over_b_dt0001"])
    assert statistics.minimum_epsilon(a, b) == close(0.04)(expected["eps_min_a_over_b_mean"])
    assert statistics.minimum_epsilon(b, a) == close(0.04)(expected["eps_min_b_over_a_mean"])


@pytest.mark.parametrize("case", [case for case in CONTENT["cases"]["power"] if case["id"].startswith("mde")])
def test_minimum_detectable_effect(case: dict[str, Any]) -> None:
    n, alpha, power = (case["input"][name] for name in ("n_pairs", "alpha_two_sided", "power"))
    reference, reached = case["output"]["mde_d_z"], case["output"]["pingouin_power_at_that_d"]
    assert statistics.detection_power(reference, n, alpha) == exactly(reached)
    found = statistics.minimum_detectable_effect(n, alpha, power)
    assert statistics.detection_power(found, n, alpha) == exactly(power)
    # The library's search stopped with the power this far from its goal; its root is as far from the true one.
    slope = (statistics.detection_power(found + 1e-4, n, alpha) - power) / 1e-4
    assert found - reference == pytest.approx((power - reached) / slope, abs=EXACT)
    assert 1.5 * found == pytest.approx(case["output"]["mde_points_if_sd_diff_is_1_5"], abs=5e-7)


def test_noether_sample_size() -> None:
    case = next(case for case in CONTENT["cases"]["power"] if case["id"].startswith("noether"))
    found = statistics.noether_sample_size(case["input"]["gamma"], case["input"]["alpha"], case["input"]["beta"])
    assert found == case["output"]["n_ceil"]


@cases("expected_max_performance")
def test_expected_best(case: dict[str, Any]) -> None:
    scores = case["input"]["scores"]
    plug_in = statistics.expected_best_with_replacement(scores)
    unbiased = statistics.expected_best_without_replacement(scores)
    assert len(plug_in) == len(unbiased) == len(scores)
    for n, expected in case["output"].items():
        assert plug_in[int(n) - 1] == exactly(expected["with_replacement_dodge2019"])
        assert unbiased[int(n) - 1] == exactly(expected["without_replacement_unbiased_tang2020"])


@cases("instability")
def test_instability(case: dict[str, Any]) -> None:
    expected, majority = case["output"], case["input"]["majority_class_score"]
    first, second = case["input"]["a"], case["input"]["b"]
    failures = []
    for side in "ab":
        scores, reference = case["input"][side], expected[side]
        spread = statistics.spread(scores)
        assert spread.mean == exactly(reference["mean"])
        assert spread.sd == exactly(reference["sd_ddof1"])
        assert spread.median == exactly(reference["median"])
        assert spread.interquartile_range == exactly(reference["iqr_numpy_linear"])
        assert spread.median_absolute_deviation == exactly(reference["mad_normal_scaled"])
        assert spread.maximum - spread.minimum == exactly(reference["range"])
        failures.append(statistics.failed(scores, majority, tolerance=0.01))
        count = int(failures[-1].sum())
        assert count == reference["failed"]
        assert statistics.wilson(count, len(scores)) == exactly(reference["failed_rate_wilson95"])

    assert statistics.brown_forsythe(first, second) == exactly(
        (expected["brown_forsythe_W"], expected["brown_forsythe_p"])
    )
    mcnemar = statistics.mcnemar(*failures)
    assert [mcnemar.only_first, mcnemar.only_second] == expected["discordant_failures"]
    assert mcnemar.p == exactly(expected["mcnemar_exact_p_two_sided"])
    ratio = statistics.variance_permutation(first, second)
    assert ratio.log_sd_ratio == exactly(expected["log_sd_ratio"])
    permutation = "paired_swap_permutation_p_log_variance_ratio_median_centred"
    if permutation in expected:
        assert ratio.p == exactly(expected[permutation])


@cases("across_tasks")
def test_across_tasks(case: dict[str, Any]) -> None:
    differences, expected = case["input"]["paired_differences"], case["output"]
    means = statistics.task_means(differences)
    assert means == exactly(expected["task_mean_diff"])
    stratified = statistics.stratified_sign_flip(differences)
    assert stratified.mean == exactly(expected["macro_mean_diff"])
    assert stratified.p == exactly(expected["stratified_signflip_exact_p_two_sided"])

    welch = statistics.welch_satterthwaite(differences)
    assert welch.mean == exactly(expected["macro_mean_diff"])
    assert welch.standard_error == exactly(expected["welch_satterthwaite_se"])
    assert welch.degrees_of_freedom == exactly(expected["welch_satterthwaite_df"])
    assert welch.mean / welch.standard_error == exactly(expected["welch_satterthwaite_t"])
    assert welch.p == exactly(expected["welch_satterthwaite_p_two_sided"])
    assert (welch.low, welch.high) == exactly(expected["welch_satterthwaite_ci95"])

    assert statistics.sign_flip(means).p == exactly(expected["task_level_signflip_exact_p_two_sided"])
    assert statistics.wilcoxon(means).p == exactly(expected["task_level_wilcoxon_exact_p_two_sided"])
    assert statistics.t_test(means) == exactly(expected["task_level_t_p_two_sided"])
    assert list(statistics.wins_ties_losses(means)) == expected["tasks_won_tied_lost"]


def test_a_reference_value_is_for_more_patterns_than_are_counted() -> None:
    blocks = max(numpy.size(case["input"]["paired_differences"]) for case in CONTENT["cases"]["across_tasks"])
    assert blocks > ENUMERATED_TO


@cases("bayes")
def test_bayesian_signed_rank(case: dict[str, Any]) -> None:
    differences = numpy.array(case["input"]["x"]) - case["input"]["y"]
    found = statistics.bayesian_signed_rank(differences, case["input"]["rope"])
    expected = case["output"]["p_x_better_p_rope_p_y_better_mean5"]
    assert (found.better, found.equal, found.worse) == close(0.01)(expected)


@cases("published_comparison")
def test_published_comparison(case: dict[str, Any]) -> None:
    ours, published, expected = case["input"]["ours"], case["input"]["published"], case["output"]
    sd = statistics.sample_sd(published["sd_ddof0"], published["n"])
    assert sd == exactly(expected["published_sd_ddof1"])
    found = statistics.compare(
        statistics.Summary(ours["mean"], ours["sd_ddof1"], ours["n"]),
        statistics.Summary(published["mean"], sd, published["n"]),
        margin=case["input"]["equivalence_margin_points"],
    )
    assert found.difference == exactly(expected["difference"])
    assert found.standard_error == exactly(expected["se"])
    assert found.degrees_of_freedom == exactly(expected["welch_df"])
    assert found.difference / found.standard_error == exactly(expected["welch_t"])
    assert found.p == exactly(expected["welch_p_two_sided"])
    assert (found.low, found.high) == exactly(expected["ci95"])
    assert found.equivalence_p == exactly(expected["tost_p"])
    assert (found.equivalence_low, found.equivalence_high) == exactly(expected["ci90_for_tost"])
    assert (found.verdict == "reproduced") == expected["equivalent_at_0_05"]
