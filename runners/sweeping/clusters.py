"""Opens the cluster that a file describes, as a pool for a sweep."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dask
from distributed import Client, Security

from runners.planning.cluster_file import ClusterError, ClusterFile
from runners.sweeping.carry_out import visible_gpus, workers_here
from runners.sweeping.job_queue import JobQueue, queue_of
from runners.sweeping.local_pool import LONGEST_ABSENCE, SETTINGS, workers_of
from runners.sweeping.protection import protection
from runners.sweeping.remote_pool import RemotePool
from runners.sweeping.shipping import Archive, Courier
from runners.sweeping.survey import Needs, survey

CONNECT_SECONDS = 20.0
# The pool alone decides which jobs have ended; dask's cluster must not decide it as well.
PATIENT = {"distributed.deploy.lost-worker-timeout": "1 day"}
QUEUED = float("inf")
"""Jobs may wait in a queue for days."""


@contextlib.contextmanager
def pool_of(
    file: ClusterFile,
    needs: Needs,
    tell: Callable[[str], None],
    staffed: Callable[[str], None] = lambda words: None,
    archives: Mapping[str, Archive] | None = None,
) -> Iterator[RemotePool]:
    """The pool of this cluster; jobs that it started are cancelled at the end.

    Args:
        file: the cluster.
        needs: what runs need on a worker.
        tell: receives messages about workers.
        staffed: receives how many jobs or workers there are.
        archives: the tar files of the needs' parcels, by their hashes.

    Raises:
        ClusterError: the cluster cannot be opened; one line with what to do.
    """
    driver = survey()
    with opened(file) as (client, queue), Courier(client, needs, driver, archives) as courier:
        patience = LONGEST_ABSENCE if queue is None else QUEUED
        lifetime = file.lifetime_seconds
        yield RemotePool(client, needs, driver, patience, queue, lifetime, tell, staffed, courier=courier)


@contextlib.contextmanager
def opened(file: ClusterFile) -> Iterator[tuple[Client, JobQueue | None]]:
    """A client of this cluster, and the queue of its jobs if it has jobs.

    Raises:
        ClusterError: the cluster cannot be opened; one line with what to do.
    """
    for name in ("distributed", "asyncio", "tornado"):  # We report dead workers and refused jobs ourselves.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(SETTINGS | PATIENT), _opened(file, protection(file)) as client_and_queue:
        yield client_and_queue


@contextlib.contextmanager
def _opened(file: ClusterFile, security: Security | None) -> Iterator[tuple[Client, JobQueue | None]]:
    if file.kind == "local":
        with workers_of(workers_here(file), visible_gpus(), security) as (_, client):
            yield client, None
    elif file.kind == "address":
        client = _connected(file.address, security)
        try:
            yield client, None
        finally:
            _closed(client)
    else:
        with queue_of(file, security) as queue:
            client = Client(queue.cluster, security=security)
            try:
                yield client, queue
            finally:
                _closed(client)


def _connected(address: str, security: Security | None) -> Client:
    try:
        return Client(address, security=security, timeout=CONNECT_SECONDS)
    except (OSError, TypeError, ValueError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ClusterError(
            f"{address}: no scheduler answers there ({reason}): is it running, and are the certificates the right ones?"
        ) from error


def _closed(client: Any) -> None:
    with contextlib.suppress(TimeoutError, OSError):
        client.close(timeout=2)
