"""The suite's statistics: arrays in, numbers out. Needs only numpy and scipy, and imports only the light part of scipy.

One cell is tested by `sign_flip`, with the interval `t_interval`; one method over tasks by `stratified_sign_flip`, with
`welch_satterthwaite`, and in addition by `t_test` and `sign_flip` on `task_means`; `holm` corrects a family. The rest
is descriptive. Tests are two-sided, higher scores are better, sds have ddof 1, differences are method minus reference.
What scipy.stats has too is written out here, because importing it takes half a second more than numpy and
scipy.special; tests compare the numbers with scipy's.
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
    interquartile_mean_interval,
    performance_profile,
)
from results.stats.budget import expected_best_without_replacement
from results.stats.effects import (
    Effect,
    Winning,
    effect,
    hedges_correction,
    probability_of_winning,
)
from results.stats.equivalence import equivalence_p
from results.stats.instability import (
    McNemar,
    Spread,
    VarianceRatio,
    failed,
    mcnemar,
    spread,
    variance_permutation,
    wilson,
)
from results.stats.multiplicity import benjamini_hochberg, holm, smallest_sample
from results.stats.paired import SignFlip, Wilcoxon, sign_flip, t_interval, t_test, wilcoxon
from results.stats.power import detection_power, minimum_detectable_effect
from results.stats.ranks import (
    Friedman,
    cliques,
    critical_difference,
    friedman,
    mean_ranks,
    pairwise_holm,
    rank_table,
)
from results.stats.reproduction import Comparison, Summary, compare, sample_sd

__all__ = [
    "Comparison",
    "Effect",
    "Friedman",
    "McNemar",
    "SignFlip",
    "Spread",
    "Summary",
    "VarianceRatio",
    "WelchSatterthwaite",
    "Wilcoxon",
    "Winning",
    "benjamini_hochberg",
    "cliques",
    "compare",
    "critical_difference",
    "detection_power",
    "effect",
    "equivalence_p",
    "expected_best_without_replacement",
    "failed",
    "friedman",
    "hedges_correction",
    "holm",
    "interquartile_mean",
    "interquartile_mean_interval",
    "mcnemar",
    "mean_ranks",
    "minimum_detectable_effect",
    "pairwise_holm",
    "performance_profile",
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
    "variance_permutation",
    "welch_satterthwaite",
    "wilcoxon",
    "wilson",
    "wins_ties_losses",
]
