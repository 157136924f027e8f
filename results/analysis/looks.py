"""The tests of a suite that declared several looks: one procedure whose level holds over all of them."""

from collections import Counter
from dataclasses import replace

import numpy as np

from amix.specs.run_plan import RunPlan
from results.analysis.cells import (
    CELL,
    NOT_NEEDED,
    Place,
    Scores,
    Summary,
    differences,
    in_words,
    score_matrix,
    summaries,
)
from results.loading.frame import MISSING, Results, cached
from results.loading.preregistration import families, pair_name
from results.loading.wording import listed, p_text, signed
from results.stats import sequential, signs
from results.stats.sequential import Looks, sequential_p, smallest_p
from results.stats.sequential_family import ENDED, OPEN, REJECTED, Decision, decide, still_open


@cached
def decisions(results: Results, size: str, other: str) -> dict[str, Decision]:
    """What the looks have decided so far on every method against `other`, over all tasks; empty without looks.

    Holm's family consists of the plan's rows that can reach the last look, those with runs planned on every task for
    all its seeds; rows added after looking form a family of their own. Differences are in points.
    """
    plan = results.plan
    if not plan.protocol.looks:
        return {}
    looks, alpha = Looks(plan.protocol.looks), plan.protocol.alpha
    labels = [label for label in plan.labels if label != other and reaches_every_look(label, plan, size)]
    gaps = {label: [ordered_differences(results, size, task, label, other) for task in plan.tasks] for label in labels}
    by_label: dict[str, Decision] = {}
    for family in families(labels, plan):
        by_label |= decide({label: gaps[label] for label in family}, looks, alpha)
    return {label: by_label[label] for label in labels}


@cached
def primary_decisions(results: Results, size: str) -> dict[str, Decision]:
    """What the looks have decided so far on each primary pair, by name: a family of its own; empty without looks."""
    plan = results.plan
    gaps = {
        pair_name(pair): [ordered_differences(results, size, task, *pair) for task in plan.tasks]
        for pair in plan.protocol.primary
    }
    return decide(gaps, Looks(plan.protocol.looks), plan.protocol.alpha) if gaps and plan.protocol.looks else {}


def _followed(results: Results) -> list[tuple[tuple[str, ...], Decision]]:
    # Every comparison for which seeds are added, at every size, with its two rows.
    protocol = results.plan.protocol
    found: list[tuple[tuple[str, ...], Decision]] = []
    for size in results.plan.sizes:
        against = decisions(results, size, protocol.reference).items()
        found += [((label, protocol.reference), decision) for label, decision in against]
        found += zip(protocol.primary, primary_decisions(results, size).values(), strict=False)
    return found


def reaches_every_look(label: str, plan: RunPlan, size: str) -> bool:
    """Whether a row has runs planned on every task for all seeds of the last look."""
    seeds = plan.seeds[: plan.protocol.looks[-1]]
    planned = {(run.task, run.seed) for run in plan.runs.values() if run.label == label and run.size == size}
    return all((task, seed) in planned for task in plan.tasks for seed in seeds)


def ordered_differences(results: Results, size: str, task: str, label: str, other: str) -> Scores:
    """Score of `label` minus score of `other` in points, in the plan's order of seeds, up to the first missing one.

    A look is complete when its own seeds are: a later seed never replaces a missing one.
    """
    matrix = score_matrix(results, size, task).reindex(results.plan.seeds)
    return until_missing((matrix[label] - matrix[other]).to_numpy(dtype=np.float64))


def until_missing(gaps: Scores) -> Scores:
    """The differences before the first one that is missing."""
    missing = np.flatnonzero(np.isnan(gaps))
    return gaps[: missing[0]] if missing.size else gaps


def seen_differences(results: Results, size: str, task: str, label: str, other: str) -> Scores:
    """The differences on a task that tables show: with looks, those of the latest complete one, if there is one."""
    looks = results.plan.protocol.looks
    gaps = differences(results, size, task, label, other)
    if not looks:
        return gaps
    ordered = ordered_differences(results, size, task, label, other)
    reached = Looks(looks).reached(len(ordered))
    return ordered[: looks[reached - 1]] if reached else gaps


def cell_p(gaps: Scores, plan: RunPlan) -> tuple[float, float]:
    """The p-value of a single task after the latest complete look, and the smallest that this look can give.

    Args:
        gaps: Differences in points, in the plan's order of seeds, none missing.
        plan: The plan, which has looks.
    """
    looks = Looks(plan.protocol.looks)
    p_values = sequential_p([gaps], looks) if len(gaps) else ()
    return (p_values[-1], smallest_p(looks)[len(p_values) - 1]) if p_values else (1.0, 1.0)


def floor(decision: Decision, plan: RunPlan) -> float:
    """The smallest p-value that a comparison over all tasks can have after its latest look; 1 before the first."""
    return smallest_p(Looks(plan.protocol.looks), len(plan.tasks))[decision.look - 1] if decision.look else 1.0


def next_rows(results: Results) -> frozenset[str]:
    """The rows that get the next seeds: both of every comparison, with the reference or primary, open at some size."""
    return frozenset(row for rows, decision in _followed(results) if decision.state == OPEN for row in rows)


def last_looks(results: Results) -> dict[str, int]:
    """The look after which a row got no more seeds, by label; rows that still get some are left out."""
    open_rows, looks = next_rows(results), dict[str, int]()
    for rows, decision in _followed(results):
        for row in set(rows) - open_rows:
            looks[row] = max(looks.get(row, 0), decision.look)
    return looks


@cached
def not_needed(results: Results) -> dict[Place, int]:
    """How many planned runs of a cell were left out because an earlier look had decided."""
    plan, runs = results.plan, results.runs
    left_out = {
        (label, seed)
        for label, look in last_looks(results).items()
        for seed in plan.seeds[plan.protocol.looks[look - 1] : plan.protocol.looks[-1]]
    }
    absent = runs.loc[runs["status"] == MISSING, [*CELL, "seed"]].itertuples(index=False, name=None)
    return Counter((size, task, label) for size, task, label, seed in absent if (label, seed) in left_out)


@cached
def explained_summaries(results: Results) -> dict[Place, Summary]:
    """Every planned cell; its text distinguishes runs that were not needed from missing ones."""
    cells, runs, spared = summaries(results), results.runs, not_needed(results)
    unscored = runs[runs["score"].isna()].groupby(CELL, sort=False)["status"]
    told = {}
    for place, count in spared.items():
        statuses = unscored.get_group(place)
        missing = statuses.index[statuses == MISSING][:count]
        told[place] = replace(cells[place], absent=in_words(statuses.where(~statuses.index.isin(missing), NOT_NEEDED)))
    return cells | told


def decision_sentences(results: Results, size: str) -> list[str]:
    """What was decided at which look, a sentence for each look that decided something, and one for what is open."""
    return _sentences(decisions(results, size, results.plan.protocol.reference), results.plan.protocol.looks)


def primary_sentences(results: Results, size: str) -> list[str]:
    """The same about the primary comparisons."""
    sentences = _sentences(primary_decisions(results, size), results.plan.protocol.looks)
    return [f"Primary comparisons: {sentence[0].lower()}{sentence[1:]}" for sentence in sentences]


def _sentences(by_label: dict[str, Decision], looks: tuple[int, ...]) -> list[str]:
    count = len(looks)
    sentences = []
    for look in range(1, count + 1):
        decided = [f"{label} ({_in_words(one)})" for label, one in by_label.items() if _at(one, look)]
        if decided:
            seeds = looks[look - 1]
            sentences.append(f"Decided at look {look} of {count}, after {seeds} seeds: {listed(decided)}.")
    if left := still_open(by_label):
        sentences.append(f"Not decided yet: {listed(left)}.")
    if ended := [label for label, one in by_label.items() if one.state == ENDED]:
        sentences.append(f"Without a decision after the last look: {listed(ended)}.")
    return sentences


def name_of_test(plan: RunPlan) -> str:
    """The name of the test over tasks."""
    if not plan.protocol.looks:
        return "task-stratified sign-flip test"
    return f"task-stratified sign-flip test over looks after {listed(plan.protocol.looks)} seeds"


def interval_words(plan: RunPlan) -> str:
    """The name of the interval of a difference over tasks."""
    if not plan.protocol.looks:
        return "Welch-Satterthwaite interval"
    return "interval over all looks and comparisons, from the seeds up to the deciding or the latest look"


def exact(tasks: int, plan: RunPlan) -> bool:
    """Whether the tests of a plan with looks, over this many tasks, count every sign pattern."""
    return sequential.counts_every_pattern(tasks, Looks(plan.protocol.looks))


def sign_flip_words(name: str, exact: bool, plan: RunPlan) -> str:
    """The name of a sign-flip test in a caption: exact if every sign pattern was counted, else how many were drawn."""
    if exact:
        return f"exact {name}"
    if plan.protocol.looks:
        most, draws, beyond = sequential.ENUMERATED_TO, sequential.DRAWS + 1, "differences up to the last look"
    else:
        most, draws, beyond = signs.ENUMERATED_TO, signs.DRAWS, "differences without a common unit"
    return f"{name} (of more than {most} {beyond}, p from {draws:,} drawn sign patterns)"


def _at(decision: Decision, look: int) -> bool:
    return decision.state == REJECTED and decision.look == look


def _in_words(decision: Decision) -> str:
    direction = "better" if decision.estimate > 0 else "worse"
    return f"{direction}, {signed(decision.estimate)} points, {p_text(decision.p_adjusted)}"
