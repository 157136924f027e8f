"""A sweep: what of a plan is still to be done, how long that will take, and doing it."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from amix.record import FINISHED, SCHEMA
from results.archive import stored_records
from results.layout import Layout
from runners.engine import Listener, PlannedRun, carry_out
from runners.perform import Performer
from runners.plan import Plan

SECONDS_PER_WORK = 0.01
"""One training example, forward and backward, with a six-layer MiniLM on one core: the guess before anything ran."""


@dataclass(frozen=True)
class Known:
    """What a record on disk says of its run: its status and its seconds, None where nothing was measured."""

    status: str
    seconds: float | None


def known_runs(suite: str, layout: Layout) -> dict[str, Known]:
    """Finished runs of a suite by key, from record files and from the committed archive."""
    known: dict[str, Known] = {}
    stored, _ = stored_records(suite, layout)
    for one in reversed(stored):  # Files come first there and must win here.
        try:
            record = json.loads(one.text)
            if record["schema"] == SCHEMA and record["status"] in FINISHED and record["key"] == one.key:
                known[one.key] = Known(record["status"], record["cost"].get("total_seconds"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # A damaged record is no record: its run is done again.
    return known


@dataclass(frozen=True)
class Todo:
    """The runs to do, longest first, with the seconds expected of each; done counts the plan's finished runs."""

    runs: tuple[PlannedRun, ...]
    expected: dict[str, float]
    done: int

    def seconds(self, workers: int) -> float:
        """Expected wall time with so many workers (0 counts as one); no shorter than the longest run."""
        longest = max(self.expected.values(), default=0.0)
        return max(longest, sum(self.expected.values()) / max(workers, 1))


def todo(plan: Plan, known: dict[str, Known], retry_failed: bool = False) -> Todo:
    """The plan minus the finished runs; failed ones are finished too, unless they are to be tried again."""
    again = ("failed",) if retry_failed else ()
    done = {key for key, run in known.items() if run.status not in again}
    rest = [run for run in plan.runs if run.spec.key not in done]
    expected = _expected_seconds(plan.runs, known, rest)
    rest.sort(key=lambda run: -expected[run.spec.key])
    return Todo(tuple(rest), expected, len(plan.runs) - len(rest))


def _expected_seconds(runs: Iterable[PlannedRun], known: dict[str, Known], rest: list[PlannedRun]) -> dict[str, float]:
    """Work times seconds per work, as measured in the row's own finished runs, else in all, else as guessed."""
    rates: dict[str, list[float]] = {}
    for run in runs:
        seconds = known[run.spec.key].seconds if run.spec.key in known else None
        if seconds is not None:
            rates.setdefault(run.label, []).append(seconds / run.work)
    medians = {label: statistics.median(values) for label, values in rates.items()}
    overall = statistics.median(medians.values()) if medians else SECONDS_PER_WORK
    return {run.spec.key: run.work * medians.get(run.label, overall) for run in rest}


def sweep(performer: Performer, work: Todo, workers: int, told: Listener) -> None:
    """Do the runs; each leaves its record as it finishes."""
    carry_out(work.runs, performer, performer.abandon, performer.store, workers, told)


def status_counts(plan: Plan, known: dict[str, Known]) -> Counter[str]:
    """How many of the plan's runs ended how; `missing` counts those without a record."""
    return Counter(known[run.spec.key].status if run.spec.key in known else "missing" for run in plan.runs)
