"""The worker processes of a sweep: dask.distributed on this machine, one run per worker at a time."""

import contextlib
import logging
import multiprocessing
import os
import signal
from collections.abc import Collection, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Client, LocalCluster, Security, WorkerPlugin

from runners.sweeping.pool import Loss

LONGEST_ABSENCE = 120.0
"""Seconds without any living worker after which a sweep gives up."""
# A training step frees and takes large tensors again and again. Left to itself the allocator gives them back to the
# kernel each time, and clearing fresh pages costs a tenth of a step; these variables of glibc make it keep them.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
SETTINGS = {
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    # Retrying is decided here, after a look at the record, so that no run is charged for another's death.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
}


class Pinned(WorkerPlugin):
    """Set-up of a worker process: a GPU of its own where there are GPUs, and deaf to Ctrl-C, which is the driver's."""

    def __init__(self, gpus: list[str]) -> None:
        self.gpus = gpus

    def setup(self, worker: Any) -> None:
        """Called by distributed when a worker starts, also when it replaces a dead one of the same name."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus[int(worker.name) % len(self.gpus)]


@contextlib.contextmanager
def workers_of(count: int, gpus: list[str], security: Security | None = None) -> Iterator[tuple[LocalCluster, Client]]:
    """A cluster of this many worker processes; they end with this process, however it ends (a pipe tells them)."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # Dead workers and closed pipes are told by us.
    with dask.config.set(SETTINGS):
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs="CRITICAL",
            security=security,
        )
        client = Client(cluster, security=security)
        try:
            client.register_plugin(Pinned(gpus))
            yield cluster, client
        finally:
            _close(cluster, client)


@contextlib.contextmanager
def executor_of(count: int, gpus: list[str]) -> Iterator[Executor | None]:
    """An executor over so many worker processes; None where there is none to have."""
    if count == 0:
        yield None
        return
    with workers_of(count, gpus) as (_, client):
        yield client.get_executor(pure=False)


def _close(cluster: LocalCluster, client: Client) -> None:
    """End the workers at once: those of a finished sweep are idle, and those of a stopped one must not go on."""
    for nanny in cluster.workers.values():
        nanny.close_gracefully()  # Otherwise it replaces the worker that is killed next.
    for child in multiprocessing.active_children():
        child.kill()
    with contextlib.suppress(TimeoutError, OSError):
        client.close(timeout=2)
        cluster.close(timeout=2)


@dataclass(frozen=True)
class LocalPool:
    """The workers of a LocalCluster as a sweep sees them: all alike, each replaced when it dies."""

    cluster: LocalCluster
    client: Client
    patience: float = LONGEST_ABSENCE

    def tend(self, waiting: int, busy: Collection[str]) -> None:
        """Nothing to do: nannies replace dead workers."""

    def living(self) -> set[str]:
        """Addresses of the workers that the scheduler knows."""
        scheduler = self.cluster.scheduler
        return set(scheduler.workers) if scheduler else set()

    def address(self, place: str) -> str:
        """The place itself."""
        return place

    def takes(self, place: str, seconds: float) -> bool:
        """Workers here grow as old as the sweep."""
        return True

    def loss(self, place: str) -> Loss:
        """A process that is gone here died by itself."""
        return Loss.OWN
