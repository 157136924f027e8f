"""The encoders table: one method per row, one suite's encoder per column: `python -m runners encoders table`."""

from collections.abc import Sequence
from dataclasses import replace

from amix.specs.run_plan import PlanError, RunPlan
from results.analysis.cells import seed_averages
from results.analysis.claims import all_exact, claims
from results.analysis.looks import sign_flip_words
from results.loading.frame import Results
from results.loading.wording import selection_words, size_words, titles
from results.tabulating.marking import marked
from results.tabulating.table import Cell, Column, Table, rank_column

SCORE = ".1f"


def encoders_table(suites: Sequence[Results], size: str) -> Table:
    """Average over tasks per method and suite at one size, with the difference from the reference.

    Args:
        suites: At least one; they may differ only in their encoder.
        size: Training examples, as in the plans.

    Raises:
        PlanError: The suites differ in tasks, reference, selection or split, one lacks the size, or two have the same
            encoder.
    """
    first = suites[0].plan
    for results in suites:
        plan = results.plan
        if _compared(results) != _compared(suites[0]) or size not in plan.sizes:
            raise PlanError(
                f"suites {first.suite!r} and {plan.suite!r} cannot be in one table at size {size}: tasks, "
                "reference, selection rule, split and size must be the same"
            )
    if len({results.plan.encoder for results in suites}) < len(suites):
        raise PlanError("two of these suites have the same encoder; name one suite per encoder")
    exact = all(all_exact(claims(results, size, first.protocol.reference)) for results in suites)
    labels = list(dict.fromkeys(label for results in suites for label in results.plan.labels))
    columns, body = [Column("Method")], [[Cell(label)] for label in labels]
    for results in suites:
        group = results.plan.encoder
        columns += [Column("Average", "of tasks", SCORE, group=group), Column("Gain", "points", "+.1f", group=group)]
        pairs = zip(_averages(results, size, labels), _gains(results, size, labels), strict=True)
        body = [[*row, *pair] for row, pair in zip(body, pairs, strict=True)]
    table = Table(
        name=f"encoders-n{size}",
        title=f"Methods on {len(suites)} encoders, {size_words(size)}",
        caption=(
            f"{suites[0].split.capitalize()} score × 100, average over {titles(first)}, mean ± standard deviation "
            f"(ddof 1) over complete seeds (n in parentheses), selection: {selection_words(suites[0].selection)}. "
            f"Gain: paired difference from {first.protocol.reference} (* "
            f"{sign_flip_words('task-stratified sign-flip test', exact, first)}, Holm "
            f"over the methods of each encoder, α = {first.protocol.alpha:g}); best per encoder bold."
        ),
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in body),
        notes=(f"Made by: python -m runners encoders table {' '.join(r.plan.suite for r in suites)} --size {size}",),
        banner=_banner([results.plan for results in suites]),
    )
    for results in suites:
        noted = marked(table, results.plan)
        table = replace(noted, notes=tuple(dict.fromkeys(noted.notes)))
    return table


def _compared(results: Results) -> tuple[object, ...]:
    plan = results.plan
    return tuple(plan.tasks), plan.protocol.reference, plan.protocol.alpha, results.selection, results.split


def _banner(plans: Sequence[RunPlan]) -> str:
    return "; ".join(dict.fromkeys(plan.note for plan in plans if plan.note))


def _averages(results: Results, size: str, labels: Sequence[str]) -> list[Cell]:
    averages = seed_averages(results, size).reindex(columns=list(labels))
    cells = []
    for label in labels:
        complete = averages[label].dropna()
        cell = Cell(float(complete.mean()), float(complete.std(ddof=1)), len(complete))
        cells.append(cell if len(complete) else Cell(None))
    return rank_column(cells, SCORE, [True] * len(cells))


def _gains(results: Results, size: str, labels: Sequence[str]) -> list[Cell]:
    plan = results.plan
    by_label = claims(results, size, plan.protocol.reference)
    stars = {label: "*" if claim.p_holm <= plan.protocol.alpha else "" for label, claim in by_label.items()}
    return [
        Cell(by_label[label].difference, marks=stars[label]) if label in by_label else Cell(None) for label in labels
    ]
