"""The main table: methods x tasks at one size, with average, failed runs, cost and significance marks."""

import statistics
from dataclasses import dataclass, replace

from amix.specs.wording import counted
from results.analysis.cells import (
    TIME_RATIO,
    Place,
    Summary,
    cost_ratios,
    majority_score,
    seed_averages,
    with_all_seeds,
)
from results.analysis.claims import all_exact, claims
from results.analysis.comparisons import SCALE, against, detectable, impossible, power_sentence, significant
from results.analysis.looks import explained_summaries, sign_flip_words
from results.loading.frame import Results
from results.loading.preregistration import protocol_sentence
from results.loading.wording import listed, metric_words, selection_words, size_words
from results.tabulating.table import Cell, Column, Table, rank_column

NONE_POSSIBLE = "by the t-test; with so few seeds the exact test, which decides, cannot show any difference here"

SCORE = ".1f"
RATIO = ".2f"
STAR, DAGGER = "*", "†"
ALL_TASKS = ""
"""Used in place of a task's name for the average over tasks."""
BLANK = Cell("")


@dataclass(frozen=True)
class Tests:
    """The tests of one size in a table: marks by (task, label), sentences below it, detectable differences."""

    marks: dict[tuple[str, str], str]
    sentences: tuple[str, ...]
    detectable: dict[str, Cell]


@dataclass(frozen=True)
class Block:
    """A column and its cells: in the majority row, in the methods' rows, and in the row of detectable differences."""

    column: Column
    majority: Cell
    methods: list[Cell]
    detectable: Cell = BLANK


def main_table(results: Results, size: str) -> Table:
    """Mean ± std (ddof 1, over seeds) of the score in points, per method and task at one size.

    Marks: * differs from the reference, † differs from the focus method (sign flip, Holm within the column).
    """
    plan = results.plan
    tests = run_tests(results, size)
    seeds = max((cell.n for (s, _, _), cell in explained_summaries(results).items() if s == size), default=0)
    blocks = [_task_block(results, size, task, seeds, tests) for task in plan.tasks]
    if len(plan.tasks) > 1:
        blocks.append(_average_block(results, size, seeds, tests))
    blocks += [_failed_block(results, size), *_cost_blocks(results, size)]
    rows = [[Cell("Majority class"), *(block.majority for block in blocks)]]
    rows += [[Cell(label), *(block.methods[i] for block in blocks)] for i, label in enumerate(plan.labels)]
    rules = {0, 1 if plan.labels[0] == plan.protocol.reference else 0, len(rows) - 1}
    if tests.detectable:
        rows.append([Cell("Detectable difference"), *(block.detectable for block in blocks)])
    return Table(
        name=f"main-n{size}",
        title=f"{plan.title}: {size_words(size)}",
        caption=_caption(results, size, seeds),
        columns=(Column("Method"), *(block.column for block in blocks)),
        rows=tuple(tuple(row) for row in rows),
        rules=frozenset(rules),
        notes=(*tests.sentences, protocol_sentence(plan)),
        banner=plan.note,
    )


def run_tests(results: Results, size: str) -> Tests:
    """Every method against the reference, and against the focus method if there is one."""
    plan = results.plan
    marks: dict[tuple[str, str], str] = {}
    sentences = []
    for mark, other in ((STAR, plan.protocol.reference), (DAGGER, plan.protocol.focus)):
        # With two methods the second comparison would repeat the first.
        if other is None or len(plan.labels) < (2 if mark == STAR else 3):
            continue
        frame = against(results, size, other)
        cells = significant(frame, plan.protocol.alpha)
        over_tasks = claims(results, size, other) if len(plan.tasks) > 1 else {}
        cells |= {(ALL_TASKS, label) for label, claim in over_tasks.items() if claim.p_holm <= plan.protocol.alpha}
        for cell in cells:
            marks[cell] = marks.get(cell, "") + mark
        test = sign_flip_words("paired sign-flip test", bool(frame["exact"].all()) and all_exact(over_tasks), plan)
        sentences.append(_test_sentence(mark, other, test, len(cells), power_sentence(frame, plan), results))
    return Tests(marks, tuple(sentences), _detectable(results, size))


def detectable_cell(points: float | None, possible: bool = True) -> Cell:
    """A detectable difference in a table; with so few runs that no two scores could differ that much, a bound.

    possible: whether the exact test can show any difference there; if it cannot, a footnote says so.
    """
    notes = () if possible or points is None else (NONE_POSSIBLE,)
    return Cell(f">{SCALE}" if points is not None and points > SCALE else points, notes=notes)


def _detectable(results: Results, size: str) -> dict[str, Cell]:
    """The last row's cells: by task, and under ALL_TASKS for the average."""
    protocol, whole = results.plan.protocol, with_all_seeds(results, size)
    frame = against(results, size, protocol.reference)
    frame = frame[frame["label"].isin(whole)]
    none = impossible(frame, protocol.alpha)
    cells = {
        task: detectable_cell(points, task not in none) for task, points in detectable(frame, protocol.alpha).items()
    }
    average = [claim for label, claim in claims(results, size, protocol.reference).items() if label in whole]
    if average:
        possible = any(claim.floor * claim.comparisons <= protocol.alpha for claim in average)
        cells[ALL_TASKS] = detectable_cell(statistics.median(claim.detectable for claim in average), possible)
    return cells


def score_cell(cell: Summary | None, seeds: int, marks: str = "") -> Cell:
    """Mean ± std with the count if it is not `seeds`, and footnotes for missing and for failed runs."""
    if cell is None:  # The only reason for which a plan leaves out a cell.
        return Cell(None, notes=("not defined for regression",))
    planned = counted(cell.planned, "run")
    notes = [f"{cell.planned - cell.n} of {planned} without a score: {cell.absent}"] if cell.absent else []
    if cell.failed:
        notes.append(f"{cell.failed} of {planned} failed or diverged and count as the majority class")
    if cell.n == 0:
        return Cell(None, notes=tuple(notes))
    return Cell(cell.mean, cell.std, None if cell.n == seeds else cell.n, marks=marks, notes=tuple(notes))


def _task_block(results: Results, size: str, task: str, seeds: int, tests: Tests) -> Block:
    plan, cells, ranked = results.plan, explained_summaries(results), with_all_seeds(results, size)
    entry = plan.tasks[task]
    places: list[Place] = [(size, task, label) for label in plan.labels]
    methods = [score_cell(cells.get(place), seeds, tests.marks.get(place[1:], "")) for place in places]
    return Block(
        Column(
            entry.title,
            metric_words(entry.metric, entry.positive),
            SCORE,
            notes=(entry.footnote,) if entry.footnote else (),
        ),
        Cell(majority_score(cells, size, task)),
        rank_column(methods, SCORE, [label in ranked for label in plan.labels]),
        tests.detectable.get(task, BLANK),
    )


def _average_block(results: Results, size: str, seeds: int, tests: Tests) -> Block:
    plan, cells, ranked = results.plan, explained_summaries(results), with_all_seeds(results, size)
    averages = seed_averages(results, size)
    methods = []
    for label in plan.labels:
        complete = averages[label].dropna()
        n = len(complete)
        planned = max((cell.planned for (s, _, row), cell in cells.items() if (s, row) == (size, label)), default=0)
        notes = [f"average over the {n} of {planned} seeds that are complete on every task"] if n < planned else []
        if n == 0:
            notes = ["no seed is complete on every task, so there is no average"]
        cell = Cell(float(complete.mean()), float(complete.std(ddof=1)), None if n in (0, seeds) else n)
        methods.append(replace(cell, marks=tests.marks.get((ALL_TASKS, label), ""), notes=tuple(notes)))
    majority = [majority_score(cells, size, task) for task in plan.tasks]
    return Block(
        Column("Average", "of tasks", SCORE),
        Cell(sum(majority) / len(majority)),
        rank_column(methods, SCORE, [label in ranked for label in plan.labels]),
        tests.detectable.get(ALL_TASKS, BLANK),
    )


def _failed_block(results: Results, size: str) -> Block:
    failed = dict.fromkeys(results.plan.labels, 0)
    for (s, _, label), cell in explained_summaries(results).items():
        failed[label] += cell.failed if s == size else 0
    return Block(Column("Failed", "runs", ".0f"), BLANK, [Cell(float(count)) for count in failed.values()])


def _cost_blocks(results: Results, size: str) -> list[Block]:
    blocks = []
    for header, cost in (("Time", "train_seconds"), ("Passes", "passes")):
        ratios = cost_ratios(results, size, cost)
        cells = [ratio_cell(results, size, cost, label, ratios.get(label)) for label in results.plan.labels]
        blocks.append(Block(Column(header, "relative", RATIO, "×"), BLANK, cells))
    return blocks


def ratio_cell(results: Results, size: str, cost: str, label: str, ratio: float | None) -> Cell:
    """A cost relative to the reference, with a footnote if times cannot be compared."""
    if ratio is None and cost.endswith("_seconds") and label in cost_ratios(results, size, "passes"):
        reference = results.plan.protocol.reference
        return Cell(
            None, notes=(f"run by another suite than {reference}, or on other days, so times cannot be compared",)
        )
    return Cell(ratio)


def _test_sentence(mark: str, other: str, test: str, marked: int, power: str, results: Results) -> str:
    sentence = (
        f"{mark} differs from {other}: {test} over seeds (average: stratified by task"
        f"{_looks_words(results)}), two-sided, Holm over the methods of each column, "
        f"α = {results.plan.protocol.alpha:g}."
    )
    if power:
        return f"{sentence} {power}"
    return sentence if marked else f"{sentence} No difference is significant."


def _looks_words(results: Results) -> str:
    looks = results.plan.protocol.looks
    return f"; over looks after {listed(looks)} seeds" if looks else ""


def _caption(results: Results, size: str, seeds: int) -> str:
    plan = results.plan
    fewer = (
        " Rows planned with fewer seeds saw fewer subsets, perhaps easier ones: they are not ranked, and their means "
        "cannot be compared with the others'; paired differences can."
        if len(with_all_seeds(results, size)) < len(plan.labels)
        else ""
    )
    return (
        f"{results.split.capitalize()} score × 100, mean ± standard deviation (ddof 1) over "
        f"n = {counted(seeds, 'seed')} (other n in parentheses), encoder {plan.encoder}, "
        f"selection: {selection_words(results.selection)}. "
        f"Best bold, second underlined (in Markdown italic), ties at the printed precision sharing a rank.{fewer} "
        f"Failed: failed and diverged runs, scored as the majority class. Time and passes (forward and backward): "
        f"relative to {plan.protocol.reference}, time as the {TIME_RATIO}. "
        f"Detectable difference: the true difference from {plan.protocol.reference} that a t-test with this many seeds "
        "would find with power 0.8 after the correction, for the median method's spread."
    )
