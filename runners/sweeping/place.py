"""Where runs are done: in worker processes of this machine, or on a cluster."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runners.planning.cluster_file import ClusterError, ClusterFile, read_cluster
from runners.planning.job import Job
from runners.sweeping.carry_out import carry_out, default_workers, workers_here
from runners.sweeping.jobs import Listener

if TYPE_CHECKING:
    from runners.sweeping.worker import Worker


@dataclass(frozen=True)
class Place:
    """Where runs are done."""

    workers: int
    """How many runs are in progress at a time, as far as that is known; 0 for this process alone."""
    cluster: ClusterFile | None = None


def place_of(workers: int | None, cluster: str) -> Place:
    """The place that the options --workers and --cluster ask for.

    Raises:
        ClusterError: both are given, or the cluster's file is wrong.
    """
    if not cluster:
        return Place(default_workers() if workers is None else workers)
    if workers is not None:
        raise ClusterError(f"--workers {workers}: a cluster sets its own number of workers; leave out one of the two")
    file = read_cluster(cluster)
    if file.kind == "local":
        return Place(workers_here(file), file)
    return Place(file.most_runs or 1, file)


def refuse_unreachable(place: Place) -> None:
    """Refuse the address of a scheduler that cannot be reached, before data are read and anything is written.

    Raises:
        ClusterError: no scheduler answers there, or there is no certificate for it.
    """
    if place.cluster is not None and place.cluster.kind == "address":
        from runners.sweeping.clusters import opened  # Slow to import (half a second).

        with opened(place.cluster):
            pass


def carry_out_at(
    place: Place,
    runs: Sequence[Job],
    expected: Mapping[str, float],
    worker: "Worker",
    listener: Listener,
    tell: Callable[[str], None],
    staffed: Callable[[str], None],
) -> None:
    """Do all runs, in the order given.

    Args:
        place: where.
        runs: the runs.
        expected: expected seconds of each run by key.
        worker: does a run.
        listener: receives the events of runs.
        tell: receives messages about workers.
        staffed: receives how many jobs or workers a cluster has, whenever that may have changed.

    Raises:
        ClusterError: the cluster cannot be opened.
        ParcelError: what its workers may lack cannot be packed.
        WorkersLost: no worker arrived or stays alive, runs have accidents on all of them, or the scheduler is gone.
        WorkersRefused: no worker matches the driver.
    """
    if place.cluster is None:
        carry_out(runs, worker, worker.abandon, worker.store, place.workers, listener, tell)
        return
    from runners.sweeping.on_cluster import carry_out_on  # Slow to import (half a second).

    carry_out_on(place.cluster, runs, expected, worker, listener, tell, staffed)
