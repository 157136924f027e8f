"""The suite's statistics: arrays in, numbers out. Needs numpy and scipy alone; docs of each file name its source."""

from results.statistics.multiplicity import benjamini_hochberg, holm, smallest_sample
from results.statistics.paired import SignFlip, Wilcoxon, sign_flip, t_interval, t_test, wilcoxon

__all__ = [
    "SignFlip",
    "Wilcoxon",
    "benjamini_hochberg",
    "holm",
    "sign_flip",
    "smallest_sample",
    "t_interval",
    "t_test",
    "wilcoxon",
]
