"""What a suite declared before its first run, and what was added after looking, in words."""

from collections.abc import Iterable, Sequence

from amix.specs.run_plan import RunPlan
from results.loading.wording import endpoint_words, listed, selection_words

MARK = "‡"
"""Marks a row that was added after looking, or some of whose seeds were."""


def protocol_sentence(plan: RunPlan) -> str:
    """The protocol as declared, with its looks, endpoints and pairs; '' if it is a single look at the score."""
    protocol = plan.protocol
    if (protocol.looks, protocol.endpoints, protocol.primary) == ((), ("score",), ()):
        return ""
    focus = f", above all {protocol.focus}" if protocol.focus else ""
    if protocol.primary:
        focus += f"; primary, and corrected among themselves: {listed(map(pair_name, protocol.primary))}"
    seeds = protocol.looks or (len(plan.seeds),)
    looks = f"{'looks' if len(seeds) > 1 else 'one look'} after {listed(seeds)} seeds"
    primary, *others = (endpoint_words(name) for name in protocol.endpoints)
    endpoints = f"primary endpoint {primary}" + (f", then {listed(others)}" if others else "")
    return (
        f"Protocol, declared before the first run: every method against {protocol.reference}{focus}; {looks}; "
        f"{endpoints}; selection: {selection_words(protocol.selection)}; α = {protocol.alpha:g}; differences within "
        f"±{protocol.margin:g} point{'s' * (protocol.margin != 1)} do not matter."
    )


def pair_name(pair: Sequence[str]) -> str:
    """A difference of two rows in words."""
    return " − ".join(pair)


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
