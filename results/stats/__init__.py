"""The suite's statistics: arrays in, numbers out. Needs numpy and scipy alone, and of scipy its light part.

The test of one cell is `sign_flip`, its interval `t_interval`; of one method over tasks `stratified_sign_flip` with
`welch_satterthwaite`, and beside them `t_test` and `sign_flip` on `task_means`; `holm` corrects a family. The rest
describes. All tests are two-sided, higher scores are better, sd has ddof 1; differences are method minus reference.
"""

from results.stats.across_tasks import (
    WelchSatterthwaite,
    stratified_sign_flip,
    task_means,
    welch_satterthwaite,
    wins_ties_losses,
)
from results.stats.aggregates import (
    interquartile_mean,
    interquartile_mean_difference_interval,
    interquartile_mean_interval,
    performance_profile,
    probability_of_improvement,
)
from results.stats.aso import minimum_epsilon, violation_ratio
from results.stats.budget import expected_best_with_replacement, expected_best_without_replacement
from results.stats.effects import (
    Effect,
    Practical,
    Winning,
    bayesian_signed_rank,
    effect,
    hedges_correction,
    probability_of_practical_difference,
    probability_of_winning,
)
from results.stats.equivalence import equivalence_p
from results.stats.examples import TwoWay, two_way_bootstrap
from results.stats.instability import (
    McNemar,
    Spread,
    VarianceRatio,
    brown_forsythe,
    failed,
    mcnemar,
    spread,
    variance_permutation,
    wilson,
)
from results.stats.multiplicity import benjamini_hochberg, holm, smallest_sample
from results.stats.paired import SignFlip, Wilcoxon, sign_flip, t_interval, t_test, wilcoxon
from results.stats.power import detection_power, minimum_detectable_effect, noether_sample_size
from results.stats.ranks import (
    Friedman,
    cliques,
    critical_difference,
    friedman,
    mean_ranks,
    nemenyi,
    pairwise_holm,
    rank_table,
)
from results.stats.reproduction import Comparison, Summary, compare, sample_sd

__all__ = [
    "Comparison",
    "Effect",
    "Friedman",
    "McNemar",
    "Practical",
    "SignFlip",
    "Spread",
    "Summary",
    "TwoWay",
    "VarianceRatio",
    "WelchSatterthwaite",
    "Wilcoxon",
    "Winning",
    "bayesian_signed_rank",
    "benjamini_hochberg",
    "brown_forsythe",
    "cliques",
    "compare",
    "critical_difference",
    "detection_power",
    "effect",
    "equivalence_p",
    "expected_best_with_replacement",
    "expected_best_without_replacement",
    "failed",
    "friedman",
    "hedges_correction",
    "holm",
    "interquartile_mean",
    "interquartile_mean_difference_interval",
    "interquartile_mean_interval",
    "mcnemar",
    "mean_ranks",
    "minimum_detectable_effect",
    "minimum_epsilon",
    "nemenyi",
    "noether_sample_size",
    "pairwise_holm",
    "performance_profile",
    "probability_of_improvement",
    "probability_of_practical_difference",
    "probability_of_winning",
    "rank_table",
    "sample_sd",
    "sign_flip",
    "smallest_sample",
    "spread",
    "stratified_sign_flip",
    "t_interval",
    "t_test",
    "task_means",
    "two_way_bootstrap",
    "variance_permutation",
    "violation_ratio",
    "welch_satterthwaite",
    "wilcoxon",
    "wilson",
    "wins_ties_losses",
]
