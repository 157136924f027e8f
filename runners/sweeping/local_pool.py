"""The worker processes of a sweep: dask.distributed on this machine, one run per worker at a time."""

import atexit
import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import dask
from distributed import Client, LocalCluster, Nanny, Security, WorkerPlugin
from distributed.core import Status
from distributed.deploy.spec import close_clusters
from tornado.ioloop import PeriodicCallback
from typing_extensions import override

from runners.sweeping.pool import Loss, WorkersLost

LONGEST_ABSENCE = 120.0
"""Seconds without any living worker after which a sweep gives up."""
# A training step keeps allocating and freeing large tensors. By default the allocator returns them to the kernel each
# time, and clearing fresh pages costs a tenth of a step; these variables of glibc make it keep them.
WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "4000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
SETTINGS = {
    "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
    # We decide on retries ourselves, after checking the record, so that no run is charged for another run's death.
    "distributed.scheduler.allowed-failures": 0,
    "distributed.scheduler.work-stealing": False,
    # By default a worker that has not been replaced after 15 s, as on a busy machine, is given up for good.
    "distributed.deploy.lost-worker-timeout": "1 hour",
}
LONGEST_DEATH = 5.0
"""Seconds after which a worker whose process is dead is replaced by us; its nanny does it at once if it does at all."""


class Pinned(WorkerPlugin):
    """Setup of a worker process: its own GPU if there are any; it ignores Ctrl-C, which the driver handles."""

    def __init__(self, gpus: list[str]) -> None:
        self.gpus = gpus

    @override
    def setup(self, worker: Any) -> None:
        """Called by distributed when a worker starts, including one that replaces a dead worker of the same name."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = self.gpus[int(worker.name) % len(self.gpus)]


class Replacement:
    """Replaces workers that their nannies have given up, as they do when a process dies while it is starting."""

    def __init__(self, cluster: LocalCluster) -> None:
        self.cluster = cluster
        self.dead_since: dict[Any, float] = {}
        """When a worker's process was first seen dead, by the worker's name."""

    async def look(self) -> None:
        """Called every second in the cluster's event loop."""
        now = time.monotonic()
        dead = {name for name, nanny in self.cluster.workers.items() if self.is_dead(nanny)}
        self.dead_since = {name: self.dead_since.get(name, now) for name in dead}
        late = [name for name, since in self.dead_since.items() if now - since > LONGEST_DEATH]
        for name in late:
            await self.cluster.workers.pop(name).close()
        if late:
            self.cluster.scale(len(self.cluster.worker_spec))  # Starts those that are missing.

    @staticmethod
    def is_dead(nanny: Nanny) -> bool:
        """Whether the nanny has no living process, although it had one."""
        return nanny.status in (Status.failed, Status.closed) or (nanny.process is not None and not nanny.is_alive())


@contextlib.contextmanager
def workers_of(count: int, gpus: list[str], security: Security | None = None) -> Iterator[tuple[LocalCluster, Client]]:
    """A cluster of this many worker processes, which end with this process however it ends (they watch a pipe)."""
    for name in ("distributed", "asyncio"):  # We report dead workers ourselves.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(SETTINGS):
        cluster = _started(count, security)
        client = Client(cluster, security=security)
        watch, loop = PeriodicCallback(Replacement(cluster).look, 1000), cluster.loop
        assert loop is not None
        loop.add_callback(watch.start)
        try:
            client.register_plugin(Pinned(gpus))
            yield cluster, client
        finally:
            loop.add_callback(watch.stop)
            _close(cluster, client)


def _started(count: int, security: Security | None) -> LocalCluster:
    try:
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs="CRITICAL",
            security=security,
        )
    except BaseException:
        # After a Ctrl-C during the start, this would fail on workers that have not started, with a traceback.
        atexit.unregister(close_clusters)
        _kill_children()
        raise


@contextlib.contextmanager
def executor_of(count: int, gpus: list[str]) -> Iterator[Executor]:
    """An executor over `count` worker processes."""
    with workers_of(count, gpus) as (_, client):
        yield client.get_executor(pure=False)


def _close(cluster: LocalCluster, client: Client) -> None:
    """Kill the workers at once: those of a finished sweep are idle, and those of a stopped one must not continue."""
    for nanny in cluster.workers.values():
        nanny.close_gracefully()  # Otherwise it would replace the worker that is killed below.
    _kill_children()
    with contextlib.suppress(TimeoutError, OSError, AssertionError):  # The last for workers that are still starting.
        client.close(timeout=2)
        cluster.close(timeout=2)


def _kill_children() -> None:
    for child in multiprocessing.active_children():
        child.kill()


@dataclass(frozen=True)
class LocalPool:
    """The workers of a LocalCluster as a sweep sees them: all alike, each replaced when it dies."""

    cluster: LocalCluster
    client: Client
    patience: float = LONGEST_ABSENCE
    tell: Callable[[str], None] = print
    started_anew: set[str] = field(default_factory=set)
    """Workers whose process was replaced because its runs had accidents."""
    given_up: set[str] = field(default_factory=set)
    """Places of those processes, and the workers whose next process had accidents too."""

    def tend(self, waiting: int, busy: Collection[str]) -> None:
        """Nothing to do: dead workers are replaced."""

    def living(self) -> set[str]:
        """Addresses of the workers that the scheduler knows, but for those that were given up."""
        scheduler = self.cluster.scheduler
        return {place for place in scheduler.workers if not self._is_given_up(place)} if scheduler else set()

    def _is_given_up(self, place: str) -> bool:
        return not self.given_up.isdisjoint((place, self.worker(place)))

    def expecting(self) -> bool:
        """Always false: local workers need nothing."""
        return False

    def equip_again(self, place: str) -> None:
        """Nothing to do: local workers need nothing."""

    def address(self, place: str) -> str:
        """The place itself."""
        return place

    def worker(self, place: str) -> str:
        """The address of its nanny, which also starts the processes that replace it."""
        known = self.cluster.scheduler.workers.get(place) if self.cluster.scheduler else None
        return (known.nanny if known else None) or place

    def give_up(self, place: str, reason: str) -> None:
        """Start a worker anew, once: something in its process may have been broken, and not the machine.

        Raises:
            WorkersLost: no worker is left that has not had two processes with accidents.
        """
        nannies = {nanny.worker_address: (name, nanny) for name, nanny in self.cluster.workers.items()}
        if place not in nannies:  # It has just died, and is replaced.
            return
        name, nanny = nannies[place]
        where = f"worker {name} on {socket.gethostname()}"
        if nanny.address not in self.started_anew:
            self.started_anew.add(nanny.address)
            self.given_up.add(place)
            os.kill(nanny.pid, signal.SIGKILL)
            self.tell(f"{where} is started anew: {reason}")
            return
        self.given_up.add(nanny.address)
        if self.given_up.issuperset(other.address for _, other in nannies.values()):
            raise WorkersLost(f"no worker is left; the last, {where}: {reason}; remove the cause and run again")
        self.tell(f"{where} gets no more runs: {reason}")

    def takes(self, place: str, seconds: float) -> bool:
        """Always true: local workers have no lifetime."""
        return True

    def loss(self, place: str) -> Loss:
        """A local process that is gone has died by itself."""
        return Loss.OWN
