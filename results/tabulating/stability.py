"""The stability table: spread over seeds, failed and collapsed runs, per method."""

from results.analysis.cells import FEWEST_SEEDS, paired, score_matrix, with_all_seeds
from results.analysis.comparisons import against, impossible
from results.loading.frame import SCORED_AS_MAJORITY, Results
from results.loading.preregistration import families
from results.loading.wording import selection_words, size_words
from results.stats import holm
from results.stats.instability import failed, mcnemar, variance_permutation, wilson
from results.tabulating.table import P_VALUE, Cell, Column, Table, rank_column

SPREAD = ".2f"
TOLERANCE = 0.0
"""Up to this many points above the majority score a run counts as collapsed."""


def stability_table(results: Results, size: str) -> Table | None:
    """Standard deviation over seeds per task, worst run, failed and collapsed runs, tested against the reference."""
    plan, ranked = results.plan, with_all_seeds(results, size)
    tables = {task: score_matrix(results, size, task) for task in plan.tasks}
    if not any((table.count() >= FEWEST_SEEDS).any() for table in tables.values()):
        return None
    columns = [Column("Method")]
    body = [[Cell(label)] for label in plan.labels]
    for task, table in tables.items():
        columns.append(Column(plan.tasks[task].title, "std", SPREAD))
        marks = _marks(results, size, task)
        cells = [Cell(float(table[label].std(ddof=1)), marks=marks.get(label, "")) for label in plan.labels]
        cells = rank_column(cells, SPREAD, [label in ranked for label in plan.labels], highest=False)
        body = [[*row, cell] for row, cell in zip(body, cells, strict=True)]
    columns += [
        Column("Worst run", "above majority", "+.1f"),
        Column("Failed", "runs", ".0f"),
        Column("Collapsed", "of scored runs"),
        Column("Rate", "95 %"),
        Column("p", "McNemar", P_VALUE),
    ]
    flags = _collapsed(results, size)
    body = [[*row, *_failure_cells(results, size, label, flags)] for row, label in zip(body, plan.labels, strict=True)]
    return Table(
        name=f"stability-n{size}",
        title=f"{plan.title}: stability over seeds, {size_words(size)}",
        caption=(
            f"Standard deviation (ddof 1) of the {results.split} score × 100 over seeds, selection: "
            f"{selection_words(results.selection)}; lowest bold, among the rows with all seeds. * spread differs from "
            f"{plan.protocol.reference}: paired permutation test of the variance ratio, Holm over the methods of each "
            f"task, α = {plan.protocol.alpha:g}. Collapsed: the final score is at or below the majority class's, or "
            "the run failed or diverged, with Wilson's interval of the rate; p: exact McNemar test against the "
            "reference, over all tasks, uncorrected."
        ),
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in body),
        notes=(
            "A small spread around a low mean is no virtue: read this table together with the main one.",
            *_power(results, size),
        ),
        banner=plan.note,
    )


def _power(results: Results, size: str) -> tuple[str, ...]:
    """Swapping within n seeds has the same smallest p as flipping n signs, so the same columns allow no mark."""
    plan = results.plan
    none = impossible(against(results, size, plan.protocol.reference), plan.protocol.alpha)
    titles = ", ".join(task.title for name, task in plan.tasks.items() if name in none)
    return (f"With so few seeds no mark is possible for {titles}; its absence means nothing.",) if none else ()


def _marks(results: Results, size: str, task: str) -> dict[str, str]:
    p = {}
    for label in results.plan.labels:
        own, its = paired(results, size, task, label, results.plan.protocol.reference)
        if label != results.plan.protocol.reference and len(own) >= FEWEST_SEEDS and (own.std() or its.std()):
            p[label] = variance_permutation(own, its).p
    if not p:
        return {}
    adjusted: dict[str, float] = {}
    for family in families(p, results.plan):
        adjusted |= dict(zip(family, holm([p[label] for label in family]), strict=True))
    return {label: "*" for label, value in adjusted.items() if value <= results.plan.protocol.alpha}


def _collapsed(results: Results, size: str) -> dict[str, dict[tuple[str, int], bool]]:
    """Label -> (task, seed) -> whether the scored run failed, diverged, or ended at or below the majority class."""
    runs = results.runs[(results.runs["size"] == size) & results.runs[["score", "majority"]].notna().all(axis=1)]
    below = (
        failed(runs["score"] - runs["majority"], 0.0, TOLERANCE) | runs["status"].isin(SCORED_AS_MAJORITY).to_numpy()
    )
    flags: dict[str, dict[tuple[str, int], bool]] = {label: {} for label in results.plan.labels}
    for label, task, seed, flag in zip(runs["label"], runs["task"], runs["seed"], below, strict=True):
        flags[label][task, seed] = bool(flag)
    return flags


def _failure_cells(
    results: Results, size: str, label: str, flags: dict[str, dict[tuple[str, int], bool]]
) -> list[Cell]:
    runs = results.runs[(results.runs["size"] == size) & (results.runs["label"] == label)]
    worst = Cell(float((runs["score"] - runs["majority"]).min()))
    counted = Cell(float(runs["status"].isin(SCORED_AS_MAJORITY).sum()))
    own, reference = flags[label], flags[results.plan.protocol.reference]
    if not own:
        return [worst, counted, Cell(None), Cell(None), Cell(None)]
    collapsed = sum(own.values())
    low, high = wilson(collapsed, len(own))
    shared = [block for block in own if block in reference]
    same = label == results.plan.protocol.reference or not shared
    p = None if same else mcnemar([own[block] for block in shared], [reference[block] for block in shared]).p
    return [worst, counted, Cell(f"{collapsed}/{len(own)}"), Cell(f"{100 * low:.0f}–{100 * high:.0f} %"), Cell(p)]
