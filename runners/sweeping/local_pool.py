"""The worker processes of a sweep: dask.distributed on this machine, one run per worker at a time."""

import contextlib
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, WorkerPlugin, wait

from amix.specs.store import Store
from runners.planning.job import Job
from runners.sweeping import interrupts
from runners.sweeping.jobs import Abandon, Listener, Outcome, Perform

POLL_SECONDS = 0.25
LONGEST_ABSENCE = 120.0
"""Seconds without any living worker after which a sweep gives up."""
MOST_ATTEMPTS = 2
"""A run whose worker died is tried once more: the worker may have died of something else (memory, an administrator)."""
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


class WorkersLost(RuntimeError):
    """No worker process could be kept alive."""


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
def workers_of(count: int, gpus: list[str]) -> Iterator[tuple[LocalCluster, Client]]:
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
        )
        client = Client(cluster)
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
class _Flight:
    """A run and how many times it has been given to a worker."""

    run: Job
    attempt: int = 1


@dataclass
class Sweep:
    """Runs on a cluster: as many in flight as workers live, so that no run waits on a worker that may die."""

    cluster: LocalCluster
    client: Client
    perform: Perform
    abandon: Abandon
    store: Store
    listener: Listener
    waiting: list[_Flight] = field(default_factory=list)
    in_flight: dict[Future, _Flight] = field(default_factory=dict)
    written_before: dict[str, int] = field(default_factory=dict)

    def carry_out(self, runs: list[Job]) -> None:
        """Keep every living worker busy until all runs have their record, in the order given."""
        self.waiting = [_Flight(run) for run in runs]
        # A failed run that is tried again has a record already; only a newer one says how it went this time.
        self.written_before = {run.spec.key: self._written(run) for run in runs}
        last_seen = time.monotonic()
        while self.waiting or self.in_flight:
            interrupts.check()
            scheduler = self.cluster.scheduler
            living = len(scheduler.workers) if scheduler else 0
            last_seen = time.monotonic() if living else last_seen
            if time.monotonic() - last_seen > LONGEST_ABSENCE:
                raise WorkersLost(f"no worker process has lived for {LONGEST_ABSENCE:.0f} s; run the command again")
            while self.waiting and len(self.in_flight) < living:
                self._launch(self.waiting.pop(0))
            self._collect()

    def _launch(self, flight: _Flight) -> None:
        key = f"{flight.run.spec.key}-{flight.attempt}"
        self.in_flight[self.client.submit(self.perform, flight.run, key=key, pure=False)] = flight
        self.listener.started(flight.run)

    def _collect(self) -> None:
        if not self.in_flight:
            time.sleep(POLL_SECONDS)
            return
        with contextlib.suppress(TimeoutError):
            wait(list(self.in_flight), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
        for future in [future for future in self.in_flight if future.done()]:
            self._settle(future, self.in_flight.pop(future))

    def _written(self, run: Job) -> int:
        """When the run's record was written, 0 where there is none."""
        path = self.store.path(run.spec.key)
        return path.stat().st_mtime_ns if path.exists() else 0

    def _settle(self, future: Future, flight: _Flight) -> None:
        error = future.exception()
        newer = self._written(flight.run) != self.written_before[flight.run.spec.key]
        record = self.store.get(flight.run.spec.key) if error is not None and newer else None
        if error is None:
            self.listener.finished(flight.run, future.result())
        elif record is not None and self.store.finished(flight.run.spec.key):
            # The worker died between writing the record and reporting it; the record is what counts.
            self.listener.finished(flight.run, Outcome(record["status"]))
        elif flight.attempt < MOST_ATTEMPTS:
            self.listener.retried(flight.run)
            self.waiting.insert(0, _Flight(flight.run, flight.attempt + 1))
        else:
            died = f"its worker process died {MOST_ATTEMPTS} times, the last time without a Python error"
            reason = died if isinstance(error, KilledWorker) else f"{type(error).__name__}: {error}"
            self.listener.finished(flight.run, self.abandon(flight.run, reason))
