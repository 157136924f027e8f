"""Decisions about remote workers: which fit, which are too old for the next run, why one is gone."""

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from amix.runs.context import RunContext
from helpers.fake_cluster import DRIVER, WORKER, FakeWorkers, living_after_another_look, pool_with
from helpers.fake_jobs import FakePerformer, LastingJob, Listening, ShortJobs, planned
from runners.planning.cluster_file import ClusterFile
from runners.sweeping import cluster_check, dispatch
from runners.sweeping.jobs import Outcome
from runners.sweeping.pool import Loss, WorkersLost
from runners.sweeping.remote_pool import GRACE, QUIET, KnownWorker, RemotePool
from runners.sweeping.survey import Needs, mismatches

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


class Unhurried(LastingJob):
    """A pool in which a run takes 40 s by this clock; notes how long runs were expected to take."""

    def __init__(self) -> None:
        super().__init__(1, float("inf"))
        self.now = 0.0
        self.foreseen: list[float] = []

    def submit(self, perform: Any, run: Any, **how: Any) -> Any:
        self.now += 40.0
        return super().submit(perform, run, **how)

    def takes(self, place: str, seconds: float) -> bool:
        self.foreseen.append(seconds)
        return True


def test_the_expected_length_of_a_run_follows_the_pace_of_those_that_were_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, performer, runs = Unhurried(), FakePerformer(tmp_path), [planned(seed) for seed in range(3)]
    monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=lambda: pool.now))
    monkeypatch.setattr(dispatch, "wait", lambda *futures, **how: None)
    expected = {run.spec.key: seconds for run, seconds in zip(runs, (1000.0, 3000.0, 500.0), strict=True)}
    sweep = dispatch.Sweep(pool, performer, performer.abandon, performer.store, Listening(), expected=expected)  # type: ignore[arg-type]
    sweep.carry_out(runs)
    assert pool.foreseen == [1000.0, 3000.0 * 40 / 1000, 500.0 * 80 / 4000]


def test_a_late_result_is_waited_for_as_long_as_its_worker_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listening = sweep_over(LastingJob(1, float("inf")), tmp_path, monkeypatch)
    assert (listening.started_seeds, listening.given_back_seeds, listening.retried_seeds) == ([0], [], [])
    assert listening.finished_runs == {0: Outcome("ok")}
