"""Carries runs out: in this process, or in worker processes whose death costs their own run at most.

What counts is the record on disk, nothing else: it is written by the process that ran, and the work to do is always
the plan minus the records. That is why a resumed, repeated or doubled sweep ends with the same records.
"""

import os
import subprocess
from collections.abc import Sequence

from amix.specs.store import Store
from runners.planning.job import Job
from runners.sweeping.jobs import Abandon, Listener, Perform


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
    runs: Sequence[Job], perform: Perform, abandon: Abandon, store: Store, workers: int, listener: Listener
) -> None:
    """Do all runs, started in the order given; workers 0 means one after the other in this process.

    Raises:
        pool.WorkersLost: No worker stays alive.
        KeyboardInterrupt: Passed through after the workers are gone; every finished run has its record then.
    """
    if workers > 0 and runs:
        # distributed takes half a second that other verbs need not wait.
        from runners.sweeping.dispatch import Sweep
        from runners.sweeping.local_pool import LocalPool, workers_of

        with workers_of(min(workers, len(runs)), visible_gpus()) as (cluster, client):
            Sweep(LocalPool(cluster, client), perform, abandon, store, listener).carry_out(list(runs))
        return
    for run in runs:
        listener.started(run)
        listener.finished(run, perform(run))
