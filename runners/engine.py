"""Carries runs out: in this process, or in worker processes whose death costs their own run at most.

What counts is the record on disk, nothing else: it is written by the process that ran, and the work to do is always
the plan minus the records. That is why a resumed, repeated or doubled sweep ends with the same records.
"""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from amix.record import RunSpec, Store


@dataclass(frozen=True)
class PlannedRun:
    """One run, the row it belongs to, and its work in training examples x passes, to which seconds are proportional."""

    label: str
    spec: RunSpec
    work: float

    @property
    def name(self) -> str:
        """The run in a few words for people."""
        size = "full" if self.spec.n_train is None else str(self.spec.n_train)
        return f"{self.label} {self.spec.task} N={size} seed {self.spec.seed}"


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


def visible_gpus() -> list[str]:
    """Ids of the GPUs that this process may use, found without importing torch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [gpu for gpu in given.split(",") if gpu.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]


def default_workers() -> int:
    """One worker per GPU, or per core that this process may use where there is no GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return len(visible_gpus()) or cores


def carry_out(
    runs: Sequence[PlannedRun], perform: Perform, abandon: Abandon, store: Store, workers: int, listener: Listener
) -> None:
    """Do all runs, started in the order given; workers 0 means one after the other in this process.

    Errors: cluster.WorkersLost when no worker stays alive. KeyboardInterrupt passes through after the workers are
    gone; every finished run has its record then.
    """
    if workers > 0 and runs:
        from runners.cluster import Sweep, workers_of  # distributed takes half a second that other verbs need not wait.

        with workers_of(min(workers, len(runs)), visible_gpus()) as (cluster, client):
            Sweep(cluster, client, perform, abandon, store, listener).carry_out(list(runs))
        return
    for run in runs:
        listener.started(run)
        listener.finished(run, perform(run))
