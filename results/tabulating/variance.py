"""The tables of a crossed design: means, and each source's share of the spread with the seeds that it requires.

Its runs share seeds, so that no test and no interval over them holds.
"""

import math

import numpy

from amix.specs.wording import counted
from results.analysis.cells import score_matrix
from results.loading.frame import Results
from results.loading.wording import metric_words, selection_words, size_words
from results.stats.variance_components import INTERACTION, REST, SUBSET, Component, seeds_for, variance_components
from results.tabulating.table import Cell, Column, Table

SOURCES = {SUBSET: "Subset", REST: "Head, order, dropout", INTERACTION: "Both together"}
STANDARD_ERROR = 1.0
"""Points; the last column is the number of seeds that brings the standard error of the mean down to this."""


def means_table(results: Results, size: str) -> Table:
    """Mean score in points, per method and task, over runs that share seeds: no spread, rank or test."""
    plan = results.plan
    tables = [score_matrix(results, size, task) for task in plan.tasks]
    planned = max(len(table) for table in tables)
    rows = []
    for label in plan.labels:
        scored = [table[label].dropna() for table in tables]
        counts = [None if len(scores) == planned else len(scores) for scores in scored]
        cells = [Cell(float(scores.mean()), count=count) for scores, count in zip(scored, counts, strict=True)]
        rows.append((Cell(label), *cells))
    return Table(
        name=f"means-n{size}",
        title=f"{plan.title}: means, {size_words(size)}",
        caption=(
            f"Mean {results.split} score × 100 over {counted(planned, 'run')} (other numbers in parentheses), "
            f"selection: {selection_words(results.selection)}, encoder {plan.encoder}. The runs share seeds, so that "
            "no test between methods and no interval over runs holds; none is made."
        ),
        columns=(
            Column("Method"),
            *(Column(task.title, metric_words(task.metric, task.positive)) for task in plan.tasks.values()),
        ),
        rows=tuple(rows),
        banner=plan.note,
    )


def variance_table(results: Results, size: str) -> Table | None:
    """Shares of the variance by source, per task: of every method, and of its difference from the reference.

    None unless subsets cross the other seeds, and without a method that has all its runs.

    Args:
        results: Of a suite whose seeds are crossed (`seeds: {crossed: {subset: [...], rest: [...]}}`).
        size: Training examples, as in the plan.
    """
    plan, reference = results.plan, results.plan.protocol.reference
    complete: list[tuple[str, str, numpy.ndarray]] = []
    for task in plan.tasks.values():
        by_label: dict[str, numpy.ndarray] = {}
        for label in plan.labels:
            scores = crossed_scores(results, size, task.name, label)
            if scores is None:
                return None
            if numpy.isfinite(scores).all():
                by_label[label] = scores
        complete += [(task.title, label, scores) for label, scores in by_label.items()]
        complete += [
            (task.title, f"{label} − {reference}", scores - by_label[reference])
            for label, scores in by_label.items()
            if reference in by_label and label != reference
        ]
    if not complete:
        return None
    subsets, rests = complete[0][2].shape
    return Table(
        name=f"variance-n{size}",
        title=f"{plan.title}: shares of the variance, {size_words(size)}",
        caption=(
            f"{subsets} subsets, each with {rests} seeds of everything else; {results.split} score × 100, "
            f"selection: {selection_words(results.selection)}, encoder {plan.encoder}. Shares of the variance of a "
            "single run, with 95 % generalised intervals; a run is deterministic given its seeds. Seeds: the number, "
            f"each redrawing every source, that brings the standard error of a mean to {STANDARD_ERROR:g} point; more "
            "seeds on one subset do not reduce the subset's part. Rows with a − are paired differences in points from "
            f"{reference}, run by run with the same seeds: their spread decides how many seeds a comparison needs."
        ),
        columns=_columns(),
        rows=tuple(_row(task, label, variance_components(one), float(one.mean())) for task, label, one in complete),
        banner=plan.note,
    )


def crossed_scores(results: Results, size: str, task: str, label: str) -> numpy.ndarray | None:
    """Scores in points, (subset seeds, seeds of the rest), nan if a run is missing; None for another design."""
    runs = results.runs[
        (results.runs["size"] == size) & (results.runs["task"] == task) & (results.runs["label"] == label)
    ]
    by_seeds: dict[tuple[int, int], float] = {}
    for key, score in zip(runs["key"], runs["score"], strict=True):
        seeds = results.plan.runs[key].seeds
        by_seeds[seeds.subset, seeds.head] = float(score)
    subsets, rests = (sorted({pair[i] for pair in by_seeds}) for i in (0, 1))
    if min(len(subsets), len(rests)) < 2 or len(subsets) * len(rests) != len(by_seeds):
        return None
    return numpy.array([[by_seeds[subset, rest] for rest in rests] for subset in subsets])


def _columns() -> tuple[Column, ...]:
    columns = [Column("Task", text=True), Column("Method", text=True), Column("Mean"), Column("Std", "one run")]
    for name in SOURCES.values():
        columns += [
            Column("Share", "%", ".0f", group=name),
            Column("from", "95 %", ".0f", group=name),
            Column("to", "95 %", ".0f", group=name),
        ]
    return (*columns, Column("Seeds", f"to ±{STANDARD_ERROR:g}", ".0f"))


def _row(task: str, label: str, components: dict[str, Component], mean: float) -> tuple[Cell, ...]:
    variances = {source: components[source].variance for source in SOURCES}
    cells = [Cell(task), Cell(label), Cell(mean), Cell(math.sqrt(sum(variances.values())))]
    for source in SOURCES:
        one = components[source]
        cells += [Cell(100 * one.share), Cell(100 * one.share_low), Cell(100 * one.share_high)]
    return (*cells, Cell(float(seeds_for(variances, STANDARD_ERROR))))
