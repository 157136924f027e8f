"""Carrying out runs that train nothing: every run leaves a record, whatever happens to workers."""

import os
import signal
import threading
from pathlib import Path

import psutil
import pytest

from helpers.fake_jobs import FakePerformer, Listening, planned, record
from helpers.toy_suite import gone, wait_until
from runners.sweeping import local_pool
from runners.sweeping.carry_out import carry_out, default_workers, visible_gpus

RUNS = [planned(seed) for seed in range(6)]


def statuses(performer: FakePerformer) -> list[str]:
    return [(performer.store.get(run.spec.key) or {"status": "missing"})["status"] for run in RUNS]


def test_runs_in_this_process_in_the_order_given(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, seconds=0), Listening()
    carry_out(RUNS, performer, performer.abandon, performer.store, 0, listening)
    assert listening.started_seeds == list(listening.finished_runs) == [0, 1, 2, 3, 4, 5]
    assert statuses(performer) == ["ok"] * 6
    assert {path.read_text() for path in tmp_path.glob("*.1")} == {str(os.getpid())}


def test_a_killed_worker_costs_only_its_own_run_which_is_retried(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, victim=0, hangs=1), Listening()
    others_done = []

    def kill_in_the_middle() -> None:
        started = tmp_path / "0.1"
        wait_until(lambda: started.exists() and started.read_text() != "" and performer.attempts(1) > 0, 60)
        others_done.append(performer.store.get(RUNS[0].spec.key) is None)
        os.kill(int(started.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    carry_out(RUNS, performer, performer.abandon, performer.store, 2, listening)
    killer.join()
    assert others_done == [True], "the run should have been killed in the middle"
    assert statuses(performer) == ["ok"] * 6
    assert listening.retried_seeds == [0]
    assert [performer.attempts(seed) for seed in range(6)] == [2, 1, 1, 1, 1, 1]
    pids = {path.name: path.read_text() for path in tmp_path.glob("?.?")}
    assert pids["0.1"] != pids["0.2"]


def test_a_run_that_always_kills_its_worker_is_recorded_as_an_accident(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, victim=2, kills_itself=9), Listening()
    carry_out(RUNS, performer, performer.abandon, performer.store, 2, listening)
    assert statuses(performer) == ["ok", "ok", "accident", "ok", "ok", "ok"]
    assert performer.attempts(2) == 3
    assert "died 3 times" in listening.finished_runs[2].message


def test_a_retried_run_whose_worker_dies_is_not_settled_by_its_old_record(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, victim=0, kills_itself=1), Listening()
    performer.store.put(record(RUNS[0], "failed"))
    carry_out(RUNS[:2], performer, performer.abandon, performer.store, 2, listening)
    assert statuses(performer)[:2] == ["ok", "ok"]
    assert performer.attempts(0) == 2
    assert listening.finished_runs[0].status == "ok"


def test_a_single_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, victim=0, kills_itself=1), Listening()
    carry_out(RUNS[:2], performer, performer.abandon, performer.store, 1, listening)
    assert statuses(performer)[:2] == ["ok", "ok"]
    assert listening.retried_seeds == [0]
    assert (tmp_path / "0.1").read_text() != (tmp_path / "0.2").read_text()


def test_no_worker_process_is_left_behind(tmp_path: Path) -> None:
    performer = FakePerformer(tmp_path)
    before = set(psutil.Process().children(recursive=True))
    carry_out(RUNS[:2], performer, performer.abandon, performer.store, 2, Listening())
    workers = [psutil.Process().pid] + [int(path.read_text()) for path in tmp_path.glob("?.?")]
    assert len(set(workers)) == 3
    left = [child for child in set(psutil.Process().children(recursive=True)) - before if child.pid in workers]
    assert wait_until(lambda: gone(left), 5)


def test_only_visible_gpus_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_gpus() == ["2", "5"]
    assert default_workers() == 2
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    assert default_workers() >= 1


def test_a_worker_that_dies_while_it_is_starting_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_pool, "LONGEST_DEATH", 0.2)
    with local_pool.workers_of(1, []) as (cluster, client):
        pool = local_pool.LocalPool(cluster, client)
        (first,) = (nanny.pid for nanny in cluster.workers.values())
        psutil.Process(first).kill()

        def starting() -> int | None:
            return next((nanny.pid for nanny in cluster.workers.values() if nanny.pid not in (first, None)), None)

        assert wait_until(lambda: starting() is not None, 240)
        psutil.Process(starting()).kill()  # Its nanny gives up a process that dies before it has registered.

        def tended() -> bool:
            pool.tend(0, ())
            return bool(pool.living())

        assert wait_until(lambda: not pool.living(), 240)
        assert wait_until(tended, 240)
        assert client.submit(os.getpid).result(timeout=240) not in (first, os.getpid())
