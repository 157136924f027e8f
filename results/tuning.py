"""What a tuning suite found: the score of every setting that was tried, the one to use, and what the budget bought."""

import math
import statistics
from dataclasses import dataclass

from results.cells import summaries
from results.frame import Results, remembered
from results.statistics import expected_best_without_replacement
from results.table import BEST, Cell, Column, Table
from results.words import metric_words, selection_words, size_words, titles

SCORE = ".1f"


@dataclass(frozen=True)
class Trial:
    """One setting of a method: its dev score per task in points, a mean over seeds, NaN where a run is missing."""

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
    """The setting to use of a method: the best of `tried` ones, the first of them where several are equal."""

    label: str
    score: float
    tried: int


@remembered
def trials(results: Results, size: str) -> dict[str, list[Trial]]:
    """All trials by method, in the order in which the budget is spent."""
    cells = summaries(results)
    found: dict[str, list[Trial]] = {}
    for row in results.plan.methods:
        own = {task: cells[size, task, row.label] for task in results.plan.tasks if (size, task, row.label) in cells}
        scores = {task: cell.mean if cell.n == cell.planned else math.nan for task, cell in own.items()}
        found.setdefault(row.method, []).append(Trial(row.label, row.method, scores))
    return found


def choices(results: Results, size: str) -> dict[str, Choice]:
    """The setting to use by method; a method of which any run is missing has none yet."""
    chosen = {}
    for method, tried in trials(results, size).items():
        if not any(math.isnan(trial.score) for trial in tried):
            best = max(tried, key=lambda trial: trial.score)  # The first of equals.
            chosen[method] = Choice(best.label, best.score, len(tried))
    return chosen


def expected_best(scores: list[float]) -> list[float]:
    """Expected best of n = 1, 2, ... trials; empty unless every trial has a score."""
    if not scores or any(math.isnan(score) for score in scores):
        return []
    return [float(best) for best in expected_best_without_replacement(scores)]


def shown_budgets(budget: int) -> list[int]:
    """Powers of two up to the budget, and the budget."""
    return sorted({2**power for power in range(budget.bit_length()) if 2**power <= budget} | {budget})


def tuning_table(results: Results, size: str) -> Table:
    """One row per method: the chosen setting, its dev score, and the expected best of smaller budgets."""
    plan = results.plan
    assert plan.tuning_budget is not None
    budgets = shown_budgets(plan.tuning_budget)
    chosen = choices(results, size)
    rows = []
    for method, tried in trials(results, size).items():
        missing = sum(math.isnan(trial.score) for trial in tried)
        choice = chosen.get(method)
        best = next((trial for trial in tried if choice and trial.label == choice.label), None)
        notes: tuple[str, ...] = (f"{missing} of {len(tried)} settings lack runs",) if missing else ()
        left_out = [task.title for task in plan.tasks.values() if task.name not in tried[0].tasks]
        notes += (f"not defined for regression, so without {', '.join(left_out)}",) if left_out else ()
        curve = expected_best([trial.score for trial in tried])
        rows.append(
            (
                Cell(method),
                Cell(float(len(tried))),
                Cell(best.setting if best else None, notes=notes),
                *(Cell(best.tasks.get(task) if best else None) for task in plan.tasks),
                *(Cell(curve[n - 1] if n <= len(curve) else None) for n in budgets),
            )
        )
    return Table(
        name=f"tuning-n{size}",
        title=f"{plan.title}: the settings chosen, {size_words(size)}",
        caption=(
            f"Of each method's grid the first {plan.tuning_budget} settings of a shuffle were tried (all where there "
            f"are fewer), each with {len(plan.seeds)} seeds that no reported run has. Dev score × 100 of the chosen "
            f"setting, mean over seeds, selection: {selection_words(results.selection)}, encoder {plan.encoder}; "
            f"expected best: of n settings tried, by the mean over {titles(plan)} (unbiased, Tang et al. 2020, after "
            "Dodge et al. 2019); its last column is the score of the chosen setting. Failed and diverged runs count "
            "as the majority class. These are dev scores, the highest of several: no estimate of test scores."
        ),
        columns=(
            Column("Method"),
            Column("Tried", "settings", ".0f"),
            Column("Chosen", text=True),
            *(Column(task.title, metric_words(task.metric), SCORE) for task in plan.tasks.values()),
            *(Column(f"n = {n}", "", SCORE, group="Expected best") for n in budgets),
        ),
        rows=tuple(rows),
        banner=plan.note,
    )


def trials_table(results: Results, size: str) -> Table:
    """Every setting that was tried with its dev scores; the chosen one of each method in bold."""
    plan = results.plan
    chosen = {choice.label for choice in choices(results, size).values()}
    rows, rules = [], set()
    for tried in trials(results, size).values():
        for trial in tried:
            scores = (Cell(trial.tasks.get(task)) for task in plan.tasks)
            rank = BEST if trial.label in chosen else 0
            rows.append((Cell(trial.method), Cell(trial.setting), *scores, Cell(trial.score, rank=rank)))
        rules.add(len(rows) - 1)
    return Table(
        name=f"trials-n{size}",
        title=f"{plan.title}: every setting tried, {size_words(size)}",
        caption=(
            f"Dev score × 100, mean over {len(plan.seeds)} seeds, selection: {selection_words(results.selection)}, "
            f"encoder {plan.encoder}; the chosen setting of each method bold."
        ),
        columns=(
            Column("Method"),
            Column("Setting", text=True),
            *(Column(task.title, metric_words(task.metric), SCORE) for task in plan.tasks.values()),
            Column("Average", "of tasks", SCORE),
        ),
        rows=tuple(rows),
        rules=frozenset(rules),
        banner=plan.note,
        detail=True,
    )


def tuning_question(results: Results) -> str:
    """What a tuning suite asks, in one sentence."""
    sizes = " or ".join(size_words(size) for size in results.plan.sizes)
    return f"Which settings should each method have on {results.plan.encoder}, with {sizes}, judged on dev data alone?"


def tuning_answer(results: Results, size: str) -> tuple[str, str, str]:
    """How much was tried, what is chosen, and what the numbers are not."""
    found, chosen = trials(results, size), choices(results, size)
    count = sum(len(tried) for tried in found.values())
    left = ", ".join(method for method in found if method not in chosen)
    return (
        f"With {size_words(size)}, {count} settings of {len(found)} methods were to be tried, at most "
        f"{results.plan.tuning_budget} of each.",
        f"{len(chosen)} methods have their setting." + (f" Runs are missing for {left}." if left else ""),
        "Dev scores of chosen settings are the highest of several and say nothing of which method is better.",
    )
