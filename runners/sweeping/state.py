"""A sweep: what of a plan is still to be done, how long that will take, and doing it."""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from amix.specs.encoders import find_encoder
from amix.specs.out_of_domain import sets_for
from amix.specs.run_plan import Plan as ReadablePlan
from amix.specs.run_plan import read_plan
from amix.specs.run_spec import OUT_OF_DOMAIN
from amix.specs.store import FINISHED
from results.loading.archive import stored_records
from results.loading.layout import Layout
from results.loading.record_checks import complaint, parsed
from runners.planning.plan import Plan
from runners.planning.planned_run import PlannedRun
from runners.sweeping.carry_out import carry_out, visible_gpus
from runners.sweeping.jobs import Listener
from runners.sweeping.worker import Performer

SECONDS_PER_WEIGHT = 1e-9
"""One training example, forward and backward, per weight of the encoder's blocks on one core: the guess before any run.

Ten milliseconds for a six-layer MiniLM, whose blocks hold 10.6 million.
"""
GPU_SHARE = 0.01
"""What a GPU is taken to need of a core's time before its first run has been timed: a guess, not a measurement."""


@dataclass(frozen=True)
class Known:
    """What a record on disk says of its run: its status and its seconds, None where nothing was measured."""

    status: str
    seconds: float | None


def known_runs(plan: Plan, layout: Layout) -> dict[str, Known]:
    """Finished runs of a plan by key, from record files and from the committed archive.

    A record that the tables would leave out (damaged, edited, without the scores asked for) is none: its run is done
    again. So is that of a run which was done before its suite asked for an out-of-domain set.
    """
    name = plan.suite.name
    readable = read_plan(plan.as_dict(""), name)
    known: dict[str, Known] = {}
    for one in reversed(stored_records(name, layout)[0]):  # Files come first there and must win here.
        record, reason = parsed(one.text)
        if reason is None and usable(record, one.key, plan, readable) and record["status"] in FINISHED:
            known[one.key] = Known(record["status"], seconds_of(record))
    return known


def seconds_of(record: dict[str, Any]) -> float | None:
    """How long the run of this record took, where it tells."""
    seconds: float | None = (record.get("cost") or {}).get("total_seconds")
    return seconds


def usable(record: Any, key: str, plan: Plan, readable: ReadablePlan) -> bool:
    """Whether the plan's tables can have this record, stored under this key, with every score that is asked for."""
    return complaint(record, readable) is None and record["key"] == key and _has_sets(record, plan)


def _has_sets(record: dict[str, Any], plan: Plan) -> bool:
    if record["status"] != "ok" or plan.suite.protocol.split == "dev":
        return True
    scored = record["scores"].get(plan.suite.protocol.selection, {}).get(OUT_OF_DOMAIN, {})
    return all(one.name in scored for one in sets_for(record["spec"]["task"], plan.suite.out_of_domain))


def known_keys(suite: str, layout: Layout) -> set[str]:
    """Keys of everything that lies among the suite's records, usable or not."""
    return {one.key for one in stored_records(suite, layout)[0]}


@dataclass(frozen=True)
class Todo:
    """The runs to do, seed by seed, with the seconds expected of each; done counts the plan's finished runs."""

    runs: tuple[PlannedRun, ...]
    expected: dict[str, float]
    done: int

    def seconds(self, workers: int) -> float:
        """Expected wall time with so many workers (0 counts as one); no shorter than the longest run."""
        longest = max(self.expected.values(), default=0.0)
        return max(longest, sum(self.expected.values()) / max(workers, 1))


def todo(plan: Plan, known: dict[str, Known], retry_failed: bool = False) -> Todo:
    """The plan minus the finished runs; failed ones are finished too, unless they are to be tried again.

    Seed by seed, and within a seed row by row: whenever a sweep stops, all rows have the same seeds, one at most apart.
    """
    again = ("failed",) if retry_failed else ()
    done = {key for key, run in known.items() if run.status not in again}
    rest = [run for run in plan.runs if run.spec.key not in done]
    device_share = GPU_SHARE if visible_gpus() else 1.0
    guess = device_share * SECONDS_PER_WEIGHT * find_encoder(plan.suite.encoder).block_weights
    expected = _expected_seconds(plan.runs, known, rest, guess)
    seeds = {seed: place for place, seed in enumerate(plan.suite.seeds)}
    rows = {row.label: place for place, row in enumerate(plan.suite.methods)}
    rest.sort(key=lambda run: (seeds[run.spec.seed], rows[run.label]))
    return Todo(tuple(rest), expected, len(plan.runs) - len(rest))


def _expected_seconds(
    runs: Iterable[PlannedRun], known: dict[str, Known], rest: list[PlannedRun], guess: float
) -> dict[str, float]:
    """Work times seconds per work, as measured in the row's own finished runs, else in all, else as guessed."""
    rates: dict[str, list[float]] = {}
    for run in runs:
        seconds = known[run.spec.key].seconds if run.spec.key in known else None
        if seconds is not None:
            rates.setdefault(run.label, []).append(seconds / run.work)
    medians = {label: statistics.median(values) for label, values in rates.items()}
    overall = statistics.median(medians.values()) if medians else guess
    return {run.spec.key: run.work * medians.get(run.label, overall) for run in rest}


def sweep(performer: Performer, work: Todo, workers: int, told: Listener) -> None:
    """Do the runs; each leaves its record as it finishes."""
    carry_out(work.runs, performer, performer.abandon, performer.store, workers, told)


def status_counts(plan: Plan, known: dict[str, Known]) -> Counter[str]:
    """How many of the plan's runs ended how; `missing` counts those without a record."""
    return Counter(known[run.spec.key].status if run.spec.key in known else "missing" for run in plan.runs)
