"""Carries out runs: in this process, or in worker processes whose death costs at most their own run.

Only the record on disk counts: it is written by the process that did the run, and the work to do is always the plan
minus the records. A resumed, repeated or concurrent sweep therefore ends with the same records.
"""

import itertools
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from amix.specs.store import Store
from runners.planning.cluster_file import AUTO, ClusterError, ClusterFile
from runners.planning.job import Job
from runners.sweeping.gpu_sharing import most_per_gpu
from runners.sweeping.jobs import Abandon, Listener, Perform

DEVICES = Path("/dev")
GPU_ID = re.compile(r"\d+|(GPU|MIG)-.*")


def visible_gpus() -> list[str]:
    """Ids of the GPUs that this process may use, determined without importing torch."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        # CUDA sees those before the first one that is not an id, such as -1, or Slurm's NoDevFiles.
        return list(itertools.takewhile(GPU_ID.fullmatch, (gpu.strip() for gpu in given.split(","))))
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except FileNotFoundError:  # As in containers that were given GPUs for computing only.
        return [str(number) for number, _ in enumerate(DEVICES.glob("nvidia[0-9]*"))]
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]


def default_workers() -> int:
    """One worker per GPU or, without a GPU, per core that this process may use."""
    return len(visible_gpus()) or cores()


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers_here(file: ClusterFile) -> int:
    """Number of worker processes of a cluster on this machine; where runs share GPUs at will, at most one per core.

    Raises:
        ClusterError: GPUs are to be shared, and there is none.
    """
    most = most_per_gpu(file)
    if most is None:
        return int(file.options.get("workers") or default_workers())
    gpus = len(visible_gpus())
    if not gpus:
        raise ClusterError("options: runs_per_gpu: no GPU is visible on this machine; leave it out")
    return max(gpus, min(most * gpus, cores())) if file.options["runs_per_gpu"] == AUTO else most * gpus


def carry_out(
    runs: Sequence[Job],
    perform: Perform,
    abandon: Abandon,
    store: Store,
    workers: int,
    listener: Listener,
    tell: Callable[[str], None] = print,
) -> None:
    """Do all runs, started in the order given; with 0 workers, one after the other in this process.

    Args:
        runs: the runs.
        perform: does a run and writes its record.
        abandon: writes the record of a run that cannot be finished.
        store: the records.
        workers: number of worker processes.
        listener: receives the events of runs.
        tell: receives messages about workers.

    Raises:
        pool.WorkersLost: no worker stays alive, or every run has an accident on all of them.
        KeyboardInterrupt: passed on after the workers are gone; every finished run has its record by then.
    """
    if workers > 0 and runs:
        # Importing distributed takes half a second, which other commands need not wait for.
        from runners.sweeping.dispatch import Sweep
        from runners.sweeping.local_pool import LocalPool, workers_of

        with workers_of(min(workers, len(runs)), visible_gpus()) as (cluster, client):
            Sweep(LocalPool(cluster, client, tell=tell), perform, abandon, store, listener).carry_out(list(runs))
        return
    for run in runs:
        listener.started(run)
        listener.finished(run, perform(run))
