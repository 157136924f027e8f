"""Reference values for one comparison: pairs, families, power, best of n, instability, published summaries.

From other libraries, full enumerations and published tables, reproduced within their tolerance.
"""

from typing import Any

import numpy
import pytest

from helpers.stat_cases import CONTENT, COVERED, EXACT, LEFT_OUT, cases, close, exactly, names
from results import stats
from results.stats.simulations import percentile_intervals


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

    flip = stats.sign_flip(differences)
    assert flip.n == expected["n"]
    assert flip.mean == exactly(expected["mean_diff"])
    assert flip.p == exactly(expected["signflip_exact_p_two_sided"])
    assert flip.floor == exactly(expected["signflip_floor_two_sided"])
    assert stats.spread(differences).sd == exactly(expected["sd_diff_ddof1"])
    assert stats.t_test(differences) == exactly(expected["t_p_two_sided"])
    assert stats.t_interval(differences) == exactly(expected["t_ci95_mean_diff"])

    signed_rank = stats.wilcoxon(differences)
    negative_ranks = signed_rank.n * (signed_rank.n + 1) / 2 - signed_rank.positive_ranks
    assert signed_rank.p == exactly(expected["wilcoxon_exact_p_two_sided_zeros_dropped_conditional_on_ties"])
    assert signed_rank.positive_ranks == expected["wilcoxon_W_plus_zeros_dropped"]
    assert min(signed_rank.positive_ranks, negative_ranks) == expected["wilcoxon_W_min_zeros_dropped"]

    effect = stats.effect(differences)
    assert effect.d_z == exactly(expected["cohen_d_z"])
    assert effect.g_z == exactly(expected["hedges_g_z"])
    assert effect.d_z * numpy.sqrt(flip.n) == exactly(expected["t_statistic"])
    assert stats.hedges_correction(flip.n - 1) == exactly(expected["hedges_J_exact_df_n_minus_1"])

    assert list(stats.wins_ties_losses(differences)) == expected["wins_ties_losses"]
    winning = stats.probability_of_winning(differences).probability
    assert winning == exactly(expected["paired_prob_outperform_ties_half"])


@cases("paired")
def test_percentile_bootstrap_of_the_simulations(case: dict[str, Any]) -> None:
    differences = numpy.array(case["input"]["a"]) - case["input"]["b"]
    rows = numpy.tile(differences, (20, 1))
    interval = percentile_intervals(rows, numpy.random.default_rng(0)).mean(axis=0)
    assert interval == close(0.001)(case["output"]["bootstrap_mean_diff"]["percentile"]["ci95_mean_over_5_rng"])


@cases("multiplicity")
def test_multiplicity(case: dict[str, Any]) -> None:
    expected, alpha = case["output"], case["input"]["alpha"]
    holm, q_values = stats.holm(case["input"]["p"]), stats.benjamini_hochberg(case["input"]["p"])
    assert holm == exactly(expected["holm_adjusted"])
    assert (holm <= alpha).tolist() == expected["holm_reject_at_0.05"]
    assert q_values == exactly(expected["bh_adjusted"])
    assert (q_values <= alpha).tolist() == expected["bh_reject_at_0.05"]


@pytest.mark.parametrize("case", [case for case in CONTENT["cases"]["power"] if case["id"].startswith("mde")])
def test_minimum_detectable_effect(case: dict[str, Any]) -> None:
    n, alpha, power = (case["input"][name] for name in ("n_pairs", "alpha_two_sided", "power"))
    reference, reached = case["output"]["mde_d_z"], case["output"]["pingouin_power_at_that_d"]
    assert stats.detection_power(reference, n, alpha) == exactly(reached)
    result = stats.minimum_detectable_effect(n, alpha, power)
    assert stats.detection_power(result, n, alpha) == exactly(power)
    # The library's root finder stopped with the power this far from its target, so its root is off accordingly.
    slope = (stats.detection_power(result + 1e-4, n, alpha) - power) / 1e-4
    assert result - reference == pytest.approx((power - reached) / slope, abs=EXACT)
    assert 1.5 * result == pytest.approx(case["output"]["mde_points_if_sd_diff_is_1_5"], abs=5e-7)


@cases("expected_max_performance")
def test_expected_best(case: dict[str, Any]) -> None:
    scores = case["input"]["scores"]
    unbiased = stats.expected_best_without_replacement(scores)
    assert len(unbiased) == len(scores)
    for n, expected in case["output"].items():
        assert unbiased[int(n) - 1] == exactly(expected["without_replacement_unbiased_tang2020"])


@cases("instability")
def test_instability(case: dict[str, Any]) -> None:
    expected, majority = case["output"], case["input"]["majority_class_score"]
    first, second = case["input"]["a"], case["input"]["b"]
    failures = []
    for side in "ab":
        scores, reference = case["input"][side], expected[side]
        spread = stats.spread(scores)
        assert spread.mean == exactly(reference["mean"])
        assert spread.sd == exactly(reference["sd_ddof1"])
        assert spread.median == exactly(reference["median"])
        assert spread.interquartile_range == exactly(reference["iqr_numpy_linear"])
        assert spread.median_absolute_deviation == exactly(reference["mad_normal_scaled"])
        assert spread.maximum - spread.minimum == exactly(reference["range"])
        failures.append(stats.failed(scores, majority, tolerance=0.01))
        count = int(failures[-1].sum())
        assert count == reference["failed"]
        assert stats.wilson(count, len(scores)) == exactly(reference["failed_rate_wilson95"])

    mcnemar = stats.mcnemar(*failures)
    assert [mcnemar.only_first, mcnemar.only_second] == expected["discordant_failures"]
    assert mcnemar.p == exactly(expected["mcnemar_exact_p_two_sided"])
    ratio = stats.variance_permutation(first, second)
    assert ratio.log_sd_ratio == exactly(expected["log_sd_ratio"])
    permutation = "paired_swap_permutation_p_log_variance_ratio_median_centred"
    if permutation in expected:
        assert ratio.p == exactly(expected[permutation])


@cases("published_comparison")
def test_published_comparison(case: dict[str, Any]) -> None:
    ours, published, expected = case["input"]["ours"], case["input"]["published"], case["output"]
    sd = stats.sample_sd(published["sd_ddof0"], published["n"])
    assert sd == exactly(expected["published_sd_ddof1"])
    result = stats.compare(
        stats.Summary(ours["mean"], ours["sd_ddof1"], ours["n"]),
        stats.Summary(published["mean"], sd, published["n"]),
        margin=case["input"]["equivalence_margin_points"],
    )
    assert result.difference == exactly(expected["difference"])
    assert result.standard_error == exactly(expected["se"])
    assert result.degrees_of_freedom == exactly(expected["welch_df"])
    assert result.difference / result.standard_error == exactly(expected["welch_t"])
    assert result.p == exactly(expected["welch_p_two_sided"])
    assert (result.low, result.high) == exactly(expected["ci95"])
    assert result.equivalence_p == exactly(expected["tost_p"])
    assert (result.equivalence_low, result.equivalence_high) == exactly(expected["ci90_for_tost"])
    assert (result.verdict == "reproduced") == expected["equivalent_at_0_05"]
