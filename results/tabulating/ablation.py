"""The ablation table: rows of the focus method with one setting changed, against the focus method itself."""

from typing import Any

from amix.specs.run_plan import RunPlan
from results.analysis.cells import differences
from results.analysis.claims import Claim, all_exact, claims
from results.analysis.comparisons import against, power_notes, significant
from results.analysis.looks import sign_flip_words
from results.loading.frame import Results
from results.loading.wording import selection_words, size_words
from results.tabulating.table import Cell, Column, Table

POINTS = "+.2f"


def ablation_table(results: Results, size: str) -> Table | None:
    """Which settings every variant of the focus method changes, and how that changes the score.

    None for a suite with fewer than two variants of the focus method.
    """
    plan = results.plan
    variants = _variants(results)
    if len(variants) < 2:
        return None
    focus = str(plan.protocol.focus)
    frame = against(results, size, focus)
    starred = significant(frame, plan.protocol.alpha)
    over_tasks = claims(results, size, focus) if len(plan.tasks) > 1 else {}
    test = sign_flip_words("paired sign-flip test", bool(frame["exact"].all()) and all_exact(over_tasks), plan)
    rows = []
    for label, changes in variants.items():
        cells = [Cell(label), Cell(changes)]
        for task in plan.tasks:
            gaps = differences(results, size, task, label, focus)
            mark = "*" if (task, label) in starred else ""
            cells.append(Cell(float(gaps.mean()), marks=mark) if len(gaps) else Cell(None))
        seeds = min(len(differences(results, size, task, label, focus)) for task in plan.tasks)
        rows.append((*cells, *_average(over_tasks.get(label), plan), Cell(float(seeds))))
    return Table(
        name=f"ablation-n{size}",
        title=f"{plan.title}: what the parts of {focus} do, {size_words(size)}",
        caption=(
            f"Mean paired difference from {focus} in {results.split} score × 100, selection: "
            f"{selection_words(results.selection)}, encoder {plan.encoder}; below 0 the change is harmful. * "
            f"{test} (average: stratified by task, with Welch-Satterthwaite interval), Holm over all "
            f"methods of the suite in each column, α = {plan.protocol.alpha:g}."
        ),
        columns=(
            Column("Variant"),
            Column("Changed", text=True),
            *(Column(task.title, "points", POINTS) for task in plan.tasks.values()),
            Column("Average", "points", POINTS),
            Column("from", "95 %", POINTS),
            Column("to", "95 %", POINTS),
            Column("n", "seeds", ".0f"),
        ),
        rows=tuple(rows),
        notes=power_notes(frame, plan),
        banner=plan.note,
    )


def _average(claim: Claim | None, plan: RunPlan) -> list[Cell]:
    if claim is None:
        return [Cell(None)] * 3
    mark = "*" if claim.p_holm <= plan.protocol.alpha else ""
    return [Cell(claim.difference, marks=mark), Cell(claim.low), Cell(claim.high)]


def _variants(results: Results) -> dict[str, str]:
    """Label -> changed settings, for the rows that run the focus method with other settings."""
    plan = results.plan
    methods = {row.label: row.method for row in plan.methods}
    settings = _settings(results)
    own = settings.get(str(plan.protocol.focus))
    if own is None:
        return {}
    return {
        label: ", ".join(
            f"{name} = {_text(value)}" for name, value in settings[label].items() if own.get(name) != value
        )
        for label in plan.labels
        if label != plan.protocol.focus and methods[label] == methods[str(plan.protocol.focus)] and label in settings
    }


def _settings(results: Results) -> dict[str, dict[str, Any]]:
    """Label -> the method's settings and the recipe, from the label's first record."""
    settings: dict[str, dict[str, Any]] = {}
    for key, record in results.records.items():
        label, spec = results.plan.runs[key].label, record["spec"]
        if label not in settings:
            settings[label] = {**(spec.get("method_config") or {}), **(spec.get("training") or {})}
    return settings


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
