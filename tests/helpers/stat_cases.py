"""Access to the reference values of stat_cases.json, and lists of those that tests cover or leave out, with reasons."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONTENT = json.loads((Path(__file__).parents[1] / "results" / "golden" / "stat_cases.json").read_text(encoding="utf-8"))
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
    "a statistic that the suite does not print": {
        "matched_pairs_rank_biserial",
        "sign_test_p_two_sided",
        "point_mean_median_iqm_optgap",
        "ci95_percentile_seed0_mean_median_iqm_optgap",
        "failed_rate_clopper_pearson95",
    },
    "metadata of a reference value": {
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
    "the same number, rounded or computed differently": {
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
    "values of functions that no table uses": {
        "unpaired_prob_improvement_A12",
        "nemenyi_p_matrix_scikit_posthocs",
        "n_ceil",
        "brown_forsythe_W",
        "brown_forsythe_p",
        "point",
        "violation_ratio_a_over_b_dt0005",
        "violation_ratio_b_over_a_dt0005",
        "violation_ratio_a_over_b_dt0001",
        "eps_min_a_over_b_mean",
        "eps_min_b_over_a_mean",
        "p_x_better_p_rope_p_y_better_mean5",
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
        "nemenyi_cliques_alpha_0.05_method_indices_best_first",
    },
    "iqm_rliable": {"iqm", "iqm_ci95_percentile_mean_over_10_seeds", "taus", "A", "B"},
    "aso": set(),
    "power": {"mde_d_z", "mde_points_if_sd_diff_is_1_5"},
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
    "bayes": set(),
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
