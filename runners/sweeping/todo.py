"""Which runs of a plan are done, according to the records, which are still to be done, and how long they will take."""

import statistics
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from amix.specs.encoders import find_encoder
from amix.specs.out_of_domain import sets_for
from amix.specs.run_spec import OUT_OF_DOMAIN
from amix.specs.store import FINISHED
from results.loading.archive import Stored
from results.loading.record_checks import parsed, rejection_reason
from runners.planning.job import Job
from runners.planning.plan import SuitePlan
from runners.sweeping.carry_out import visible_gpus

SECONDS_PER_WEIGHT = 1e-9
"""Seconds per training example (forward and backward) and weight of the encoder's blocks on one core.

A guess until a run has been timed: ten milliseconds for a six-layer MiniLM, whose blocks have 10.6 million weights.
"""
GPU_SHARE = 0.01
"""Time of a GPU relative to a core's, assumed until a run has been timed: a guess, not a measurement."""


@dataclass(frozen=True)
class Finished:
    """A finished run's status and seconds; None if no time was measured."""

    status: str
    seconds: float | None

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Finished":
        """Status and seconds from a record."""
        return cls(record["status"], (record.get("cost") or {}).get("total_seconds"))


def finished_runs(plan: SuitePlan, stored: Iterable[Stored]) -> dict[str, Finished]:
    """The finished runs of a plan by key, among the records of its suite.

    A record that the tables would leave out (damaged, edited, or without the scores asked for) does not count: its run
    is repeated. So is a run that was done before its suite asked for an out-of-domain set.
    """
    finished: dict[str, Finished] = {}
    for one in reversed(list(stored)):  # Files come before the archive and must override it.
        record, reason = parsed(one.text)
        if reason is None and usable(record, one.key, plan) and record["status"] in FINISHED:
            finished[one.key] = Finished.of(record)
    return finished


def usable(record: Any, key: str, plan: SuitePlan) -> bool:
    """Whether this record, stored under this key, can be in the plan's tables and has every score asked for."""
    return rejection_reason(record, plan.run_plan) is None and record["key"] == key and _has_sets(record, plan)


def _has_sets(record: dict[str, Any], plan: SuitePlan) -> bool:
    if record["status"] != "ok" or plan.suite.protocol.split == "dev":
        return True
    scored = record["scores"].get(plan.suite.protocol.selection, {}).get(OUT_OF_DOMAIN, {})
    return all(wanted.name in scored for wanted in sets_for(record["spec"]["task"], plan.suite.out_of_domain))


@dataclass(frozen=True)
class Todo:
    """The runs to do, seed by seed, the expected seconds of each by key, and the number of finished runs (done)."""

    runs: tuple[Job, ...]
    expected: dict[str, float]
    done: int

    def only(self, labels: Set[str], seeds: Set[int]) -> "Todo":
        """The part with these rows and seeds."""
        runs = tuple(run for run in self.runs if run.label in labels and run.spec.seed in seeds)
        return Todo(runs, {run.spec.key: self.expected[run.spec.key] for run in runs}, self.done)

    def seconds(self, workers: int) -> float:
        """Expected wall time in seconds with this many workers (0 counts as one); at least that of the longest run."""
        longest = max(self.expected.values(), default=0.0)
        return max(longest, sum(self.expected.values()) / max(workers, 1))


def todo(plan: SuitePlan, finished: Mapping[str, Finished], retry_failed: bool = False) -> Todo:
    """The plan minus the finished runs; failed runs are finished too, unless they are to be retried.

    Runs are ordered by seed, and within a seed by row: whenever a sweep stops, rows differ by at most one seed.
    """
    retried = ("failed",) if retry_failed else ()
    done = {key for key, run in finished.items() if run.status not in retried}
    rest = [run for run in plan.runs if run.spec.key not in done]
    device_share = GPU_SHARE if visible_gpus() else 1.0
    guess = device_share * SECONDS_PER_WEIGHT * find_encoder(plan.suite.encoder).block_weights
    expected = _expected_seconds(plan.runs, finished, rest, guess)
    seeds = {seed: place for place, seed in enumerate(plan.suite.seeds)}
    rows = {row.label: place for place, row in enumerate(plan.suite.methods)}
    rest.sort(key=lambda run: (seeds[run.spec.seed], rows[run.label]))
    return Todo(tuple(rest), expected, len(plan.runs) - len(rest))


def _expected_seconds(
    runs: Iterable[Job], finished: Mapping[str, Finished], rest: list[Job], guess: float
) -> dict[str, float]:
    """Work times seconds per unit of work, measured in the row's own finished runs, or else in all runs, or guessed."""
    rates: dict[str, list[float]] = {}
    for run in runs:
        seconds = finished[run.spec.key].seconds if run.spec.key in finished else None
        if seconds is not None:
            rates.setdefault(run.label, []).append(seconds / run.work)
    medians = {label: statistics.median(values) for label, values in rates.items()}
    overall = statistics.median(medians.values()) if medians else guess
    return {run.spec.key: run.work * medians.get(run.label, overall) for run in rest}
