"""What of a plan is still to be done, and how long that will take."""

import statistics
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from amix.specs.encoders import find_encoder
from runners.planning.job import Job
from runners.planning.plan import SuitePlan
from runners.sweeping.carry_out import visible_gpus
from runners.sweeping.finished import Finished

SECONDS_PER_WEIGHT = 1e-9
"""One training example, forward and backward, per weight of the encoder's blocks on one core: the guess before any run.

Ten milliseconds for a six-layer MiniLM, whose blocks hold 10.6 million.
"""
GPU_SHARE = 0.01
"""What a GPU is taken to need of a core's time before its first run has been timed: a guess, not a measurement."""


@dataclass(frozen=True)
class Todo:
    """The runs to do, seed by seed, with the seconds expected of each; done counts the plan's finished runs."""

    runs: tuple[Job, ...]
    expected: dict[str, float]
    done: int

    def only(self, labels: Set[str], seeds: Set[int]) -> "Todo":
        """The part of these rows and seeds."""
        runs = tuple(run for run in self.runs if run.label in labels and run.spec.seed in seeds)
        return Todo(runs, {run.spec.key: self.expected[run.spec.key] for run in runs}, self.done)

    def seconds(self, workers: int) -> float:
        """Expected wall time with so many workers (0 counts as one); no shorter than the longest run."""
        longest = max(self.expected.values(), default=0.0)
        return max(longest, sum(self.expected.values()) / max(workers, 1))


def todo(plan: SuitePlan, finished: Mapping[str, Finished], retry_failed: bool = False) -> Todo:
    """The plan minus the finished runs; failed ones are finished too, unless they are to be tried again.

    Seed by seed, and within a seed row by row: whenever a sweep stops, all rows have the same seeds, one at most apart.
    """
    again = ("failed",) if retry_failed else ()
    done = {key for key, run in finished.items() if run.status not in again}
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
    """Work times seconds per work, as measured in the row's own finished runs, else in all, else as guessed."""
    rates: dict[str, list[float]] = {}
    for run in runs:
        seconds = finished[run.spec.key].seconds if run.spec.key in finished else None
        if seconds is not None:
            rates.setdefault(run.label, []).append(seconds / run.work)
    medians = {label: statistics.median(values) for label, values in rates.items()}
    overall = statistics.median(medians.values()) if medians else guess
    return {run.spec.key: run.work * medians.get(run.label, overall) for run in rest}
