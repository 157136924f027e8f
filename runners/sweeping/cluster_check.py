"""Tries out a cluster before a sweep does: starts one worker and has it survey itself."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distributed import Client

from runners.planning.cluster_file import ClusterFile
from runners.sweeping import interrupts
from runners.sweeping.clusters import QUEUED, opened
from runners.sweeping.job_queue import JobQueue
from runners.sweeping.local_pool import LONGEST_ABSENCE
from runners.sweeping.pool import WorkersLost
from runners.sweeping.remote_pool import without_project
from runners.sweeping.shipping import LEFT, Archive, Courier
from runners.sweeping.survey import Needs, Survey, mismatches, survey

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Checked:
    """A worker that was tried."""

    place: str
    seconds: float
    """From the request to its arrival."""
    survey: Survey | None
    """Its survey of itself; None if that failed."""
    wrong: list[str]
    """Mismatches with the driver, one line each with its remedy."""


MOST_LOOKS = 3
"""How often to look for workers if all that were there have left, as those do that are just being replaced."""
RETURN_SECONDS = 30.0
"""How long to wait for their replacements."""


def checked(file: ClusterFile, needs: Needs, archives: Mapping[str, Archive] | None = None) -> list[Checked]:
    """Check one worker of this cluster or, for a scheduler that is already running, every worker that it has.

    Args:
        file: the cluster.
        needs: what runs need on a worker.
        archives: the tar files of the needs' parcels, by their hashes.

    Raises:
        ClusterError: the cluster cannot be opened.
        WorkersLost: no worker arrived, or none stayed.
    """
    requested, driver = time.monotonic(), survey()
    with opened(file) as (client, queue), Courier(client, needs, driver, archives) as courier:
        if queue is not None and (refusal := queue.keep(1)):
            raise WorkersLost(f"the batch system accepts no job: {refusal}")
        patience: float = LONGEST_ABSENCE if queue is None else QUEUED
        places = _workers(client, patience, queue)
        if not places:
            raise WorkersLost(
                f"no worker arrived in {patience:.0f} s: were any started for this scheduler, with its certificates?"
            )
        for _ in range(MOST_LOOKS):
            seconds = time.monotonic() - requested
            chosen = places if file.kind == "address" else places[:1]
            results = [_check(courier, place, driver, seconds) for place in chosen]
            if stayed := [one for one in results if one is not None]:
                return stayed
            if not (places := _workers(client, RETURN_SECONDS)):
                break
    raise WorkersLost(f"every worker left while it was being checked: {', '.join(chosen)}; start them again")


def _present(client: Client) -> list[str]:
    """Addresses of the workers that the scheduler has now."""
    scheduler: Any = client.scheduler
    return sorted(client.sync(scheduler.identity, n_workers=-1)["workers"])


def _workers(client: Client, patience: float, queue: JobQueue | None = None) -> list[str]:
    """Addresses of the workers that are there, or none if none arrives within this many seconds.

    Raises:
        WorkersLost: a job of the queue ended before its worker arrived.
    """
    began = time.monotonic()
    while time.monotonic() - began < patience:
        interrupts.check()
        if places := _present(client):
            return places
        if queue is not None and (lines := queue.early_ends(())):
            raise WorkersLost(f"no worker arrives: {lines[0]}")
        time.sleep(POLL_SECONDS)
    return []


def _check(courier: Courier, place: str, driver: Survey, seconds: float) -> Checked | None:
    """Survey one worker; None if it leaves first, as one that was just stopped does."""
    look = courier.look(place)
    while not look.done():
        interrupts.check()
        if place not in _present(courier.client):
            return None
        time.sleep(POLL_SECONDS)
    error = look.exception()
    if isinstance(error, LEFT):
        return None
    if error is not None:
        return Checked(place, seconds, None, [without_project(error)])
    worker = look.result()
    return Checked(place, seconds, worker, mismatches(worker, driver, courier.needs.shared))
