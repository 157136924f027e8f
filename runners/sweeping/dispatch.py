"""Hands runs to the workers of a pool, one at a time each, and settles how each run ended."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from distributed import Future, KilledWorker, wait
from distributed.client import FutureCancelledError

from amix.specs.store import ACCIDENT, GOOD, Store
from runners.planning.job import Job
from runners.sweeping import interrupts
from runners.sweeping.accidents import Accidents, in_words
from runners.sweeping.flight import Flight
from runners.sweeping.gpu_sharing import GpuSharing
from runners.sweeping.jobs import Abandon, Listener, NotEquipped, Outcome, Perform, Receive
from runners.sweeping.pool import Loss, Pool, WorkersLost

POLL_SECONDS = 0.25
LONGEST_DELIVERY = 5.0
"""Seconds for which all else waits for the result of a finished run; if that is not enough, it is asked for again."""
MOST_ATTEMPTS = 3
"""A run whose worker died is tried again: the cause may have been another one (memory, an administrator)."""
MOST_JOBS = 5
"""Jobs that may end, and workers that may be at fault, before a run is done; more would not help."""
DIED = f"its worker process died {MOST_ATTEMPTS} times, the last time without a Python error"
OUTLIVED = (
    f"{MOST_JOBS} jobs or machines ended before it was done: it needs a longer walltime, or jobs that are not preempted"
)
VANISHED = f"{MOST_JOBS} times its worker's copies of your files were gone: see what removes them from its cache folder"


def as_is(outcome: Any) -> Outcome:
    """The result of a worker that writes records itself."""
    assert isinstance(outcome, Outcome)
    return outcome


@dataclass
class Sweep:
    """Runs on a pool: each is bound to a worker that is free, so that none waits for a worker that may die."""

    pool: Pool
    perform: Perform
    abandon: Abandon
    store: Store
    listener: Listener
    receive: Receive = as_is
    expected: Mapping[str, float] = field(default_factory=dict)
    """Expected seconds of a run, by its key."""
    sharing: GpuSharing | None = None
    """Which runs may share a GPU; None: every free worker gets one."""
    waiting: list[Flight] = field(default_factory=list)
    in_flight: dict[Future, Flight] = field(default_factory=dict)
    lost: list[Flight] = field(default_factory=list)
    """Runs whose workers are gone for a reason that is not known yet."""
    written_before: dict[str, int] = field(default_factory=dict)
    foreseen: float = 0.0
    """Expected seconds of the runs that this sweep has done."""
    took: float = 0.0
    """Their real seconds, from when they were given to a worker."""
    accidents: Accidents = field(default_factory=lambda: Accidents(1, 1))

    def carry_out(self, runs: list[Job]) -> None:
        """Keep every living worker busy until all runs have their record; runs start in the order given."""
        self.waiting = [Flight(run) for run in runs]
        # A failed run that is tried again has a record already; only a newer one says how it went this time.
        self.written_before = {run.spec.key: self._written(run) for run in runs}
        self.accidents = Accidents(len({run.label for run in runs}), len({run.spec.task for run in runs}))
        last_seen = time.monotonic()
        while self.waiting or self.in_flight or self.lost:
            interrupts.check()
            self.pool.tend(len(self.waiting) + len(self.lost), self._busy())
            living = self.pool.living()
            last_seen = time.monotonic() if living or self.pool.expecting() else last_seen
            if time.monotonic() - last_seen > self.pool.patience:
                raise WorkersLost(f"no worker process has lived for {self.pool.patience:.0f} s; run the command again")
            self._launch(living)
            self._collect()
            self._give_up_on_the_gone()
            self._judge()
        for flight, outcome in self.accidents.all_settled():
            self.listener.finished(flight.run, outcome)

    def _busy(self) -> set[str]:
        return {flight.place for flight in self.in_flight.values()}

    def _running(self) -> dict[str, Job]:
        return {flight.place: flight.run for flight in (*self.in_flight.values(), *self.lost)}

    def _launch(self, living: set[str]) -> None:
        free = living - self._busy()
        if self.sharing:
            self.sharing.only(living | self._running().keys())
        for place in self.sharing.in_order(free) if self.sharing else sorted(free):
            if not self.waiting:
                return
            if self.sharing and not self.sharing.admits(place, self.waiting[0].run, self._running()):
                continue
            if not self.pool.takes(place, self._seconds(self.waiting[0].run)):
                continue
            flight = replace(self.waiting.pop(0), place=place, began=time.monotonic())
            future = self.pool.client.submit(
                self.perform, flight.run, key=flight.key, pure=False,
                workers=[self.pool.address(place)], allow_other_workers=False,
            )  # fmt: skip
            self.in_flight[future] = flight
            if self.sharing:
                self.sharing.started(place)
            self.listener.started(flight.run)

    def _seconds(self, run: Job) -> float:
        """Expected seconds of a run at the pace of this sweep's workers; the driver may be faster or slower."""
        return self.expected.get(run.spec.key, 0.0) * (self.took / self.foreseen if self.foreseen else 1.0)

    def _collect(self) -> None:
        if not self.in_flight:
            time.sleep(POLL_SECONDS)
            return
        with contextlib.suppress(TimeoutError, FutureCancelledError):
            wait(list(self.in_flight), timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
        for future in [future for future in self.in_flight if future.done()]:
            self._settle(future, self.in_flight.pop(future))

    def _give_up_on_the_gone(self) -> None:
        """Cancel runs on workers that are gone: a task that is bound to a worker would wait for it forever."""
        living = self.pool.living()
        for future in [future for future, flight in self.in_flight.items() if flight.place not in living]:
            self.lost.append(self.in_flight.pop(future))
            future.cancel()
            future.release()

    def _settle(self, future: Future, flight: Flight) -> None:
        try:
            error = future.exception(timeout=LONGEST_DELIVERY)
            result = None if error else future.result(timeout=LONGEST_DELIVERY)
        except TimeoutError:
            self.in_flight[future] = flight  # If its worker died before sending it, the run is given up on with it.
            return
        future.release()  # A worker that is to leave stays as long as somebody may want a result that it holds.
        if error is None:
            outcome = self.receive(result)
            if self.sharing:
                self.sharing.note(flight.run, outcome)
            self._finish(flight, outcome)
        elif isinstance(error, KilledWorker | FutureCancelledError):
            self.lost.append(flight)
        elif isinstance(error, NotEquipped):
            self.pool.equip_again(flight.place)
            self._give_back(flight, VANISHED)
        else:
            self._charge(flight, f"{type(error).__name__}: {error}")

    def _finish(self, flight: Flight, outcome: Outcome) -> None:
        """Report how a run ended; an accident is kept back until its worker has shown that it can do others."""
        worker = self.pool.worker(flight.place)
        if outcome.status == ACCIDENT:
            self.accidents.add(worker, flight, outcome)
            if self.accidents.suspected(worker):
                self._give_up_on_worker(flight.place, worker)
            return
        if outcome.status in GOOD:
            self.foreseen += self.expected.get(flight.run.spec.key, 0.0)
            self.took += time.monotonic() - flight.began
            for earlier, its_outcome in self.accidents.settled(worker):
                self.listener.finished(earlier.run, its_outcome)
        self.listener.finished(flight.run, outcome)

    def _give_up_on_worker(self, place: str, worker: str) -> None:
        """Give no more runs to a worker that is at fault; those that had accidents there are for others."""
        accidents = self.accidents.settled(worker)
        for flight, outcome in reversed(accidents):
            if flight.jobs_ended + 1 >= MOST_JOBS:
                self.listener.finished(flight.run, outcome)
            else:
                self.listener.given_back(flight.run)
                self.waiting.insert(0, replace(flight, jobs_ended=flight.jobs_ended + 1))
        self.pool.give_up(place, in_words(accidents))

    def _judge(self) -> None:
        """Find out why workers are gone, and whether that counts as an attempt of their runs."""
        undecided = []
        for flight in self.lost:
            match self.pool.loss(flight.place):
                case None:
                    undecided.append(flight)
                case loss:
                    self._charge(flight, DIED) if loss is Loss.OWN else self._give_back(flight)
        self.lost = undecided

    def _give_back(self, flight: Flight, reason: str = OUTLIVED) -> None:
        if self._recorded(flight.run):
            return
        if flight.jobs_ended + 1 >= MOST_JOBS:
            self.listener.finished(flight.run, self.abandon(flight.run, reason))
            return
        self.listener.given_back(flight.run)
        self.waiting.insert(0, replace(flight, jobs_ended=flight.jobs_ended + 1))

    def _charge(self, flight: Flight, reason: str) -> None:
        if self._recorded(flight.run):
            return
        if flight.attempt >= MOST_ATTEMPTS:
            self.listener.finished(flight.run, self.abandon(flight.run, reason))
            return
        self.listener.retried(flight.run)
        self.waiting.insert(0, replace(flight, attempt=flight.attempt + 1))

    def _recorded(self, run: Job) -> bool:
        """Whether the worker died after writing the record but before reporting it; only the record counts."""
        if self._written(run) == self.written_before[run.spec.key] or not self.store.finished(run.spec.key):
            return False
        record = self.store.get(run.spec.key)
        assert record is not None
        self.listener.finished(run, Outcome(record["status"]))
        return True

    def _written(self, run: Job) -> int:
        """When the run's record was written, in nanoseconds; 0 if there is none."""
        path = self.store.path(run.spec.key)
        return path.stat().st_mtime_ns if path.exists() else 0
