"""Stand-ins for a scheduler and a batch system, and pools and queues on them."""

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from amix.runs.context import RunContext
from runners.planning.cluster_file import ClusterFile
from runners.sweeping import job_queue
from runners.sweeping.early_ends import note_at_end
from runners.sweeping.job_queue import JobQueue
from runners.sweeping.remote_pool import KnownWorker, RemotePool
from runners.sweeping.survey import Needs, Survey

DRIVER = Survey(
    host="login", commit="a" * 40, sources="s", python="3.11.7", packages={"torch": "2.13.0", "dask": "1"},
    device="x86_64", threads=1, age=0.0,
)  # fmt: skip
WORKER = replace(DRIVER, host="node7", device="GPU", age=100.0, data={"rte": "found"})
OPTIONS = {"cores": 1, "memory": "1GB", "walltime": "1-00:00:00"}


class FakeClient:
    """A client that notes which workers were retired."""

    def __init__(self) -> None:
        self.retired: list[str] = []

    def retire_workers(self, places: list[str]) -> None:
        self.retired += places


def pool_with(lifetime: float | None = None, **seen: Any) -> tuple[RemotePool, FakeClient]:
    client = FakeClient()
    pool = RemotePool(client, Needs(RunContext(), "e", (), ""), DRIVER, 1.0, lifetime=lifetime)  # type: ignore[arg-type]
    now = time.monotonic()
    pool.workers["w"] = KnownWorker("w", "name", "nanny", now, heard=now, survey=WORKER)
    pool.workers["w"].__dict__.update(seen)
    pool.fit.add("w")
    return pool, client


class FakeWorkers(FakeClient):
    """A client whose scheduler lists its workers, each of which fits at once."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = SimpleNamespace(identity=None)
        self.there: dict[str, dict[str, Any]] = {}
        self.looked_at: list[str] = []

    def start(self, address: str, folder: str) -> None:
        sign = {"last_seen": time.time(), "status": "running"}
        self.there[address] = {"name": address, "nanny": "nanny", "local_directory": folder, **sign}

    def sync(self, call: Any, n_workers: int) -> dict[str, Any]:
        return {"workers": dict(self.there)}

    def submit(self, call: Any, needs: Needs, workers: list[str], **how: Any) -> Any:
        self.looked_at += workers
        return SimpleNamespace(release=lambda: None, done=lambda: True, exception=lambda: None, result=lambda: WORKER)


def living_after_another_look(pool: RemotePool) -> set[str]:
    pool.looked = 0.0
    pool.tend(1, set())
    return pool.living()


class FakeCluster:
    """The part of a dask-jobqueue cluster that a JobQueue uses."""

    def __init__(self, suffixes: tuple[str, ...] = ()) -> None:
        self.worker_spec: dict[str, dict[str, Any]] = {}
        self.workers: dict[str, Any] = {}
        self.suffixes = suffixes
        self.full, self.submitted = False, 0

    def scale(self, jobs: int) -> None:
        while len(self.worker_spec) < jobs:
            name = f"j{next(number for number in range(99) if f'j{number}' not in self.worker_spec)}"
            self.worker_spec[name] = {"group": self.suffixes} if self.suffixes else {}
            self.submitted += 1
            self.workers[name] = SimpleNamespace(job_id=str(self.submitted))

    def scale_down(self, names: list[str]) -> None:
        for name in names:
            del self.worker_spec[name]

    def sync(self, call: Any, argument: Any) -> None:
        if call is not job_queue._settled:
            call(argument)
        elif self.full:
            raise RuntimeError("Command exited\nstdout:\n\nstderr:\nsbatch: error: no\n room\n")


def queue_of(jobs: Any, processes: int = 1, notes: Path | None = None) -> tuple[JobQueue, FakeCluster]:
    cluster = FakeCluster(tuple(f"-{place}" for place in range(processes)) if processes > 1 else ())
    options = OPTIONS | {"cores": processes, "processes": processes}
    file = ClusterFile(kind="slurm", jobs=jobs, options=options)
    return JobQueue(cluster, file, notes or Path("nowhere"), "output"), cluster


def run_script(notes: Path, last_line: str, **variables: str) -> None:
    """Do what a batch system does with a job whose script ends so."""
    subprocess.run(["bash", "-c", f"{note_at_end(str(notes))}\n{last_line}"], env=os.environ | variables, check=False)
