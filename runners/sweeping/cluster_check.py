"""Tries a cluster before a sweep does: starts one worker and has it say what it is."""

import time
from dataclasses import dataclass
from typing import Any

from distributed import Client

from runners.planning.cluster_file import ClusterFile
from runners.sweeping import interrupts
from runners.sweeping.clusters import QUEUED, opened
from runners.sweeping.local_pool import LONGEST_ABSENCE
from runners.sweeping.pool import WorkersLost
from runners.sweeping.remote_pool import without_project
from runners.sweeping.survey import Needs, Survey, mismatches, survey

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Checked:
    """A worker that was tried."""

    place: str
    seconds: float
    """From asking for it to its being there."""
    survey: Survey | None
    """What it said; None where it could not."""
    wrong: list[str]
    """What does not fit the driver, one line each with its remedy."""


def checked(file: ClusterFile, needs: Needs) -> list[Checked]:
    """One worker of this cluster; of a scheduler that runs already, every worker that it has.

    Raises:
        ClusterError: the cluster cannot be opened.
        WorkersLost: no worker came.
    """
    asked, driver = time.monotonic(), survey()
    with opened(file) as (client, queue):
        if queue is not None and (said := queue.keep(1)):
            raise WorkersLost(f"the batch system takes no job: {said}")
        places = _workers(client, LONGEST_ABSENCE if queue is None else QUEUED)
        seconds = time.monotonic() - asked
        chosen = places if file.kind == "address" else places[:1]
        return [_looked_at(client, place, needs, driver, seconds) for place in chosen]


def _workers(client: Client, patience: float) -> list[str]:
    scheduler: Any = client.scheduler
    began = time.monotonic()
    while time.monotonic() - began < patience:
        interrupts.check()
        if places := sorted(client.sync(scheduler.identity, n_workers=-1)["workers"]):
            return places
        time.sleep(POLL_SECONDS)
    raise WorkersLost(f"no worker came in {patience:.0f} s: are any started for this scheduler, with its certificates?")


def _looked_at(client: Client, place: str, needs: Needs, driver: Survey, seconds: float) -> Checked:
    look = client.submit(survey, needs, workers=[place], allow_other_workers=False, pure=False)
    error = look.exception()
    if error is not None:
        return Checked(place, seconds, None, [without_project(error)])
    found = look.result()
    return Checked(place, seconds, found, mismatches(found, driver, needs.shared))
