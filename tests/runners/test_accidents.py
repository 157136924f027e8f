"""A worker on which every run has an accident: its runs go to others, and a row or task at fault blames no worker."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from distributed import get_worker

from helpers.fake_cluster import FakeWorkers, living_after_another_look, pool_with, queue_of
from helpers.fake_jobs import FakePerformer, LateFuture, Listening, ShortJobs, planned, record
from helpers.toy_suite import wait_until
from helpers.warm_processes import warm_workers
from runners.planning.job import Job
from runners.sweeping import dispatch
from runners.sweeping.carry_out import carry_out
from runners.sweeping.dispatch import MOST_JOBS, Sweep
from runners.sweeping.jobs import Outcome
from runners.sweeping.pool import WorkersLost
from runners.sweeping.remote_pool import WorkersRefused

FULL = "OSError: No space left on device"


def run_of(seed: int) -> Job:
    """A run; any two of the first five are of two rows and two tasks."""
    run = planned(seed)
    return replace(run, label=f"row {seed % 6}", spec=replace(run.spec, task=f"task {seed % 5}"))


RUNS = [run_of(seed) for seed in range(12)]


@dataclass(frozen=True)
class WithAccidents(FakePerformer):
    """Every run of the broken workers has an accident, and every run of the broken row; others wait for accidents."""

    workers: tuple[int, ...] = ()
    row: str = ""
    awaited: int = 0

    def __call__(self, run: Job) -> Outcome:
        if get_worker().name in self.workers or run.label == self.row:
            self.store.put(record(run, "accident"))
            (self.folder / f"accident-{run.spec.seed}-{time.monotonic_ns()}").touch()
            return Outcome("accident", FULL)
        assert wait_until(lambda: self.accidents() >= self.awaited, 240)
        return super().__call__(run)

    def statuses(self) -> list[str]:
        return [(self.store.get(run.spec.key) or {"status": "missing"})["status"] for run in RUNS]

    def accidents(self) -> int:
        return len(list(self.folder.glob("accident-*")))


def swept(
    performer: WithAccidents, workers: int, runs: Sequence[Job] = RUNS
) -> tuple[Listening, list[str], WorkersLost | None]:
    """What a sweep reports of its runs and its workers, and what ends it."""
    listening, told = Listening(), list[str]()
    try:
        with warm_workers():
            carry_out(runs, performer, performer.abandon, performer.store, workers, listening, told.append)
    except WorkersLost as error:
        return listening, told, error
    return listening, told, None


def test_a_worker_on_which_every_run_has_an_accident_is_given_up_and_others_do_its_runs(tmp_path: Path) -> None:
    performer = WithAccidents(tmp_path, workers=(0,), awaited=4)
    listening, told, error = swept(performer, 2)
    assert error is None
    assert performer.statuses() == ["ok"] * 12
    assert set(listening.finished_runs.values()) == {Outcome("ok")}
    assert [line.partition(" on ")[0] for line in told] == ["worker 0"] * 2
    assert "is started anew: 2 runs in a row had an accident, the last one (row " in told[0]
    assert "gets no more runs: " in told[1]
    assert all(line.endswith(FULL) for line in told)
    assert performer.accidents() == len(listening.given_back_seeds) == 4, "two, and two after it was started anew"
    assert not listening.retried_seeds, "no attempt is counted"


def test_a_sweep_without_a_healthy_worker_ends_and_the_same_command_does_all_its_runs(tmp_path: Path) -> None:
    performer = WithAccidents(tmp_path, workers=(0,))
    listening, told, error = swept(performer, 1)
    assert str(error).startswith("no worker is left; the last, worker 0 on ")
    assert str(error).endswith(f"{FULL}; remove the cause and run again")
    assert "\n" not in str(error)
    assert (len(told), performer.accidents(), listening.finished_runs) == (1, 4, {})
    assert sorted(performer.statuses()) == ["accident"] * 2 + ["missing"] * 10
    healed = WithAccidents(tmp_path)
    assert swept(healed, 1)[1:] == ([], None)
    assert healed.statuses() == ["ok"] * 12


def test_a_row_whose_runs_all_have_accidents_blames_no_worker(tmp_path: Path) -> None:
    performer = WithAccidents(tmp_path, row="row 1", seconds=0)
    its_runs_first = sorted(RUNS, key=lambda run: run.label != "row 1")
    listening, told, error = swept(performer, 1, its_runs_first)
    assert (told, error) == ([], None)
    assert performer.statuses() == ["ok", "accident", "ok", "ok", "ok", "ok"] * 2
    assert [outcome.status for _, outcome in sorted(listening.finished_runs.items())] == performer.statuses()
    assert performer.accidents() == 2


class BrokenWorkers(ShortJobs):
    """A pool in which every run has an accident, on one worker after the other."""

    def __init__(self, workers: int) -> None:
        super().__init__(workers, float("inf"))
        self.reasons: list[str] = []

    def submit(self, perform: Any, run: Any, *, workers: list[str], **how: Any) -> Any:
        future = LateFuture()
        future.exception = lambda timeout: None  # type: ignore[method-assign]
        future.result = lambda timeout: Outcome("accident", FULL)  # type: ignore[method-assign]
        return future

    def give_up(self, place: str, reason: str) -> None:
        self.given.append(place)
        self.reasons.append(reason)


def test_a_run_with_accidents_on_five_workers_that_are_given_up_is_one_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "wait", lambda *futures, **how: None)
    performer, listening, pool = FakePerformer(tmp_path), Listening(), BrokenWorkers(9)
    Sweep(pool, performer, performer.abandon, performer.store, listening).carry_out(RUNS[:2])  # type: ignore[arg-type]
    assert listening.started_seeds == [0, 1] * MOST_JOBS
    assert listening.finished_runs == dict.fromkeys((0, 1), Outcome("accident", FULL))
    assert len(pool.reasons) == MOST_JOBS


@pytest.mark.parametrize("others", [0, 1])
def test_a_remote_worker_that_is_given_up_gets_no_more_runs(others: int) -> None:
    pool, client = pool_with()
    told: list[str] = []
    pool.tell = told.append
    if others:
        pool.fit.add("another")
        pool.give_up("w", FULL)
    else:
        with pytest.raises(WorkersLost, match=f"no worker is left; the last, on node7: {FULL}; remove the cause"):
            pool.give_up("w", FULL)
    assert told == [f"worker on node7 is refused: {FULL}"]
    assert pool.living() == {"another"} - ({"another"} if not others else set())
    assert not client.retired, "who started it decides when it ends"


def test_the_job_of_a_worker_that_is_given_up_ends_and_is_not_replaced() -> None:
    client, (queue, cluster) = FakeWorkers(), queue_of(2)
    pool, _ = pool_with()
    pool.client, pool.queue, pool.tell = client, queue, lambda line: None  # type: ignore[assignment]
    pool.workers.clear()
    pool.fit.clear()
    client.start("j0", "worker-a")
    queue.keep(9)
    (place,) = living_after_another_look(pool)
    pool.give_up(place, FULL)
    assert client.retired == ["j0"]
    client.there.clear()
    assert living_after_another_look(pool) == set()
    assert list(cluster.worker_spec) == ["j1"], "the other job may still bring a healthy worker"
    client.start("j1", "worker-b")
    (place,) = living_after_another_look(pool)
    pool.give_up(place, FULL)
    client.there.clear()
    with pytest.raises(WorkersRefused, match="every job has ended and no more are started"):
        living_after_another_look(pool)
