"""Accidents in a row on one worker: whether it is at fault itself, so that its runs are for others."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from amix.specs.wording import one_line
from runners.sweeping.flight import Flight
from runners.sweeping.jobs import Outcome

IN_A_ROW = 2
"""Accidents with no success between after which a worker is at fault: a full disk or a broken GPU fails every run."""


@dataclass
class Accidents:
    """The accidents that each worker has had since its last success, kept back until it is known what was at fault.

    One row or one task alone may be at fault on every machine. If a sweep has several, a worker is suspected only if
    runs of two rows and of two tasks had accidents there.

    Attributes:
        rows: Number of the sweep's rows.
        tasks: Number of its tasks.
        since_success: Runs and their outcomes, by worker.
    """

    rows: int
    tasks: int
    since_success: dict[str, list[tuple[Flight, Outcome]]] = field(default_factory=dict)

    def add(self, worker: str, flight: Flight, outcome: Outcome) -> None:
        """Note an accident of this worker."""
        self.since_success.setdefault(worker, []).append((flight, outcome))

    def suspected(self, worker: str) -> bool:
        """Whether this worker is at fault."""
        runs = [flight.run for flight, _ in self.since_success[worker]]
        return (
            len(runs) >= IN_A_ROW
            and len({run.label for run in runs}) >= min(self.rows, IN_A_ROW)
            and len({run.spec.task for run in runs}) >= min(self.tasks, IN_A_ROW)
        )

    def settled(self, worker: str) -> list[tuple[Flight, Outcome]]:
        """The accidents of this worker, which are no longer kept back."""
        return self.since_success.pop(worker, [])

    def all_settled(self) -> Iterable[tuple[Flight, Outcome]]:
        """The same of all workers."""
        for worker in list(self.since_success):
            yield from self.settled(worker)


def in_words(accidents: list[tuple[Flight, Outcome]]) -> str:
    """Why a worker with these accidents is at fault."""
    flight, outcome = accidents[-1]
    last = f"the last one ({flight.run.name}): {one_line(outcome.message)}"
    return f"{len(accidents)} runs in a row had an accident, {last}"
