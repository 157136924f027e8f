"""What passes between the driver of a sweep and what does its runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from runners.planning.job import Job


@dataclass(frozen=True)
class Outcome:
    """What the driver needs to know of a finished run; everything else is in its record."""

    status: str
    message: str = ""

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Outcome":
        """What a record says of its run."""
        return cls(record["status"], (record["error"] or {}).get("message", ""))


class Listener(Protocol):
    """Is told what happens; called in the driver only."""

    def started(self, run: Job) -> None:
        """A run went to a worker."""

    def finished(self, run: Job, outcome: Outcome) -> None:
        """A run left its record."""

    def retried(self, run: Job) -> None:
        """A run's worker died, and the run waits for another one."""

    def given_back(self, run: Job) -> None:
        """The job of a run's worker ended, which is not charged to the run; it waits for another one."""


Perform = Callable[[Job], Any]
"""Does one run and never raises for a run that fails; must be picklable.

What it returns is an Outcome where it wrote the record itself, else what a Receive makes one of.
"""
Receive = Callable[[Any], Outcome]
"""Makes an outcome of what came back from a worker, in the driver."""
Abandon = Callable[[Job, str], Outcome]
"""Writes the record of a run that cannot be finished, with the reason."""
