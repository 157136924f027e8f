"""Jobs of a batch system that start workers: as many as the remaining runs need, replaced when they end."""

import math
import os
import shlex
import time
import warnings
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from distributed import Security

from amix.specs.encoder_files import user_cache
from runners.planning.cluster_file import ClusterError, ClusterFile
from runners.sweeping.early_ends import ended, goes_on, note_at_end
from runners.sweeping.local_pool import WORKER_ENVIRONMENT
from runners.sweeping.protection import certificate_folder
from runners.sweeping.survey import ROOT

CLASSES = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
# Each run is alone in its process: it does not help if a worker that is short of memory pauses or writes to disk.
MEMORY = {f"DASK_DISTRIBUTED__WORKER__MEMORY__{name}": "False" for name in ("TARGET", "SPILL", "PAUSE", "TERMINATE")}
RETRY_SECONDS = 60.0
"""Wait before asking again after the batch system refused a job while others run."""


@contextmanager
def queue_of(file: ClusterFile, security: Security | None) -> Iterator["JobQueue"]:
    """The queue of a dask-jobqueue cluster that this file describes, with no jobs yet; closed at the end.

    Raises:
        ClusterError: dask-jobqueue is missing or does not accept the options; one line with what to do.
    """
    try:
        import dask_jobqueue
    except ImportError as error:
        raise ClusterError(
            f"kind {file.kind} needs dask-jobqueue, which is not installed: pip install dask-jobqueue==0.9.0"
        ) from error
    options: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in file.options.items()
    }
    own = _own_folder()
    options["scheduler_options"] = {"dashboard_address": ":0", **options.get("scheduler_options", {})}
    options = {"processes": 1, "log_directory": str(own), "shared_temp_directory": str(own), **options}
    with ExitStack() as stack:
        try:
            # Jobs may reach the folder by another path: variables in its name are theirs to expand.
            there = options["shared_temp_directory"]
            here = stack.enter_context(certificate_folder(Path(os.path.expandvars(there)).expanduser()))
            options["shared_temp_directory"] = there = f"{there}/{here.name}"
            prologue = [note_at_end(there), *_environment(), *options.get("job_script_prologue", ())]
            with warnings.catch_warnings():
                # On a machine with several networks dask warns about its choice of address; `interface:` sets it.
                warnings.simplefilter("ignore")
                cluster = getattr(dask_jobqueue, CLASSES[file.kind])(
                    **options | {"job_script_prologue": prologue}, security=security, silence_logs="CRITICAL"
                )
        except (ValueError, TypeError, OSError) as error:
            raise ClusterError(f"{file.kind}: {' '.join(str(error).split())}") from error
        stack.callback(_closed, cluster)
        yield JobQueue(cluster, file, here, options["log_directory"])


def _closed(cluster: Any) -> None:
    with suppress(AssertionError):  # Raised for a job that was never submitted.
        cluster.close()
    for name in ("ca_file", "cert", "key"):  # Of the certificate, which dask-jobqueue leaves to the garbage collector.
        if file := getattr(cluster, f"_job_{name}", None):
            file.close()


def _environment() -> list[str]:
    """Lines of a job script that give its workers the driver's project and environment variables."""
    variables = {**WORKER_ENVIRONMENT, **MEMORY}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return [*lines, f"export PYTHONPATH={shlex.quote(str(ROOT))}${{PYTHONPATH:+:$PYTHONPATH}}"]


def _own_folder() -> Path:
    """The folder for the output of jobs and, while a sweep runs, the certificate; only its owner can read it."""
    folder = user_cache() / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


class JobQueue:
    """Keeps as many jobs of a dask-jobqueue cluster queued or running as there is work for."""

    def __init__(self, cluster: Any, file: ClusterFile, notes: Path, output: str) -> None:
        assert file.jobs is not None
        self.notes, self.output = notes, output
        """The folder in which jobs leave notes when they end, and that of their output."""
        self.cluster, self.bounds, self.runs_per_job = cluster, file.jobs, file.runs_per_job
        self.kind = file.kind
        self.ended: set[str] = set()
        """Names of workers that are gone for good."""
        self.refused = 0
        """Number of workers that were refused; their jobs are not replaced, as new ones would be refused too."""
        self.asked_again_at = 0.0
        self.forgotten: set[str] = set()
        """Ids of the jobs that were removed from the cluster, which drops them a little later."""
        self.early = 0
        """Number of jobs that ended early since a worker last arrived."""

    def keep(self, left: int) -> str | None:
        """Request enough jobs for the remaining runs, and forget those that have ended.

        Args:
            left: number of runs that wait or are in progress.

        Returns:
            The batch system's message if it refused a job, otherwise None.
        """
        if over := [name for name in self.cluster.worker_spec if self.ended.issuperset(self._workers_of(name))]:
            self.ended.difference_update(*map(self._workers_of, over))  # The next job may reuse the name.
            self.forgotten.update(self.cluster.workers[name].job_id for name in over if name in self.cluster.workers)
            self.cluster.sync(self.cluster.scale_down, over)
        needed = math.ceil(left / self.runs_per_job)
        wanted = min(self._allowed, max(self.bounds.minimum, needed))
        if wanted <= len(self.cluster.worker_spec) or time.monotonic() < self.asked_again_at:
            return None
        before = set(self.cluster.worker_spec)
        self.cluster.scale(jobs=wanted)
        try:
            self.cluster.sync(_settled, self.cluster)
        except (RuntimeError, ValueError, OSError) as error:
            self.asked_again_at = time.monotonic() + RETRY_SECONDS
            new = [name for name in self.cluster.worker_spec if name not in before]
            self.cluster.sync(self.cluster.scale_down, new)
            return _reason(error)
        return None

    def early_ends(self, arrived: Collection[str]) -> list[str]:
        """Note the jobs that ended before any of their workers arrived; they are replaced after a while.

        Args:
            arrived: names of the workers that arrived, but for those that are gone for good.

        Returns:
            A line for each of them.
        """
        lines = []
        jobs = {name: job for name, job in self.cluster.workers.items() if job.job_id not in self.forgotten}
        for name, words in ended(self.notes, jobs).items():
            workers = self._workers_of(name)
            if self.ended.isdisjoint(workers) and set(arrived).isdisjoint(workers):
                if self.kind == "slurm" and goes_on(self.notes, jobs[name].job_id):
                    continue
                self.ended.update(workers)
                self.early += 1
                self.asked_again_at = time.monotonic() + RETRY_SECONDS
                lines.append(f"{words} before its worker arrived; its output is in {self.output}")
        return lines

    def running_and_queued(self, present: Collection[str]) -> tuple[int, int]:
        """How many jobs have a worker among these names, and how many have had none yet."""
        over = [name for name in self.cluster.worker_spec if self.ended.issuperset(self._workers_of(name))]
        running = [name for name in self.cluster.worker_spec if not set(present).isdisjoint(self._workers_of(name))]
        return len(running), len(self.cluster.worker_spec) - len(running) - len(over)

    @property
    def exhausted(self) -> bool:
        """Whether every job has ended and no more are allowed, because too many workers were refused."""
        return self._allowed <= 0 and not self.cluster.worker_spec

    @property
    def _allowed(self) -> int:
        """How many jobs there may be at a time; the jobs of refused workers are subtracted."""
        return self.bounds.maximum - math.ceil(self.refused / self.runs_per_job)

    def _workers_of(self, job: str) -> list[str]:
        group = self.cluster.worker_spec[job].get("group")
        return [f"{job}{suffix}" for suffix in group] if group else [job]

    def spare(self, workers: int) -> bool:
        """Whether there are more workers than the minimum number of jobs has."""
        return workers > self.bounds.minimum * self.runs_per_job


async def _settled(cluster: Any) -> None:
    """Wait until every job is submitted, and raise the batch system's error for one that it refused.

    The cluster only logs that error: a job that it could not submit has no id, and is submitted once more here.
    """
    await cluster
    for job in list(cluster.workers.values()):
        if job.job_id is None:
            await job.start()


def _reason(error: Exception) -> str:
    """The output of the batch system's command, without the rest of dask-jobqueue's message."""
    message = str(error).partition("stderr:")[2] or str(error)
    return " ".join(message.split())
