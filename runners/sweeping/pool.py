"""What a sweep needs of worker processes, wherever they run."""

from collections.abc import Collection
from enum import Enum
from typing import Protocol

from distributed import Client


class WorkersLost(RuntimeError):
    """No worker process could be kept alive."""


class Loss(Enum):
    """Why a worker is gone."""

    OWN = "own"
    """Its process died: of memory, of a fault, by somebody's hand. An attempt of its run."""
    JOB = "job"
    """Its job or its machine ended: walltime, preemption, a lost network. Not charged to the run."""


class Pool(Protocol):
    """Worker processes that do one run at a time each; a place names a worker, and no later one."""

    @property
    def client(self) -> Client:
        """Through which runs are handed out."""

    @property
    def patience(self) -> float:
        """Seconds without any worker after which a sweep gives up."""

    def tend(self, waiting: int, busy: Collection[str]) -> None:
        """Is called again and again with the number of runs that wait and the places of those under way."""

    def living(self) -> set[str]:
        """Places of the workers that may be given runs."""

    def address(self, place: str) -> str:
        """Where the worker of this place listens."""

    def takes(self, place: str, seconds: float) -> bool:
        """Whether this worker can still do a run of this expected length; one that cannot is sent home."""

    def loss(self, place: str) -> Loss | None:
        """Why a worker that is not living any more is gone; None while that cannot be told yet."""
