"""What a suite's file plans, and what it says was added after looking, in words."""

from collections.abc import Iterable, Sequence

from amix.specs.run_plan import RunPlan
from amix.specs.wording import counted
from results.loading.wording import endpoint_words, listed, selection_words

MARK = "‡"
"""Marks a row that was added after looking, or some of whose seeds were."""


def protocol_sentence(plan: RunPlan) -> str:
    """The protocol in the suite's file: rows, seeds and looks as planned, what is compared, and by which score."""
    protocol, rows, seeds = plan.protocol, _planned_rows(plan), _planned_seeds(plan)
    planned = f"{counted(len(rows), 'row')} and {counted(len(seeds), 'seed')} planned{_fewer(plan, rows, seeds)}"
    selection = f"{protocol.split} scores, selection: {selection_words(protocol.selection)}"
    if plan.tuning_budget is not None:
        return f"Protocol: {planned}; {counted(plan.tuning_budget, 'setting')} of every method; {selection}."
    focus = f", above all {protocol.focus}" if protocol.focus else ""
    if protocol.primary:
        focus += f"; primary, and corrected among themselves: {listed(map(pair_name, protocol.primary))}"
    if plan.runs_share_seeds:
        return f"Protocol: {planned}; runs share seeds, so that there is no test; {selection}."
    against = f"every method against {protocol.reference}{focus}" if len(plan.labels) > 1 else "one method"
    after = protocol.looks or (len(seeds),)
    looks = f"{'looks' if len(after) > 1 else 'one look'} after {listed(after)} seed{'s' * (after != (1,))}"
    primary, *others = (endpoint_words(name) for name in protocol.endpoints)
    endpoints = f"primary endpoint {primary}" + (f", then {listed(others)}" if others else "")
    return (
        f"Protocol: {planned}; {against}; {looks}; {endpoints}; {selection}; α = {protocol.alpha:g}; differences "
        f"within ±{protocol.margin:g} point{'s' * (protocol.margin != 1)} do not matter."
    )


def pair_name(pair: Sequence[str]) -> str:
    """A difference of two rows in words."""
    return " − ".join(pair)


def declarations(plan: RunPlan) -> list[str]:
    """The protocol, the planned rows and seeds by name, and every departure from them, or that none is marked."""
    rows, seeds = _planned_rows(plan), _planned_seeds(plan)
    # The rows of a tuning are its settings, of which there are many; and in a design with seeds of its own for each
    # source, a run's number is only a name.
    by_name = [] if plan.tuning_budget is not None else [f"Planned rows: {'; '.join(rows)}."]
    if not any(run.seed_sources for run in plan.runs.values()):
        by_name.append(f"Planned seeds: {listed(seeds)}.")
    departed = [text for text in (seeds_sentence(plan), departures(plan)) if text]
    none = "No departure: no row and no seed is marked as added after looking."
    return [protocol_sentence(plan), *by_name, *(departed or [none])]


def _planned_rows(plan: RunPlan) -> list[str]:
    added = exploratory(plan)
    return [label for label in plan.labels if label not in added]


def _planned_seeds(plan: RunPlan) -> list[int]:
    return [seed for seed in plan.seeds if seed not in plan.exploratory_seeds]


def _fewer(plan: RunPlan, rows: list[str], seeds: list[int]) -> str:
    """How many of the planned rows were planned with fewer seeds, in brackets; '' for none."""
    seeds_of: dict[str, set[int]] = {label: set() for label in rows}
    for run in plan.runs.values():
        seeds_of.get(run.label, set()).add(run.seed)
    later = {row.label: set(row.exploratory_seeds) for row in plan.methods}
    few = [label for label, own in seeds_of.items() if not set(seeds) <= own - later[label]]
    return f" (fewer seeds for {counted(len(few), 'row')})" if few else ""


def seeds_sentence(plan: RunPlan) -> str:
    """Which of the suite's seeds were added after looking; '' if none were."""
    added = places(plan, plan.exploratory_seeds)
    were = "were" if len(plan.exploratory_seeds) > 1 else "was"
    return f"{added.capitalize()} of {len(plan.seeds)} {were} added after looking." if added else ""


def departures(plan: RunPlan, labels: Iterable[str] | None = None) -> str:
    """Which of these rows, or of their seeds, were added after looking; '' if none were."""
    shown = set(plan.labels if labels is None else labels)
    rows = [row.label for row in plan.methods if row.exploratory and row.label in shown]
    parts = [f"the row{'s' * (len(rows) > 1)} {listed(rows)}"] if rows else []
    extended: dict[str, list[str]] = {}
    for row in plan.methods:
        if row.exploratory_seeds and row.label in shown and not row.exploratory:
            extended.setdefault(places(plan, row.exploratory_seeds), []).append(row.label)
    parts += [f"{seeds} of {listed(names)}" for seeds, names in extended.items()]
    if not parts:
        return ""
    apart = " Tests of added rows are corrected among themselves, apart from those of the planned rows." if rows else ""
    return f"{MARK} Added after looking: {'; '.join(parts)}.{apart}"


def families(labels: Iterable[str], plan: RunPlan) -> list[list[str]]:
    """The labels whose tests are corrected together: the planned ones, then those added after looking."""
    added = exploratory(plan)
    planned = [label for label in labels if label not in added]
    later = [label for label in labels if label in added]
    return [family for family in (planned, later) if family]


def exploratory(plan: RunPlan) -> frozenset[str]:
    """The labels of the rows that were added after looking."""
    return frozenset(row.label for row in plan.methods if row.exploratory)


def named(label: str, plan: RunPlan) -> str:
    """A label in running text, marked as such if its row was added after looking."""
    return f"{label} (added after looking)" if label in exploratory(plan) else label


def places(plan: RunPlan, seeds: Sequence[int]) -> str:
    """Seeds by their position in the plan: 'seeds 7 to 10', 'seeds 2 and 5', or '' for none."""
    numbers = sorted(plan.seeds.index(seed) + 1 for seed in seeds if seed in plan.seeds)
    if not numbers:
        return ""
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"seeds {numbers[0]} to {numbers[-1]}"
    return f"seed{'s' * (len(numbers) > 1)} {listed(numbers)}"
