"""Runs that train nothing, for tests of sweeps; worker processes can import them."""

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amix.specs.run_spec import SCHEMA, RunSpec
from amix.specs.store import Store
from runners.planning.job import Job
from runners.sweeping.jobs import Outcome
from runners.sweeping.pool import Loss


def planned(seed: int) -> Job:
    return Job("fake", RunSpec("task", 10, seed, "fake", "encoder"), work=1.0)


def record(run: Job, status: str = "ok") -> dict[str, object]:
    return {"schema": SCHEMA, "key": run.spec.key, "status": status, "spec": run.spec.as_dict(), "cost": {}}


@dataclass(frozen=True)
class FakePerformer:
    """Writes a file per attempt; the victim's worker hangs or kills itself in its first attempts."""

    folder: Path
    victim: int | None = None
    hangs: int = 0
    kills_itself: int = 0
    seconds: float = 0.05
    hang_seconds: float = 60

    @property
    def store(self) -> Store:
        return Store(self.folder / "records")

    def __call__(self, run: Job) -> Outcome:
        attempts = self.attempts(run.spec.seed)
        (self.folder / f"{run.spec.seed}.{attempts + 1}").write_text(str(os.getpid()))
        if run.spec.seed == self.victim and attempts < self.kills_itself:
            os.kill(os.getpid(), signal.SIGKILL)
        hanging = run.spec.seed == self.victim and attempts < self.hangs
        time.sleep(self.hang_seconds if hanging else self.seconds)
        self.store.put(record(run))
        return Outcome("ok")

    def abandon(self, run: Job, reason: str) -> Outcome:
        self.store.put(record(run, "accident"))
        return Outcome("accident", reason)

    def attempts(self, seed: int) -> int:
        return len(list(self.folder.glob(f"{seed}.*")))


@dataclass
class Listening:
    """A listener that records all events."""

    started_seeds: list[int] = field(default_factory=list)
    finished_runs: dict[int, Outcome] = field(default_factory=dict)
    retried_seeds: list[int] = field(default_factory=list)
    given_back_seeds: list[int] = field(default_factory=list)

    def started(self, run: Job) -> None:
        self.started_seeds.append(run.spec.seed)

    def finished(self, run: Job, outcome: Outcome) -> None:
        self.finished_runs[run.spec.seed] = outcome

    def retried(self, run: Job) -> None:
        self.retried_seeds.append(run.spec.seed)

    def given_back(self, run: Job) -> None:
        self.given_back_seeds.append(run.spec.seed)


class UndoneFuture:
    """The future of a run that never ends."""

    def done(self) -> bool:
        return False

    def cancel(self) -> None:
        pass

    def release(self) -> None:
        pass


class ShortJobs:
    """A pool in which every job ends as soon as its worker has been given a run."""

    def __init__(self, jobs: int, patience: float) -> None:
        self.patience = patience
        self.places = [f"job {number}" for number in range(jobs)]
        self.given: list[str] = []
        self.client = self

    def submit(self, perform: Any, run: Any, *, workers: list[str], **how: Any) -> Any:
        self.given += workers
        return UndoneFuture()

    def tend(self, waiting: int, busy: Any) -> None:
        pass

    def living(self) -> set[str]:
        return set([place for place in self.places if place not in self.given][:1])

    def expecting(self) -> bool:
        return False

    def address(self, place: str) -> str:
        return place

    def worker(self, place: str) -> str:
        return place

    def takes(self, place: str, seconds: float) -> bool:
        return True

    def loss(self, place: str) -> Loss:
        return Loss.JOB


class LateFuture(UndoneFuture):
    """The future of a run that is done, whose result arrives only when it is asked for a second time."""

    def __init__(self) -> None:
        self.asked = 0

    def done(self) -> bool:
        return True

    def exception(self, timeout: float) -> None:
        self.asked += 1
        if self.asked == 1:
            raise TimeoutError

    def result(self, timeout: float) -> Outcome:
        return Outcome("ok")


class LastingJob(ShortJobs):
    """A job that does its run and delivers the result late."""

    def submit(self, perform: Any, run: Any, **how: Any) -> Any:
        return LateFuture()
