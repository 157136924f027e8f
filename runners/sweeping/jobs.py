"""What passes between the driver of a sweep and what does its runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from runners.planning.planned_run import PlannedRun


@dataclass(frozen=True)
class Outcome:
    """What the driver needs to know of a finished run; everything else is in its record."""

    status: str
    message: str = ""


class Listener(Protocol):
    """Is told what happens; called in the driver only."""

    def started(self, run: PlannedRun) -> None:
        """A run went to a worker."""

    def finished(self, run: PlannedRun, outcome: Outcome) -> None:
        """A run left its record."""

    def retried(self, run: PlannedRun) -> None:
        """A run's worker died, and the run waits for another one."""


Perform = Callable[[PlannedRun], Outcome]
"""Does one run, writes its record and never raises for a run that fails; must be picklable."""
Abandon = Callable[[PlannedRun, str], Outcome]
"""Writes the record of a run that cannot be finished, with the reason."""
