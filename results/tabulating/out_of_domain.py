"""The out-of-domain table: finished models on data from other sources than their task's."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from amix.specs.run_plan import PlannedSet
from amix.specs.run_spec import OUT_OF_DOMAIN
from amix.specs.wording import counted
from results.analysis.cells import FEWEST_SEEDS, Scores
from results.analysis.looks import sign_flip_words
from results.loading.frame import POINTS, SCORED_AS_MAJORITY, Results
from results.loading.preregistration import families
from results.loading.wording import metric_words, selection_words, size_words
from results.stats import holm, sign_flip, smallest_sample
from results.stats.power import minimum_detectable_effect
from results.tabulating.main import detectable_cell
from results.tabulating.table import Cell, Column, Table, rank_column

SCORE = ".1f"


@dataclass(frozen=True)
class Transfer:
    """One group of columns: models of a task on another set; scores, in points, has seeds down and labels across."""

    task: str
    other: PlannedSet
    scores: pd.DataFrame
    majority: float
    absent: dict[str, int]


def out_of_domain_table(results: Results, size: str) -> Table | None:
    """Mean ± standard deviation on every set and the difference from the reference; None if nothing is scored."""
    plan = results.plan
    pairs = [(task, other) for task in plan.tasks for other in plan.out_of_domain if task in other.tasks]
    transfers = [_transfer(results, size, task, other) for task, other in pairs]
    transfers = [transfer for transfer in transfers if not transfer.scores.isna().all(axis=None)]
    if not transfers:
        return None
    names = ("Majority class", *plan.labels, "Detectable difference")
    columns, body = [Column("Method")], [[Cell(name)] for name in names]
    seeds, notes, stars, exact = 0, [], 0, True
    for transfer in transfers:
        group = f"{plan.tasks[transfer.task].title} → {transfer.other.title}"
        columns += [
            Column(metric_words(transfer.other.metric), "", SCORE, group=group),
            Column("Gain", "points", "+.1f", group=group),
        ]
        tested = _tests(results, transfer)
        usual = int(transfer.scores.count().max())
        scores = _score_cells(transfer, plan.labels, usual)
        gains = _gain_cells(plan.labels, tested, plan.protocol.alpha)
        seeds = max(seeds, usual)
        exact = exact and all(test.exact for test in tested.values())
        stars += sum(bool(cell.marks) for cell in gains)
        notes += [note for note in [_power_note(group, tested, plan.protocol.alpha)] if note]
        shown = detectable_cell(_detectable(tested, plan.protocol.alpha))
        both = zip([Cell(transfer.majority), *scores, Cell("")], [Cell(""), *gains, shown], strict=True)
        body = [[*row, *pair] for row, pair in zip(body, both, strict=True)]
    if not stars and not notes:
        notes = ["No difference is significant."]
    return Table(
        name=f"out-of-domain-n{size}",
        title=f"{plan.title}: out of domain, {size_words(size)}",
        caption=(
            "Models finetuned on a task (left of the arrow) and scored, without further training, on data from another "
            "source: score × 100, mean ± standard deviation (ddof 1) over "
            f"n = {counted(seeds, 'seed')} (other n in parentheses), encoder {plan.encoder}, selection: "
            f"{selection_words(results.selection)}. Where task and set differ in "
            "classes, neutral and contradiction count as not entailed. Best bold, second underlined (in Markdown "
            "italic). Failed and diverged runs are scored as the majority class of their training subset. Gain: paired "
            f"difference from {plan.protocol.reference}; * {sign_flip_words('paired sign-flip test', exact, plan)} "
            f"over seeds, two-sided, Holm over the methods of each column, α = {plan.protocol.alpha:g}. Detectable "
            "difference: the true gain or "
            "loss that a t-test with this many seeds would find with power 0.8 after the correction, for the median "
            "method's spread."
        ),
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in body),
        rules=frozenset({0, len(plan.labels)}),
        notes=tuple(notes),
        banner=plan.note,
    )


def _transfer(results: Results, size: str, task: str, other: PlannedSet) -> Transfer:
    runs = results.runs[(results.runs["size"] == size) & (results.runs["task"] == task)]
    blocks = [results.records.get(key) or {} for key in runs["key"]]
    majorities = pd.Series([_points(block.get("data"), other, "majority") for block in blocks], dtype=float)
    majority = float(majorities.median()) if majorities.notna().any() else math.nan
    scores = [
        _points((block.get("scores") or {}).get(results.selection), other) if status == "ok"
        # A run that failed before it read the sets has no majority score of its own.
        else (majority if math.isnan(own) else own) if status in SCORED_AS_MAJORITY
        else math.nan
        for block, status, own in zip(blocks, runs["status"], majorities, strict=True)
    ]  # fmt: skip
    table = runs.assign(other=scores).pivot(index="seed", columns="label", values="other")
    table = table.reindex(columns=list(results.plan.labels))
    planned = runs.groupby("label").size()
    absent = {label: int(planned.get(label, 0) - table[label].count()) for label in results.plan.labels}
    return Transfer(task, other, table, majority, absent)


def _points(block: Any, other: PlannedSet, *names: str) -> float:
    for name in (OUT_OF_DOMAIN, other.name, *names, other.metric):
        block = block.get(name) if isinstance(block, dict) else None
    return math.nan if block is None else POINTS * float(block)


def _score_cells(transfer: Transfer, labels: Sequence[str], usual: int) -> list[Cell]:
    cells = []
    for label in labels:
        known = transfer.scores[label].dropna()
        missing = transfer.absent[label]
        notes = (f"{missing} of {missing + len(known)} runs without a score on this set",) if missing else ()
        spread = float(known.std(ddof=1)) if len(known) >= FEWEST_SEEDS else None
        count = None if len(known) == usual else len(known)
        cells.append(Cell(float(known.mean()), spread, count, notes=notes) if len(known) else Cell(None, notes=notes))
    return rank_column(cells, SCORE, [True] * len(cells))


@dataclass(frozen=True)
class _Test:
    difference: float
    p: float
    p_holm: float
    floor: float
    n: int
    comparisons: int
    sd: float
    exact: bool


def _tests(results: Results, transfer: Transfer) -> dict[str, _Test]:
    reference = results.plan.protocol.reference
    gaps: dict[str, Scores] = {
        label: (transfer.scores[label] - transfer.scores[reference]).dropna().to_numpy()
        for label in results.plan.labels
        if label != reference
    }
    tested = {label: sign_flip(gap) for label, gap in gaps.items() if len(gap) >= FEWEST_SEEDS}
    corrected: dict[str, _Test] = {}
    for family in families(tested, results.plan):
        own = [tested[label] for label in family]
        for label, test, p in zip(family, own, holm([test.p for test in own]), strict=True):
            spread = float(gaps[label].std(ddof=1))
            corrected[label] = _Test(test.mean, test.p, float(p), test.floor, test.n, len(family), spread, test.exact)
    return corrected


def _gain_cells(labels: Sequence[str], tested: dict[str, _Test], alpha: float) -> list[Cell]:
    tests = [tested.get(label) for label in labels]
    return [Cell(None) if test is None else Cell(test.difference, marks="*" * (test.p_holm <= alpha)) for test in tests]


def _detectable(tested: dict[str, _Test], alpha: float) -> float | None:
    effects = [test.sd * minimum_detectable_effect(test.n, alpha / test.comparisons) for test in tested.values()]
    return statistics.median(effects) if effects else None


def _power_note(group: str, tested: dict[str, _Test], alpha: float) -> str:
    if not tested:
        return f"{group}: no method has two scored seeds in common with the reference, so nothing is tested."
    best = min(tested.values(), key=lambda test: test.floor * test.comparisons)
    if best.floor * best.comparisons <= alpha:
        return ""
    return (
        f"{group}: no mark is possible: with n = {best.n} seeds the smallest possible p of the exact test is "
        f"{best.floor:.3g}, and after Holm over {best.comparisons} comparisons a mark needs at least "
        f"{smallest_sample(best.comparisons, alpha)} seeds; the absence of marks means nothing."
    )
