"""What the engine needs for many runs, measured with runs that only wait, while workers are killed at random."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from amix.specs.run_spec import SCHEMA, RunSpec
from amix.specs.store import Store
from amix.specs.wording import counted
from runners.planning.job import Job
from runners.sweeping.dispatch import Sweep
from runners.sweeping.jobs import Outcome
from runners.sweeping.local_pool import LocalPool, workers_of

SHOWN_EVERY = 5.0
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class Brief:
    """Does a run by waiting and writing a small record, so that everything else is the engine's work."""

    store: Store
    seconds: float

    def __call__(self, run: Job) -> Outcome:
        """Do a run."""
        time.sleep(self.seconds)
        return self._recorded(run, "ok")

    def abandon(self, run: Job, reason: str) -> Outcome:
        """Write the record of a run that could not be done."""
        return self._recorded(run, "accident", reason)

    def _recorded(self, run: Job, status: str, message: str = "") -> Outcome:
        self.store.put({"schema": SCHEMA, "key": run.spec.key, "status": status, "spec": run.spec.as_dict()})
        return Outcome(status, message)


@dataclass
class Tally:
    """A listener that counts events and reports the progress."""

    runs: int
    say: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)
    first: float = 0.0
    """Seconds until the first run was done."""
    done: int = 0
    retried_runs: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    """Runs that did not end as ok."""
    _shown: float = 0.0

    def started(self, run: Job) -> None:
        """A run was given to a worker."""

    def finished(self, run: Job, outcome: Outcome) -> None:
        """A run left its record."""
        now = time.monotonic() - self.began
        self.first = self.first or now
        self.done += 1
        if outcome.status != "ok":
            self.wrong.append(f"{run.name}: {outcome.status} {outcome.message}")
        if now - self._shown > SHOWN_EVERY:
            self._shown = now
            left = (now - self.first) / self.done * (self.runs - self.done)
            self.say(f"{self.done} of {counted(self.runs, 'run')}, about {left:.0f} s left")

    def retried(self, run: Job) -> None:
        """A run's worker died."""
        self.retried_runs.add(run.spec.key)

    def given_back(self, run: Job) -> None:
        """A run waits for another worker, as one was given up."""


@dataclass(frozen=True)
class Found:
    """What a sweep of brief runs took."""

    runs: int
    workers: int
    seconds: float
    first: float
    driver_cpu: float
    """CPU seconds of the driver, the scheduler included."""
    memory: tuple[int, int]
    """The driver's resident bytes before the first run and after the last one."""
    killed: int
    retried: int
    wrong: tuple[str, ...]
    missing: int
    """Runs without a record."""

    def lines(self) -> list[str]:
        """The findings in words."""
        before, after = (size / 2**20 for size in self.memory)
        per_run = 1000 * (self.seconds - self.first) / self.runs
        return [
            f"{counted(self.runs, 'run')} on {counted(self.workers, 'worker')} in {self.seconds:.0f} s, "
            f"the first after {self.first:.1f} s",
            f"per run {per_run:.1f} ms, and {1000 * self.driver_cpu / self.runs:.1f} ms of the driver's CPU",
            f"the driver's memory: {before:.0f} MiB before, {after:.0f} MiB after",
            f"{counted(self.killed, 'worker')} killed, {counted(self.retried, 'run')} repeated, "
            f"{len(self.wrong)} not ok, {self.missing} without a record",
            *self.wrong[:5],
        ]


def measure(
    runs: int, seconds: float, workers: int, kill_every: float, folder: Path, say: Callable[[str], None], seed: int = 0
) -> Found:
    """Sweep brief runs while workers are killed at random.

    Args:
        runs: number of runs.
        seconds: that each run waits.
        workers: worker processes.
        kill_every: seconds between two kills (SIGKILL to a random worker); 0: none.
        folder: where the records go.
        say: called with every line of progress.
        seed: of the choice of workers.

    Returns:
        What it took and whether every run was done.
    """
    brief, process = Brief(Store(folder), seconds), psutil.Process()
    plan = [Job("brief", RunSpec("none", 1, number, "none", "none"), 1.0) for number in range(1, runs + 1)]
    folder.mkdir(parents=True, exist_ok=True)
    tally, stop, killed = Tally(runs, say), threading.Event(), [0]
    with workers_of(workers, []) as (cluster, client):

        def kill() -> None:
            chance = random.Random(seed)
            while not stop.wait(kill_every):
                pids = sorted(nanny.pid for nanny in cluster.workers.values() if nanny.pid)
                if pids:
                    psutil.Process(chance.choice(pids)).kill()
                    killed[0] += 1

        killer = threading.Thread(target=kill, daemon=True)
        memory, cpu = process.memory_info().rss, time.process_time()
        if kill_every:
            killer.start()
        try:
            Sweep(LocalPool(cluster, client), brief, brief.abandon, brief.store, tally).carry_out(plan)
        finally:
            stop.set()
        taken, cpu = time.monotonic() - tally.began, time.process_time() - cpu
        memories = memory, process.memory_info().rss
    missing = len({run.spec.key for run in plan} - set(brief.store.keys()))
    return Found(
        runs,
        workers,
        taken,
        tally.first,
        cpu,
        memories,
        killed[0],
        len(tally.retried_runs),
        tuple(tally.wrong),
        missing,
    )
