"""Decisions about remote workers: which fit, which are too old for the next run, how many jobs are requested."""

import os
import subprocess
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from amix.runs.context import RunContext
from helpers.fake_jobs import FakePerformer, LastingJob, Listening, ShortJobs, planned
from runners.planning.cluster_file import ClusterError, ClusterFile
from runners.sweeping import cluster_check, dispatch, job_queue, protection
from runners.sweeping.early_ends import note_at_end
from runners.sweeping.job_queue import JobQueue
from runners.sweeping.jobs import Outcome
from runners.sweeping.pool import Loss, WorkersLost
from runners.sweeping.remote_pool import GRACE, QUIET, KnownWorker, RemotePool, WorkersRefused
from runners.sweeping.survey import Needs, Survey, mismatches

DRIVER = Survey(
    host="login", commit="a" * 40, sources="s", python="3.11.7", packages={"torch": "2.13.0", "dask": "1"},
    device="x86_64", threads=1, age=0.0,
)  # fmt: skip
WORKER = replace(DRIVER, host="node7", device="GPU", age=100.0, data={"rte": "found"})
OPTIONS = {"cores": 1, "memory": "1GB", "walltime": "1-00:00:00"}
WRONG = {
    "commit": ({"commit": "b" * 40}, "commit bbbbbbbbbbbb there, aaaaaaaaaaaa here: check out the same one there"),
    "code": ({"sources": "t"}, "the project's code there differs from the code here"),
    "code without git": ({"sources": "t", "commit": None}, "the project's code there differs from the code here"),
    "python": ({"python": "3.12.1"}, "Python 3.12.1 there, 3.11.7 here"),
    "package": ({"packages": {"torch": "2.12.0", "dask": "1"}}, "torch 2.12.0 there, 2.13.0 here: pip install torch=="),
    "no package": ({"packages": {"torch": "2.13.0"}}, "dask none there, 1 here"),
    "encoder": ({"encoder": "is not on this machine"}, "encoder: is not on this machine"),
    "data": ({"data": {"rte": "does not exist"}}, "data of rte: does not exist"),
    "plugins": ({"plugins": "there is no file m.py"}, "methods of your own: there is no file m.py"),
}


def test_a_worker_like_the_driver_fits_on_any_device() -> None:
    assert mismatches(WORKER, DRIVER, shared=True) == []


@pytest.mark.parametrize("case", WRONG)
def test_a_mismatch_is_one_line_with_its_remedy(case: str) -> None:
    changes, expected = WRONG[case]
    (line,) = mismatches(replace(WORKER, **changes), DRIVER, shared=False)  # type: ignore[arg-type]
    assert line.startswith(expected)
    assert "\n" not in line


def test_the_folder_of_records_matters_only_if_workers_write_to_it() -> None:
    away = replace(WORKER, records="there is no folder out")
    assert mismatches(away, DRIVER, shared=False) == []
    assert mismatches(away, DRIVER, shared=True)[0].startswith("folder of records: there is no folder out (there); set")


class FakeClient:
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


def test_a_worker_too_old_for_the_next_run_leaves_and_a_fresh_one_takes_any_run() -> None:
    pool, client = pool_with(lifetime=1000.0)
    assert pool.takes("w", 5000.0), "a run longer than any lifetime would never start"
    assert pool.takes("w", 800.0)
    assert not pool.takes("w", 950.0), "100 s old and 950 s more are beyond 1000 s"
    assert client.retired == ["w"]
    assert pool.living() == set()
    forever, _ = pool_with(lifetime=None, runs=9)
    assert forever.takes("w", 1e9)


def test_a_lost_worker_died_itself_or_lost_its_job() -> None:
    now = time.monotonic()
    replaced, _ = pool_with(gone=now)
    replaced.workers["v"] = KnownWorker("v", "name", "nanny", now + 1)
    assert replaced.loss("w") is Loss.OWN
    assert pool_with(gone=now)[0].loss("w") is None, "a nanny may still start another"
    assert pool_with(gone=now - GRACE - 1, heard=now - GRACE - 1)[0].loss("w") is Loss.JOB
    assert pool_with(gone=now, nanny=None)[0].loss("w") is Loss.JOB
    silent, _ = pool_with(gone=now, heard=now - QUIET - 1)
    silent.workers["v"] = KnownWorker("v", "name", "nanny", now + 1)
    assert silent.loss("w") is Loss.JOB, "a worker that was frozen and then killed by its nanny has not died by itself"


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


@pytest.mark.parametrize("missed", [True, False], ids=["noticed as gone", "back before the next look"])
def test_a_worker_that_returns_at_the_same_address_is_a_new_one(missed: bool) -> None:
    client = FakeWorkers()
    pool = RemotePool(client, Needs(RunContext(), "e", (), ""), DRIVER, 1.0)  # type: ignore[arg-type]
    client.start("tls://n:1", "worker-a")
    (first,) = living_after_another_look(pool)
    if missed:
        client.there.clear()
        assert living_after_another_look(pool) == set()
        assert pool.loss(first) is None, "a nanny may still start another"
    client.start("tls://n:1", "worker-b")
    (second,) = living_after_another_look(pool)
    assert first != second, "a run on the first must not be waited for on the second"
    assert pool.address(second) == "tls://n:1"
    assert client.looked_at == ["tls://n:1"] * 2
    assert pool.loss(first) is Loss.OWN, "its nanny has replaced it"
    assert pool.living() == {second}


def workers_that_leave_when_looked_at(monkeypatch: pytest.MonkeyPatch, replacements: int) -> ClusterFile:
    """An address whose worker leaves while checked and is replaced so many times, the last time by one that stays."""
    client, left = FakeWorkers(), iter(range(replacements))
    client.start("tls://n:1", "worker-a")
    look = client.submit

    def submit(call: Any, needs: Needs, workers: list[str], **how: Any) -> Any:
        if "tls://stays" in workers:
            return look(call, needs, workers, **how)
        client.there.clear()
        if (number := next(left, None)) is not None:
            client.start("tls://stays" if number == replacements - 1 else f"tls://n:{number + 2}", "worker-b")
        return SimpleNamespace(done=lambda: False)

    monkeypatch.setattr(client, "submit", submit)
    monkeypatch.setattr(cluster_check, "opened", lambda file: nullcontext((client, None)))
    monkeypatch.setattr(cluster_check, "RETURN_SECONDS", 0.1)
    return ClusterFile.model_validate({"kind": "address", "address": "tls://n:1"})


def test_a_check_does_not_wait_for_a_worker_that_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    file = workers_that_leave_when_looked_at(monkeypatch, replacements=0)
    with pytest.raises(WorkersLost, match="tls://n:1; start them again"):
        cluster_check.checked(file, Needs(RunContext(), "e", (), ""))


@pytest.mark.parametrize("replacements", [1, 2])
def test_a_check_turns_to_the_replacement_of_a_worker_that_has_left(
    monkeypatch: pytest.MonkeyPatch, replacements: int
) -> None:
    file = workers_that_leave_when_looked_at(monkeypatch, replacements)
    monkeypatch.setattr(cluster_check, "mismatches", lambda *surveys: [])
    (only,) = cluster_check.checked(file, Needs(RunContext(), "e", (), ""))
    assert (only.place, only.survey) == ("tls://stays", WORKER)


def test_a_check_gives_workers_up_that_leave_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    file = workers_that_leave_when_looked_at(monkeypatch, replacements=9)
    with pytest.raises(WorkersLost, match="tls://n:3; start them again"):
        cluster_check.checked(file, Needs(RunContext(), "e", (), ""))


def test_a_scheduler_that_is_gone_ends_the_sweep_with_what_to_do() -> None:
    client = FakeWorkers()
    pool = RemotePool(client, Needs(RunContext(), "e", (), ""), DRIVER, 1.0)  # type: ignore[arg-type]

    def cut_off(call: Any, n_workers: int) -> None:
        raise OSError("Timed out trying to connect")

    client.sync = cut_off  # type: ignore[assignment, method-assign]
    with pytest.raises(WorkersLost, match="the scheduler no longer answers: Timed out .*; run the command again"):
        pool.tend(1, set())


def sweep_over(pool: ShortJobs, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Listening:
    monkeypatch.setattr(dispatch, "wait", lambda *futures, **how: None)
    performer, listening = FakePerformer(folder), Listening()
    dispatch.Sweep(pool, performer, performer.abandon, performer.store, listening).carry_out([planned(0)])  # type: ignore[arg-type]
    return listening


def test_a_run_that_outlasts_five_jobs_is_an_accident(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listening = sweep_over(ShortJobs(9, float("inf")), tmp_path, monkeypatch)
    assert (listening.started_seeds, listening.given_back_seeds, listening.retried_seeds) == ([0] * 5, [0] * 4, [])
    assert listening.finished_runs[0].status == "accident"
    assert (
        "5 jobs or machines ended before it was done: it needs a longer walltime" in listening.finished_runs[0].message
    )


def test_a_sweep_without_any_worker_ends_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkersLost, match="no worker process has lived for 0 s; run the command again"):
        sweep_over(ShortJobs(2, 0.0), tmp_path, monkeypatch)


class SlowlyEquipped(LastingJob):
    """A pool whose only worker can be given runs after the sweep has looked three times."""

    looks = 0

    def living(self) -> set[str]:
        self.looks += 1
        return super().living() if self.looks > 3 else set()

    def expecting(self) -> bool:
        return self.looks <= 3


def test_a_worker_that_is_being_equipped_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1_000_000, 10))
    clock = SimpleNamespace(monotonic=lambda: next(now), sleep=lambda seconds: None)
    monkeypatch.setattr(dispatch, "time", clock)
    listening = sweep_over(SlowlyEquipped(1, 15.0), tmp_path, monkeypatch)
    assert listening.finished_runs == {0: Outcome("ok")}


def test_a_late_result_is_waited_for_as_long_as_its_worker_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = sweep_over(LastingJob(1, float("inf")), tmp_path, monkeypatch)
    assert (listening.started_seeds, listening.given_back_seeds, listening.retried_seeds) == ([0], [], [])
    assert listening.finished_runs == {0: Outcome("ok")}


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


def run_script(notes: Path, last_line: str, **variables: str) -> None:
    """Do what a batch system does with a job whose script ends so."""
    subprocess.run(["bash", "-c", f"{note_at_end(str(notes))}\n{last_line}"], env=os.environ | variables, check=False)


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
