"""The main table: methods x tasks at one size, with average, failed runs, cost and significance marks."""

from results.across import claims
from results.cells import Place, Summary, cost_ratios, majority_score, seed_averages, summaries
from results.comparisons import against, power_sentence, significant
from results.frame import Results
from results.plan import FULL
from results.table import Cell, Column, Table, rank_column

SCORE = ".1f"
RATIO = ".2f"
METRICS = {"matthews": "Matthews", "accuracy": "accuracy", "f1": "F1", "spearman": "Spearman", "pearson": "Pearson"}
SELECTIONS = {"last": "the last step", "best_dev": "the epoch best on dev"}
STAR, DAGGER = "*", "†"
ALL_TASKS = ""
"""Stands for the average over tasks where a task's name is asked for."""


def main_table(results: Results, size: str) -> Table:
    """Mean ± std (ddof 1, over seeds) of the test score in points, per method and task at one size.

    Marks: * differs from the reference, † differs from the focus method (exact sign flip, Holm within the column).
    """
    cells = summaries(results)
    plan = results.plan
    seeds = _common_count(cells, size)
    marks, sentences = _marks(results, size)
    columns = [Column("Method")]
    body: list[list[Cell]] = [[Cell("Majority class")]]
    body += [[Cell(label)] for label in plan.labels]
    eligible = [False] + [True] * len(plan.labels)
    for task in plan.tasks.values():
        footnote = (task.footnote,) if task.footnote else ()
        columns.append(Column(task.title, METRICS.get(task.metric, task.metric), SCORE, notes=footnote))
        column = [Cell(majority_score(cells, size, task.name))]
        column += [
            score_cell(cells.get((size, task.name, label)), seeds, marks.get((size, task.name, label), ""))
            for label in plan.labels
        ]
        _append(body, rank_column(column, SCORE, eligible))
    if len(plan.tasks) > 1:
        columns.append(Column("Average", "of tasks", SCORE))
        _append(body, rank_column(_average_cells(results, cells, size, seeds, marks), SCORE, eligible))
    columns.append(Column("Failed", "runs", ".0f"))
    _append(body, [Cell(None), *(Cell(_failed(cells, size, label)) for label in plan.labels)])
    for header, cost in (("Time", "train_seconds"), ("Passes", "passes")):
        columns.append(Column(header, "relative", RATIO, "×"))
        ratios = cost_ratios(results, size, cost)
        _append(body, [Cell(None), *(Cell(ratios.get(label)) for label in plan.labels)])
    return Table(
        name=f"main-n{size}",
        title=f"{plan.title}: {size_words(size)}",
        caption=_caption(results, size, seeds),
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in body),
        rules=frozenset({0, 1 if plan.labels[0] == plan.protocol.reference else 0}),
        notes=sentences,
        banner=plan.note,
    )


def size_words(size: str) -> str:
    """The size of the training subset in words."""
    return "the full train split" if size == FULL else f"N = {size} training examples"


def selection_words(results: Results) -> str:
    """The selection rule in words."""
    return SELECTIONS.get(results.selection, results.selection)


def _append(body: list[list[Cell]], column: list[Cell]) -> None:
    for row, cell in zip(body, column, strict=True):
        row.append(cell)


def _common_count(cells: dict[Place, Summary], size: str) -> int:
    return max((cell.n for (s, _, _), cell in cells.items() if s == size), default=0)


def score_cell(cell: Summary | None, seeds: int, marks: str = "") -> Cell:
    """Mean ± std with the count where it is not `seeds`, and footnotes for missing and for failed runs."""
    if cell is None:
        return Cell(None, notes=("not in the plan",))
    notes = [f"{cell.planned - cell.n} of {cell.planned} runs without a score: {cell.absent}"] if cell.absent else []
    if cell.failed:
        notes.append(f"{cell.failed} of {cell.planned} runs failed or diverged and count as the majority class")
    if cell.n == 0:
        return Cell(None, notes=tuple(notes))
    return Cell(cell.mean, cell.std, None if cell.n == seeds else cell.n, marks=marks, notes=tuple(notes))


def _average_cells(
    results: Results, cells: dict[Place, Summary], size: str, seeds: int, marks: dict[Place, str]
) -> list[Cell]:
    averages = seed_averages(results, size)
    planned = len(results.plan.seeds)
    column = [Cell(sum(majority_score(cells, size, task) for task in results.plan.tasks) / len(results.plan.tasks))]
    for label in results.plan.labels:
        complete = averages[label].dropna()
        n = len(complete)
        notes = [f"average over the {n} of {planned} seeds that are complete on every task"] if n < planned else []
        if n == 0:
            notes = ["no seed is complete on every task, so there is no average"]
        count = None if n in (0, seeds) else n
        mark = marks.get((size, ALL_TASKS, label), "")
        column.append(Cell(float(complete.mean()), float(complete.std(ddof=1)), count, marks=mark, notes=tuple(notes)))
    return column


def _failed(cells: dict[Place, Summary], size: str, label: str) -> float | None:
    here = [cell.failed for (s, _, name), cell in cells.items() if (s, name) == (size, label)]
    return float(sum(here)) if here else None


def _marks(results: Results, size: str) -> tuple[dict[Place, str], tuple[str, ...]]:
    plan = results.plan
    marks: dict[Place, str] = {}
    sentences = []
    for mark, other in ((STAR, plan.protocol.reference), (DAGGER, plan.protocol.focus)):
        # With two methods the second comparison would be the first one again.
        if other is None or len(plan.labels) < (2 if other == plan.protocol.reference else 3):
            continue
        frame = against(results, other)
        frame = frame[frame["size"] == size]
        found = significant(frame, plan.protocol.alpha)
        over_tasks = claims(results, size, other) if len(plan.tasks) > 1 else {}
        found |= {(size, ALL_TASKS, label) for label, c in over_tasks.items() if c.p_holm <= plan.protocol.alpha}
        for where in found:
            marks[where] = marks.get(where, "") + mark
        sentences.append(_test_sentence(mark, other, len(found), power_sentence(frame, plan), results))
    return marks, tuple(sentences)


def _test_sentence(mark: str, other: str, found: int, power: str, results: Results) -> str:
    plan = results.plan
    sentence = (
        f"{mark} differs from {other}: exact paired sign-flip test over seeds (average: stratified by task), "
        f"two-sided, Holm over the methods of each column, α = {plan.protocol.alpha:g}."
    )
    if power:
        return f"{sentence} {power}"
    return sentence if found else f"{sentence} No difference passes."


def _caption(results: Results, size: str, seeds: int) -> str:
    plan = results.plan
    return (
        f"Test score × 100, mean ± standard deviation (ddof 1) over n = {seeds} seeds (another n in brackets), "
        f"encoder {plan.encoder}, selection: {selection_words(results)}. Best bold, second underlined "
        f"(in Markdown italic); equal at the printed precision share. Failed: failed and diverged runs, scored as the "
        f"majority class. Time and passes (forward and backward): relative to {plan.protocol.reference}."
    )
