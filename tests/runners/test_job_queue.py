"""Jobs of a batch system: how many are requested, which are replaced, and those that end too early."""

import os
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from amix.runs.context import RunContext
from helpers.fake_cluster import (
    DRIVER,
    OPTIONS,
    WORKER,
    FakeWorkers,
    living_after_another_look,
    pool_with,
    queue_of,
    run_script,
)
from runners.planning.cluster_file import ClusterError, ClusterFile
from runners.sweeping import cluster_check, job_queue, protection
from runners.sweeping.pool import WorkersLost
from runners.sweeping.remote_pool import GRACE, KnownWorker, RemotePool, WorkersRefused
from runners.sweeping.survey import Needs


def test_no_more_jobs_are_requested_than_the_remaining_runs_need() -> None:
    queue, cluster = queue_of(3, processes=4)
    for left, jobs in ((5, 2), (4, 2), (99, 3)):
        assert queue.keep(left) is None
        assert len(cluster.worker_spec) == jobs
    assert len((few := queue_of({"minimum": 2, "maximum": 3}))[1].worker_spec) == 0
    few[0].keep(1)
    assert len(few[1].worker_spec) == 2


def test_an_ended_job_is_replaced_when_all_its_workers_are_gone_and_there_is_work() -> None:
    queue, cluster = queue_of(2, processes=2)
    queue.keep(4)
    first = cluster.worker_spec["j0"]
    queue.ended = {"j0-0"}
    queue.keep(4)
    assert cluster.worker_spec["j0"] is first
    queue.ended.add("j0-1")
    queue.keep(4)
    assert cluster.worker_spec["j0"] is not first
    assert len(cluster.worker_spec) == 2
    assert not queue.ended, "the next job reuses the name"
    queue.ended = {"j1-0", "j1-1"}
    queue.keep(2)
    assert list(cluster.worker_spec) == ["j0"]


def test_a_pool_tells_how_many_jobs_run_and_how_many_are_queued() -> None:
    told: list[str] = []
    client, (queue, _) = FakeWorkers(), queue_of(2)
    needs = Needs(RunContext(), "e", (), "")
    pool = RemotePool(client, needs, DRIVER, 1.0, queue, staffed=told.append)  # type: ignore[arg-type]

    def after_another_look() -> str:
        pool.looked = 0.0
        pool.tend(9, set())
        return told[-1]

    assert after_another_look() == "jobs: 0 running, 2 queued or starting"
    client.start("j0", "worker-a")
    assert after_another_look() == "jobs: 1 running, 1 queued or starting"
    client.start("j1", "worker-b")
    assert after_another_look() == "jobs: 2 running, 0 queued or starting"
    del client.there["j0"]
    assert after_another_look() == "jobs: 2 running, 0 queued or starting", "a nanny may still start another worker"
    (lost,) = (worker for worker in pool.workers.values() if worker.gone is not None)
    lost.gone = time.monotonic() - GRACE - 1
    assert after_another_look() == "jobs: 1 running, 1 queued or starting", "another job was requested"


@pytest.fixture(autouse=True)
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Slurm that says of every job what this file holds; at first it knows none."""
    state, command = tmp_path / "bin" / "state", tmp_path / "bin" / "squeue"
    state.parent.mkdir()
    state.write_text("")
    command.write_text(f'#!/bin/sh\nread state <{state}\necho "$state"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(state.parent), prepend=os.pathsep)
    return state


def test_a_job_that_is_requeued_before_its_worker_arrives_does_not_end_early(tmp_path: Path, squeue: Path) -> None:
    queue, _ = queue_of(1, notes=tmp_path)
    queue.keep(1)
    run_script(tmp_path, "exit 143", SLURM_JOB_ID="1")
    for state in ("COMPLETING", "PENDING", "RUNNING"):
        squeue.write_text(f"{state}\n")
        assert queue.early_ends(()) == []
    squeue.write_text("")
    assert queue.early_ends(()) == [], "it was its first start that ended"
    run_script(tmp_path, "exit 1", SLURM_JOB_ID="1")
    assert len(queue.early_ends(())) == queue.early == 1


@pytest.mark.parametrize(
    ("variable", "job_id"),
    [("SLURM_JOB_ID", "1"), ("PBS_JOBID", "1.server"), ("LSB_JOBID", "1"), ("JOB_ID", "1")],
)
def test_a_job_that_ends_before_its_worker_arrives_is_one_line(variable: str, job_id: str, tmp_path: Path) -> None:
    queue, cluster = queue_of(2, notes=tmp_path)
    queue.keep(2)
    assert queue.early_ends(()) == []
    run_script(tmp_path, "exit 7", **{variable: job_id})
    (line,) = queue.early_ends(())
    assert line == "job 1 ended with exit code 7 before its worker arrived; its output is in output"
    assert queue.early_ends(()) == [], "it is told once"
    queue.keep(2)
    assert list(cluster.worker_spec) == ["j1"], "no other is requested at once"
    queue.asked_again_at = 0.0
    queue.keep(2)
    assert len(cluster.worker_spec) == 2
    assert queue.early_ends(()) == []


def test_a_job_whose_worker_arrived_does_not_end_early(tmp_path: Path) -> None:
    queue, cluster = queue_of(2, notes=tmp_path)
    queue.keep(2)
    run_script(tmp_path, "true", SLURM_JOB_ID="1")
    assert queue.early_ends({"j0"}) == [], "its worker left, and will be reported"
    queue.ended = {"j0"}
    assert queue.early_ends(()) == []
    before = dict(cluster.workers)
    queue.keep(1)
    cluster.workers = before  # The cluster drops it a little later.
    assert queue.early_ends(()) == []


def test_a_sweep_whose_jobs_all_end_early_is_given_up(tmp_path: Path) -> None:
    told: list[str] = []
    pool, _ = pool_with()
    pool.queue, pool.tell, pool.client = queue_of(3, notes=tmp_path)[0], told.append, FakeWorkers()  # type: ignore[assignment]
    pool.queue.keep(3)
    pool.workers.clear()
    pool.fit.clear()
    for number in (1, 2):
        run_script(tmp_path, "exit 1", SLURM_JOB_ID=str(number))
    living_after_another_look(pool)
    assert [line[:28] for line in told] == ["job 1 ended with exit code 1", "job 2 ended with exit code 1"]
    run_script(tmp_path, "no-such-python", SLURM_JOB_ID="3")
    with pytest.raises(WorkersLost, match="no worker arrives: 3 jobs ended too early; job 3 ended with exit code 127"):
        living_after_another_look(pool)


def test_a_check_ends_with_the_first_job_that_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, client = queue_of(1, notes=tmp_path)[0], FakeWorkers()
    monkeypatch.setattr(cluster_check, "opened", lambda file: nullcontext((client, queue)))
    run_script(tmp_path, "exit 1", SLURM_JOB_ID="1")
    with pytest.raises(WorkersLost, match="no worker arrives: job 1 ended with exit code 1 before"):
        cluster_check.checked(ClusterFile(kind="slurm", jobs=1, options=OPTIONS), Needs(RunContext(), "e", (), ""))


def test_jobs_with_refused_workers_are_not_replaced() -> None:
    queue, cluster = queue_of(3)
    queue.refused = 1
    queue.keep(9)
    assert len(cluster.worker_spec) == 2


def test_the_last_run_still_gets_a_job_after_a_refused_worker() -> None:
    queue, cluster = queue_of(3)
    queue.refused = 1
    queue.keep(1)
    assert len(cluster.worker_spec) == 1


def test_a_sweep_whose_jobs_may_not_be_replaced_ends_with_a_message() -> None:
    pool, _ = pool_with()
    pool.queue, cluster = queue_of(1, processes=2)
    pool.client = FakeWorkers()  # type: ignore[assignment]
    pool.queue.keep(2)
    pool.workers["w"].name = "j0-0"
    pool.workers["refused"] = KnownWorker("refused", "j0-1", "nanny", 0.0, survey=WORKER)
    pool._refuse("refused", pool.workers["refused"], ["torch 1 there, 2 here"])
    for worker in pool.workers.values():
        worker.gone = time.monotonic() - GRACE - 1
    pool.fit.clear()
    with pytest.raises(WorkersRefused, match=r"every job has ended and no more are started.*torch 1 there, 2 here"):
        pool.tend(1, set())
    assert not cluster.worker_spec


def test_a_refusal_of_the_batch_system_is_one_line_and_it_is_not_asked_again_at_once() -> None:
    queue, cluster = queue_of(2)
    cluster.full = True
    assert queue.keep(9) == "sbatch: error: no room"
    assert not cluster.worker_spec
    cluster.full = False
    assert queue.keep(9) is None
    assert not cluster.worker_spec
    queue.asked_again_at = 0.0
    queue.keep(9)
    assert len(cluster.worker_spec) == 2


def test_a_missing_package_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dask_jobqueue", None)
    file = ClusterFile(kind="slurm", jobs=1, options=OPTIONS)
    with pytest.raises(ClusterError, match="pip install dask-jobqueue==0.9.0"), job_queue.queue_of(file, None):
        pass

    def missing() -> SimpleNamespace:
        raise ImportError

    monkeypatch.setattr(protection.Security, "temporary", missing)
    with pytest.raises(ClusterError, match="pip install cryptography"):
        protection.protection(file)
    assert protection.protection(file.model_copy(update={"insecure": True})) is None
