"""Every pair of methods over several tasks: a matrix in which no cell depends on the other methods.

After the multiple comparison matrix of Ismail-Fawaz et al. 2023 (arXiv 2305.11921): mean difference, wins and an
uncorrected p of each pair, unlike mean ranks and corrected verdicts, which change when a method is added. They count
data sets and use Wilcoxon's test; here blocks are (task, seed), and the test is the task-stratified sign flip.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from numpy.typing import ArrayLike

from results.stats.across_tasks import stratified_sign_flip, welch_satterthwaite, wins_ties_losses


@dataclass(frozen=True)
class Pair:
    """One method against another.

    Attributes:
        difference: Mean over tasks of the mean paired difference, first minus second.
        low: Lower end of its Welch-Satterthwaite interval, uncorrected.
        high: Upper end.
        p: Two-sided p of the task-stratified sign flip, uncorrected.
        record: (task, seed) blocks won, tied and lost by the first.
    """

    difference: float
    low: float
    high: float
    p: float
    record: tuple[int, int, int]

    def reversed(self) -> "Pair":
        """The second against the first."""
        return Pair(-self.difference, -self.high, -self.low, self.p, self.record[::-1])


def pair(differences: Sequence[ArrayLike], level: float = 0.95, seed: int = 0) -> Pair:
    """Compare two methods.

    Args:
        differences: One (n_t,) array per task, first minus second, over the seeds that both have.
        level: Of the interval.
        seed: Of the sign patterns, where they are drawn.

    Returns:
        The comparison.

    Raises:
        ValueError: Without tasks, or if one is empty or not finite.
    """
    interval = welch_satterthwaite(differences, level)
    counts = [wins_ties_losses(task) for task in differences]
    wins, ties, losses = (sum(count) for count in zip(*counts, strict=True))
    p = stratified_sign_flip(differences, seed).p
    return Pair(interval.mean, interval.low, interval.high, p, (wins, ties, losses))


def pairwise(
    names: Sequence[str], differences: Callable[[str, str], Sequence[ArrayLike]], level: float = 0.95, seed: int = 0
) -> dict[tuple[str, str], Pair]:
    """Every ordered pair of different methods.

    Args:
        names: The methods.
        differences: Gives the differences that `pair` takes, for a first and a second name.
        level: Of the intervals.
        seed: Of the sign patterns, where they are drawn.

    Returns:
        (first, second) -> comparison, for both orders of each pair.

    Raises:
        ValueError: As `pair`.
    """
    pairs: dict[tuple[str, str], Pair] = {}
    for first, second in combinations(names, 2):
        comparison = pair(differences(first, second), level, seed)
        pairs[first, second], pairs[second, first] = comparison, comparison.reversed()
    return pairs
