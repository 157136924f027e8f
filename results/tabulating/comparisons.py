"""The tests behind the marks: every method against one named method, over all tasks and task by task."""

from dataclasses import replace

from amix.specs.run_plan import RunPlan
from results.analysis.claims import Claim, all_exact, claims, planned_comparisons, primary_claims
from results.analysis.comparisons import against, power_notes
from results.analysis.looks import (
    decision_sentences,
    interval_words,
    name_of_test,
    primary_sentences,
    seen_differences,
    sign_flip_words,
)
from results.loading.frame import Results
from results.loading.preregistration import pair_name
from results.loading.wording import selection_words, size_words
from results.stats.effects import effect, probability_of_winning
from results.tabulating.main import detectable_cell
from results.tabulating.table import P_VALUE, Cell, Column, Table

POINTS, P = "+.2f", P_VALUE


def across_table(results: Results, size: str, other: str) -> Table | None:
    """Every method against `other` over all tasks: the claim about these tasks, and that about tasks like these."""
    plan = results.plan
    by_label = claims(results, size, other)
    if not by_label:
        return None
    left_out = [label for label in plan.labels if label != other and label not in by_label]
    return _over_tasks(
        results,
        by_label,
        across_name(other, size),
        f"{plan.title}: every method against {other}, over {len(plan.tasks)} tasks, {size_words(size)}",
        (*_notes(plan, left_out, by_label), *_decided(results, size, other)),
    )


def primary_table(results: Results, size: str) -> Table | None:
    """The protocol's primary comparisons over all tasks, corrected among themselves; None if it has none."""
    plan = results.plan
    by_name = primary_claims(results, size)
    if not by_name:
        return None
    left_out = [name for name in map(pair_name, plan.protocol.primary) if name not in by_name]
    table = _over_tasks(
        results,
        by_name,
        f"primary-n{size}",
        f"{plan.title}: the primary comparisons, over {len(plan.tasks)} tasks, {size_words(size)}",
        (*_notes(plan, left_out, by_name), *primary_sentences(results, size)),
    )
    return replace(table, columns=(Column("Comparison"), *table.columns[1:]))


def _over_tasks(results: Results, by_label: dict[str, Claim], name: str, title: str, notes: tuple[str, ...]) -> Table:
    plan = results.plan
    star = {True: "*", False: ""}
    rows = [
        (
            Cell(claim.label),
            Cell(claim.difference, marks=star[claim.p_holm <= plan.protocol.alpha]),
            Cell(claim.low),
            Cell(claim.high),
            Cell(float(claim.seeds)),
            Cell(claim.p),
            Cell(claim.p_holm),
            detectable_cell(claim.detectable, claim.floor * claim.comparisons <= plan.protocol.alpha),
            Cell(claim.p_equivalent),
            Cell("/".join(map(str, claim.record))),
            Cell(claim.p_tasks_t),
            Cell(claim.p_tasks),
        )
        for claim in by_label.values()
    ]
    here, there = "These tasks", "Tasks like these"
    columns = (
        Column("Method"),
        Column("Difference", "points", POINTS, group=here),
        Column("from", "95 %", POINTS, group=here),
        Column("to", "95 %", POINTS, group=here),
        Column("n", "seeds", ".0f", group=here),
        Column("p", "", P, group=here),
        Column("p", "Holm", P, group=here),
        Column("Detectable", "points", ".2f", group=here),
        Column("p", f"within ±{plan.protocol.margin:g}", P, group=here),
        Column("Won/tied/lost", "tasks", group=there),
        Column("p", "t", P, group=there),
        Column("p", "sign flip", P, group=there),
    )
    return Table(
        name=name,
        title=title,
        caption=(
            f"Mean over tasks of the paired difference in {results.split} score × 100, selection: "
            f"{selection_words(results.selection)}. These tasks (other seeds): "
            f"{sign_flip_words(name_of_test(plan), all_exact(by_label), plan)}, "
            f"Holm over {planned_comparisons(by_label)} comparisons (* at α = {plan.protocol.alpha:g}), "
            f"{interval_words(plan)}, the true difference that a t-test would find with power 0.8 at that level, "
            "and the larger p of two one-sided t-tests that the difference is within "
            f"±{plan.protocol.margin:g} points, uncorrected: a small one means that the two are practically equal. "
            "Tasks like these: t-test and exact sign-flip test on the task means, uncorrected."
        ),
        columns=columns,
        rows=tuple(rows),
        notes=notes,
        banner=plan.note,
    )


def _decided(results: Results, size: str, other: str) -> tuple[str, ...]:
    """What the looks decided, if the suite has several and this is the table of the planned comparisons."""
    of_interest = bool(results.plan.protocol.looks) and other == results.plan.protocol.reference
    return tuple(decision_sentences(results, size)) if of_interest else ()


def across_name(other: str, size: str) -> str:
    """The name of the table of every method against `other`."""
    return f"against-{_file_name(other)}-n{size}"


def _notes(plan: RunPlan, left_out: list[str], by_label: dict[str, Claim]) -> tuple[str, ...]:
    notes = []
    if left_out:
        notes.append(f"Left out, without two paired seeds on every task: {', '.join(left_out)}.")
    claim = next(iter(by_label.values()))
    if claim.floor_tasks * claim.comparisons > plan.protocol.alpha:
        corrected = f" after Holm over {claim.comparisons}" if claim.comparisons > 1 else ""
        notes.append(
            f"On the means of {len(plan.tasks)} task{'s' * (len(plan.tasks) > 1)} the sign-flip test cannot go below "
            f"p = {claim.floor_tasks:.3g}: it allows no claim about tasks like these{corrected}, whatever the methods "
            "do."
        )
    return tuple(notes)


def cell_table(results: Results, size: str, other: str) -> Table | None:
    """Every method against `other`, task by task: difference, interval, tests, effect sizes."""
    plan = results.plan
    frame = against(results, size, other)
    if frame.empty:
        return None
    test = sign_flip_words("sign flip", bool(frame["exact"].all()), plan)
    rows = []
    for row in frame.to_dict("records"):
        gaps = seen_differences(results, size, row["task"], row["label"], other)
        winning = probability_of_winning(gaps)
        star = "*" if row["p_holm"] <= plan.protocol.alpha else ""
        numbers = [row["low"], row["high"], row["sd"], row["n"], row["p"], row["p_holm"], row["q"], row["p_t"]]
        standardised = effect(gaps)
        numbers += [row["p_wilcoxon"], standardised.d_z, standardised.g_z]
        numbers += [winning.probability, winning.low, winning.high]
        cells = [Cell(float(number)) for number in numbers]
        title = plan.tasks[row["task"]].title
        rows.append((Cell(row["label"]), Cell(title), Cell(row["difference"], marks=star), *cells))
    columns = (
        Column("Method"),
        Column("Task", text=True),
        Column("Difference", "points", POINTS),
        Column("from", "95 %", POINTS),
        Column("to", "95 %", POINTS),
        Column("std", "ddof 1", ".2f"),
        Column("n", "seeds", ".0f"),
        Column("p", "sign flip", P),
        Column("p Holm", "", P),
        Column("q", "BH", P),
        Column("p t", "", P),
        Column("p Wilcoxon", "", P),
        Column("d_z", "", ".2f"),
        Column("g_z", "", ".2f"),
        Column("P(better)", "", ".2f"),
        Column("P from", "95 %", ".2f"),
        Column("P to", "95 %", ".2f"),
    )
    return Table(
        name=f"cells-against-{_file_name(other)}-n{size}",
        title=f"{plan.title}: every method against {other}, task by task, {size_words(size)}",
        caption=(
            f"Paired differences in {results.split} score "
            f"× 100 over seeds, selection: {selection_words(results.selection)}, with "
            f"t interval. The test is the {test}, Holm over the methods of a task (* at "
            f"α = {plan.protocol.alpha:g}); q: Benjamini-Hochberg over the whole table; the t and Wilcoxon tests are "
            "sensitivity checks and decide nothing. d_z: standardised mean difference; g_z: small-sample corrected. "
            "P(better): share of seeds won, ties counting half, with Wilson interval."
        ),
        columns=columns,
        rows=tuple(rows),
        notes=power_notes(frame, plan),
        banner=plan.note,
        detail=True,
    )


def _file_name(label: str) -> str:
    return "".join(character if character.isalnum() or character in "-_" else "-" for character in label)
