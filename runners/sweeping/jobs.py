"""The types that the driver of a sweep and its workers exchange."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from runners.planning.job import Job


@dataclass(frozen=True)
class Outcome:
    """What the driver needs to know of a finished run; everything else is in its record."""

    status: str
    message: str = ""
    gpu_bytes: int = 0
    """Most memory that its process held on a GPU, without CUDA's own; 0 without a GPU."""

    @classmethod
    def of(cls, record: dict[str, Any], gpu_bytes: int = 0) -> "Outcome":
        """The outcome of the run that left this record."""
        return cls(record["status"], (record["error"] or {}).get("message", ""), gpu_bytes)


class NotEquipped(RuntimeError):
    """A worker no longer has what its runs need, so that it could not do this one; raised on the worker."""


class Listener(Protocol):
    """Callbacks for the events of a sweep, called in the driver process only."""

    def started(self, run: Job) -> None:
        """A run was given to a worker."""

    def finished(self, run: Job, outcome: Outcome) -> None:
        """A run left its record."""

    def retried(self, run: Job) -> None:
        """A run's worker died; the run waits for another one."""

    def given_back(self, run: Job) -> None:
        """The job of a run's worker ended, or its worker was given up; it waits, and no attempt is counted."""


Perform = Callable[[Job], Any]
"""Does one run, without raising for a run that fails; must be picklable.

Returns an Outcome if it wrote the record itself, otherwise something that a Receive turns into one.
"""
Receive = Callable[[Any], Outcome]
"""Turns what a worker returned into an outcome, in the driver."""
Abandon = Callable[[Job, str], Outcome]
"""Writes the record of a run that cannot be finished, with the reason."""
