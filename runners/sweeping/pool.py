"""What a sweep requires of worker processes, wherever they run."""

from collections.abc import Collection
from enum import Enum
from typing import Protocol

from distributed import Client


class WorkersLost(RuntimeError):
    """No worker process could be kept alive."""


class Loss(Enum):
    """Why a worker is gone."""

    OWN = "own"
    """Its process died (out of memory, crashed, killed), which counts as an attempt of its run."""
    JOB = "job"
    """Its job or machine ended (walltime, preemption, lost network), which does not count as an attempt."""


class Pool(Protocol):
    """Worker processes that do one run at a time each; a place identifies a worker and is never reused."""

    @property
    def client(self) -> Client:
        """The client through which runs are handed out."""

    @property
    def patience(self) -> float:
        """Seconds without any worker after which a sweep gives up."""

    def tend(self, waiting: int, busy: Collection[str]) -> None:
        """Called repeatedly with the number of waiting runs and the places of those in progress."""

    def living(self) -> set[str]:
        """Places of the workers that may be given runs."""

    def expecting(self) -> bool:
        """Whether workers are there that are still being examined or equipped."""

    def equip_again(self, place: str) -> None:
        """A worker said that it no longer has what its runs need."""

    def address(self, place: str) -> str:
        """Where the worker of this place listens."""

    def worker(self, place: str) -> str:
        """Identifies the worker of this place, and the processes that replace it when it dies."""

    def give_up(self, place: str, reason: str) -> None:
        """Give no more runs to this worker, whose runs all have accidents.

        Raises:
            WorkersLost: it was the last one.
        """

    def takes(self, place: str, seconds: float) -> bool:
        """Whether this worker can still do a run of this many expected seconds; if not, it is retired."""

    def loss(self, place: str) -> Loss | None:
        """Why a worker is gone that is no longer living; None as long as that is unknown."""
