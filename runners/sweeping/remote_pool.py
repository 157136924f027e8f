"""Workers that live elsewhere: each is looked at before its first run, and leaves between runs before its job ends."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from distributed import Client, Future

from runners.sweeping.job_queue import JobQueue
from runners.sweeping.pool import Loss, WorkersLost
from runners.sweeping.survey import Needs, Survey, mismatches, survey

LOOK_SECONDS = 0.5
QUIET = 4.0
"""Seconds without a sign of life after which a worker did not die but was frozen or cut off.

One that dies is missed at once. Signs come twice a second, and more rarely from hundreds of workers.
"""
WORKERS_PER_SECOND = 50
"""So many more workers make signs of life rarer by a second."""
GRACE = 15.0
"""Seconds in which a nanny replaces a worker that died; where none comes, its job or its machine is gone."""


class WorkersRefused(RuntimeError):
    """No worker fits the driver."""


@dataclass
class Seen:
    """A worker since it came."""

    address: str
    name: str
    nanny: str | None
    came: float
    sign: float = 0.0
    """Its last sign of life by the scheduler's clock."""
    heard: float = 0.0
    """When that sign was seen here."""
    gone: float | None = None
    """When it was first missed."""
    survey: Survey | None = None
    runs: int = 0
    """How many it was given."""
    leaving: bool = False
    """It was sent home."""
    reported: bool = False
    """The queue knows that it is gone."""

    def age(self) -> float:
        """Seconds since its job started."""
        return (self.survey.age if self.survey else 0.0) + time.monotonic() - self.came


@dataclass
class RemotePool:
    """The workers of a scheduler as a sweep sees them: those that were looked at and fit."""

    client: Client
    needs: Needs
    driver: Survey
    patience: float
    queue: JobQueue | None = None
    """What starts workers; None where others do."""
    lifetime: float | None = None
    """Age at which a worker takes no further run."""
    tell: Callable[[str], None] = print
    workers: dict[str, Seen] = field(default_factory=dict)
    """All that ever came, by place: address and own folder, since another process may come to the same address."""
    looks: dict[str, Future] = field(default_factory=dict)
    """Surveys under way, by place."""
    fit: set[str] = field(default_factory=set)
    refused: dict[str, list[str]] = field(default_factory=dict)
    looked: float = 0.0
    told: str = ""

    def tend(self, waiting: int, busy: Collection[str]) -> None:
        """See who came and who is gone, look at the new ones, and keep the queue filled.

        Raises:
            WorkersLost: the scheduler is gone.
            WorkersRefused: no worker fits; why, in one line.
        """
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self._see()
        self._admit()
        self._send_home_again()
        if self.queue is not None:
            self._report_ended(self.queue)
            said = self.queue.keep(waiting + len(busy))
            if said and not self.fit and not self.looks:
                raise WorkersLost(f"the batch system takes no job: {said}")
            if self.queue.exhausted and not self.fit and not self.looks:
                raise WorkersRefused(self._no_job_left())
            self._tell_once(f"the batch system takes no further job for now: {said}" if said else "")
            if not waiting:
                self._send_home(self.living() - set(busy))
        self.looked = time.monotonic()

    def _see(self) -> None:
        now = time.monotonic()
        there = self._identities()
        for place, seen in there.items():
            # A worker that closes is no more to be given anything, and will be gone.
            if place not in self.workers and seen["status"] == "running":
                self.workers[place] = Seen(seen["address"], str(seen["name"]), seen["nanny"], now)
                self.looks[place] = self.client.submit(
                    survey, self.needs, workers=[seen["address"]], allow_other_workers=False, pure=False
                )
        for place, worker in self.workers.items():
            if place in there:
                if there[place]["last_seen"] != worker.sign:
                    worker.sign, worker.heard = there[place]["last_seen"], now
            elif worker.gone is None:
                worker.gone = now
                self.fit.discard(place)
                self.looks.pop(place, None)

    def _identities(self) -> dict[str, Any]:
        """What the scheduler says of each worker, by place."""
        scheduler: Any = self.client.scheduler
        try:
            found: dict[str, Any] = self.client.sync(scheduler.identity, n_workers=-1)["workers"]
        except OSError as error:
            raise WorkersLost(f"the scheduler does not answer any more: {error}; run the command again") from error
        return {f"{address} {one['local_directory']}": {**one, "address": address} for address, one in found.items()}

    def _admit(self) -> None:
        for place in [place for place, look in self.looks.items() if look.done()]:
            look, worker = self.looks.pop(place), self.workers[place]
            error = look.exception()
            if error is None:
                worker.survey = look.result()
                worker.came = time.monotonic()
                wrong = mismatches(worker.survey, self.driver, self.needs.shared)
            else:
                wrong = [without_project(error)]
            if wrong:
                self._refuse(place, worker, wrong)
            else:
                self.fit.add(place)

    def _refuse(self, place: str, worker: Seen, wrong: list[str]) -> None:
        host = worker.survey.host if worker.survey else worker.address
        if wrong not in self.refused.values():
            for line in wrong:
                self.tell(f"worker on {host} is refused: {line}")
        self.refused[place] = wrong
        if self.queue is not None:
            self.queue.spoiled += 1
            self._retire(place)
        if not self.fit and not self.looks:
            raise WorkersRefused(f"no worker can be used; the first, on {host}: {'; '.join(wrong)}")

    def _no_job_left(self) -> str:
        first = "; ".join(next(iter(self.refused.values())))
        return f"every job has ended, and none follows, since workers were refused ({first}): mend that and run again"

    def _report_ended(self, queue: JobQueue) -> None:
        """Tell the queue, once of each, which workers are gone and were not replaced by a nanny."""
        now = time.monotonic()
        queue.ended -= {one.name for one in self.workers.values() if one.gone is None}
        for one in self.workers.values():
            grace = 0.0 if one.leaving else GRACE
            if not one.reported and one.gone is not None and now - one.gone > grace:
                one.reported = True
                if not any(other.name == one.name and other.gone is None for other in self.workers.values()):
                    queue.ended.add(one.name)

    def _send_home(self, idle: set[str]) -> None:
        """Idle workers for which no run waits any more; their jobs end."""
        assert self.queue is not None
        for place in sorted(idle):
            if self.queue.spare(len(self.fit)):
                self._retire(place)

    def _retire(self, place: str) -> None:
        self.fit.discard(place)
        self.workers[place].leaving = True
        self.client.retire_workers([self.workers[place].address])

    def _send_home_again(self) -> None:
        """A scheduler keeps a worker that holds the only copy of something until it can be had elsewhere."""
        if staying := [one.address for one in self.workers.values() if one.leaving and one.gone is None]:
            self.client.retire_workers(staying)

    def _tell_once(self, said: str) -> None:
        if said and said != self.told:
            self.tell(said)
        self.told = said

    def living(self) -> set[str]:
        """Places of the workers that were looked at and are there."""
        return set(self.fit)

    def address(self, place: str) -> str:
        """Where this worker listens."""
        return self.workers[place].address

    def takes(self, place: str, seconds: float) -> bool:
        """Whether a run of this length ends before the worker's lifetime does; the first one is always taken.

        A worker that is too old for the next run is retired: it leaves between runs.
        """
        worker = self.workers[place]
        if self.lifetime is not None and worker.runs and worker.age() + seconds > self.lifetime:
            self._retire(place)
            return False
        worker.runs += 1
        return True

    def loss(self, place: str) -> Loss | None:
        """Its own death where its nanny has started another process since; else its job ended, after a grace.

        A worker that was silent before it was missed has not died: it was frozen, or its network is gone.
        """
        worker = self.workers[place]
        if worker.gone is None:  # The scheduler has told of the loss before it was seen here.
            worker.gone = time.monotonic()
            self.fit.discard(place)
        quiet = QUIET + len(self.fit) / WORKERS_PER_SECOND
        if worker.nanny is None or worker.gone - worker.heard > quiet:
            return Loss.JOB
        if any(one.nanny == worker.nanny and one.came > worker.came for one in self.workers.values()):
            return Loss.OWN
        return Loss.JOB if time.monotonic() - worker.gone > GRACE else None


def without_project(error: BaseException) -> str:
    """Why a worker could not be looked at, mostly because it does not find the project."""
    if isinstance(error, ImportError):
        return f"{error}: start it with the driver's environment, and PYTHONPATH set to the project's folder there"
    return f"it cannot be looked at: {' '.join(f'{type(error).__name__}: {error}'.split())}"
