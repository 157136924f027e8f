"""The tables of a tuning suite."""

import math

from amix.specs.wording import counted
from results.analysis.tuning import choices, expected_best, shown_budgets, trials
from results.loading.frame import Results
from results.loading.wording import metric_words, selection_words, size_words, titles
from results.tabulating.table import BEST, Cell, Column, Table

SCORE = ".1f"


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
            f"From each method's shuffled grid the first {plan.tuning_budget} settings were tried (all if there are "
            f"fewer), each with {counted(len(plan.seeds), 'seed')} that no reported run has. Dev score × 100 of the "
            f"chosen setting, mean over seeds, selection: {selection_words(results.selection)}, encoder "
            f"{plan.encoder}; expected best: of n settings tried, by the mean over {titles(plan)} (unbiased, "
            "Tang et al. 2020, after Dodge et al. 2019); its last column is the score of the chosen setting. Failed "
            "and diverged runs count as the majority class. These are dev scores, the highest of several, and do not "
            "estimate test scores."
        ),
        columns=(
            Column("Method"),
            Column("Tried", "settings", ".0f"),
            Column("Chosen", text=True),
            *(Column(task.title, metric_words(task.metric, task.positive), SCORE) for task in plan.tasks.values()),
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
            f"Dev score × 100, mean over {counted(len(plan.seeds), 'seed')}, selection: "
            f"{selection_words(results.selection)}, encoder {plan.encoder}; the chosen setting of each method bold."
        ),
        columns=(
            Column("Method"),
            Column("Setting", text=True),
            *(Column(task.title, metric_words(task.metric, task.positive), SCORE) for task in plan.tasks.values()),
            Column("Average", "of tasks", SCORE),
        ),
        rows=tuple(rows),
        rules=frozenset(rules),
        banner=plan.note,
        detail=True,
    )
