"""The result of a tuning suite: the score of every setting tried, the best one, and the effect of the budget."""

import math
import statistics
from dataclasses import dataclass

from amix.specs.wording import counted
from results.analysis.cells import summaries
from results.loading.frame import Results, cached
from results.loading.wording import size_words
from results.stats import expected_best_without_replacement


@dataclass(frozen=True)
class Trial:
    """One setting of a method: its dev score per task in points, the mean over seeds, NaN if a run is missing."""

    label: str
    method: str
    tasks: dict[str, float]

    @property
    def score(self) -> float:
        """Mean over the tasks for which the method is defined."""
        return statistics.fmean(self.tasks.values()) if self.tasks else math.nan

    @property
    def setting(self) -> str:
        """The label without the method's name."""
        return self.label.partition(" ")[2] or "–"


@dataclass(frozen=True)
class Choice:
    """The chosen setting of a method: the best of those `tried`, the first one on a tie."""

    label: str
    score: float
    tried: int


@cached
def trials(results: Results, size: str) -> dict[str, list[Trial]]:
    """All trials by method, in the order in which they were drawn."""
    cells = summaries(results)
    by_method: dict[str, list[Trial]] = {}
    for row in results.plan.methods:
        own = {task: cells[size, task, row.label] for task in results.plan.tasks if (size, task, row.label) in cells}
        scores = {task: cell.mean if cell.n == cell.planned else math.nan for task, cell in own.items()}
        by_method.setdefault(row.method, []).append(Trial(row.label, row.method, scores))
    return by_method


def choices(results: Results, size: str) -> dict[str, Choice]:
    """The chosen setting by method; a method with missing runs has none yet."""
    chosen = {}
    for method, tried in trials(results, size).items():
        if not any(math.isnan(trial.score) for trial in tried):
            best = max(tried, key=lambda trial: trial.score)
            chosen[method] = Choice(best.label, best.score, len(tried))
    return chosen


def expected_best(scores: list[float]) -> list[float]:
    """The expected best of n = 1, 2, ... trials; empty unless every trial has a score."""
    if not scores or any(math.isnan(score) for score in scores):
        return []
    return [float(best) for best in expected_best_without_replacement(scores)]


def shown_budgets(budget: int) -> list[int]:
    """Powers of two up to the budget, and the budget itself."""
    return sorted({2**power for power in range(budget.bit_length()) if 2**power <= budget} | {budget})


def tuning_question(results: Results) -> str:
    """The question of a tuning suite, in one sentence."""
    sizes = " or ".join(size_words(size) for size in results.plan.sizes)
    return f"Which settings should each method have on {results.plan.encoder}, with {sizes}, judged on dev data alone?"


def tuning_answer(results: Results, size: str) -> tuple[str, str, str]:
    """How much was tried, how many settings are chosen, and what the numbers do not mean."""
    tried_by_method, chosen = trials(results, size), choices(results, size)
    count = sum(len(tried) for tried in tried_by_method.values())
    left = ", ".join(method for method in tried_by_method if method not in chosen)
    return (
        f"With {size_words(size)}, {counted(count, 'setting')} of {len(tried_by_method)} methods were planned, at most "
        f"{results.plan.tuning_budget} of each.",
        f"{len(chosen)} methods have their setting." + (f" Runs are missing for {left}." if left else ""),
        "Dev scores of chosen settings are the highest of several and do not show which method is better.",
    )
