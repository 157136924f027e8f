"""Carries out runs on a cluster: the driver hands them out, receives their records and writes them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from runners.planning.cluster_file import ClusterFile
from runners.planning.job import Job
from runners.sweeping.carry_out import visible_gpus
from runners.sweeping.clusters import pool_of
from runners.sweeping.dispatch import Sweep
from runners.sweeping.gpu_sharing import sharing_of
from runners.sweeping.jobs import Listener
from runners.sweeping.shipping import packed
from runners.sweeping.survey import Needs
from runners.sweeping.worker import Deliverer, Worker


def carry_out_on(
    cluster: ClusterFile,
    runs: Sequence[Job],
    expected: Mapping[str, float],
    worker: Worker,
    listener: Listener,
    tell: Callable[[str], None],
    staffed: Callable[[str], None],
) -> None:
    """Do all runs on a cluster, in the order given; the driver writes the records.

    Args:
        cluster: the cluster.
        runs: the runs.
        expected: expected seconds of each run by key; a worker whose lifetime is too short for a run leaves before it.
        worker: does a run.
        listener: receives the events of runs.
        tell: receives messages about workers.
        staffed: receives how many jobs or workers there are, whenever that may have changed.

    Raises:
        ClusterError: the cluster cannot be opened.
        ParcelError: what workers may lack cannot be packed.
        WorkersLost: no worker arrived, runs have accidents on all of them, or the scheduler is gone.
        WorkersRefused: no worker matches the driver.
    """
    if not runs:
        return
    shared = cluster.store == "shared"
    with (
        packed(cluster, needs_of(worker, runs, shared), tell) as shipment,
        pool_of(cluster, shipment.needs, tell, staffed, shipment.archives) as pool,
    ):
        there = replace(worker, context=shipment.needs.context, parcels=shipment.needs.parcels)
        deliverer = Deliverer(there, shared)
        sharing = sharing_of(cluster, visible_gpus(), lambda place: int(pool.workers[place].name))
        sweep = Sweep(pool, deliverer, worker.abandon, worker.store, listener, deliverer.receive, expected, sharing)
        sweep.carry_out(list(runs))


def needs_of(worker: Worker, runs: Sequence[Job], shared: bool) -> Needs:
    """What these runs need on a machine."""
    first, sources = runs[0].spec, {run.spec.task: run.spec.task_source for run in runs}
    folder = str(worker.store.folder)
    return Needs(worker.context, first.encoder, tuple(sources), folder, shared, first.encoder_source, sources)
