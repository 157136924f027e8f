"""Workers on other machines: each is surveyed before its first run, and leaves between runs before its job ends."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from distributed import Client

from runners.sweeping.job_queue import JobQueue
from runners.sweeping.parcels import ParcelError
from runners.sweeping.pool import Loss, WorkersLost
from runners.sweeping.shipping import LEFT, Courier, Look
from runners.sweeping.survey import Needs, Survey, mismatches

LOOK_SECONDS = 0.5
QUIET = 4.0
"""Seconds without a heartbeat after which a worker must have been frozen or cut off.

A worker that dies is missed at once. Heartbeats come twice a second, and less often from hundreds of workers.
"""
WORKERS_PER_SECOND = 50
"""This many more workers make the interval of heartbeats a second longer."""
GRACE = 15.0
"""Seconds in which a nanny replaces a worker that died; if it does not, the job or the machine is gone."""
MOST_EARLY_ENDS = 3
"""Jobs in a row that end before their workers arrive; if there is no worker either, others would fare no better."""


class WorkersRefused(RuntimeError):
    """No worker matches the driver."""


@dataclass
class KnownWorker:
    """What is known of a worker since it arrived."""

    address: str
    name: str
    nanny: str | None
    came: float
    sign: float = 0.0
    """Its last heartbeat, by the scheduler's clock."""
    heard: float = 0.0
    """When that heartbeat was seen here, by the local clock."""
    gone: float | None = None
    """When it was first missed."""
    survey: Survey | None = None
    runs: int = 0
    """Number of runs it was given."""
    leaving: bool = False
    """It was retired."""
    reported: bool = False
    """The queue was told that it is gone."""

    def age(self) -> float:
        """Seconds since its job started."""
        return (self.survey.age if self.survey else 0.0) + time.monotonic() - self.came


@dataclass
class RemotePool:
    """The workers of a scheduler as a sweep sees them: those that were surveyed and match the driver."""

    client: Client
    needs: Needs
    driver: Survey
    patience: float
    queue: JobQueue | None = None
    """Starts workers; None if others start them."""
    lifetime: float | None = None
    """Age at which a worker takes no further run."""
    tell: Callable[[str], None] = print
    staffed: Callable[[str], None] = lambda words: None
    """Receives, in words, how many jobs or workers there are now."""
    workers: dict[str, KnownWorker] = field(default_factory=dict)
    """All that ever arrived, by place: address and local folder, as a later process may have the same address."""
    looks: dict[str, Look] = field(default_factory=dict)
    """Surveys in progress, by place."""
    fit: set[str] = field(default_factory=set)
    refused: dict[str, list[str]] = field(default_factory=dict)
    looked: float = 0.0
    last_message: str = ""
    courier: Courier | None = None
    """Surveys workers; default: one that brings them nothing."""

    def tend(self, waiting: int, busy: Collection[str]) -> None:
        """Note arrivals and losses, survey new workers, and keep the queue filled.

        Raises:
            WorkersLost: the scheduler is gone.
            WorkersRefused: no worker matches the driver; why, in one line.
        """
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self._update()
        self._admit()
        self._retire_again()
        if self.queue is not None:
            self._report_ended(self.queue)
            self._report_early(self.queue)
            refusal = self.queue.keep(waiting + len(busy))
            if refusal and not self.fit and not self.looks:
                raise WorkersLost(f"the batch system accepts no job: {refusal}")
            if self.queue.exhausted and not self.fit and not self.looks:
                raise WorkersRefused(self._no_job_left())
            self._tell_once(f"the batch system accepts no further job for now: {refusal}" if refusal else "")
            if not waiting:
                self._retire_idle(self.living() - set(busy))
        self.staffed(self._workforce())
        self.looked = time.monotonic()

    def _update(self) -> None:
        now = time.monotonic()
        identities = self._identities()
        for place, identity in identities.items():
            # A worker that is closing takes no more tasks and will soon be gone.
            if place not in self.workers and identity["status"] == "running":
                self.workers[place] = KnownWorker(identity["address"], str(identity["name"]), identity["nanny"], now)
                self.looks[place] = self._courier().look(identity["address"])
                if self.queue is not None:
                    self.queue.early = 0
        for place, worker in self.workers.items():
            if place in identities:
                if identities[place]["last_seen"] != worker.sign:
                    worker.sign, worker.heard = identities[place]["last_seen"], now
            elif worker.gone is None:
                worker.gone = now
                self.fit.discard(place)
                if look := self.looks.pop(place, None):
                    look.release()

    def _courier(self) -> Courier:
        self.courier = self.courier or Courier(self.client, self.needs, self.driver)
        return self.courier

    def _identities(self) -> dict[str, Any]:
        """The scheduler's description of each worker, by place."""
        scheduler: Any = self.client.scheduler
        try:
            workers: dict[str, Any] = self.client.sync(scheduler.identity, n_workers=-1)["workers"]
        except OSError as error:
            raise WorkersLost(f"the scheduler no longer answers: {error}; run the command again") from error
        return {f"{address} {one['local_directory']}": {**one, "address": address} for address, one in workers.items()}

    def _admit(self) -> None:
        for place in [place for place, look in self.looks.items() if look.done()]:
            look, worker = self.looks.pop(place), self.workers[place]
            error = look.exception()
            if isinstance(error, LEFT):  # If it is really gone, the next look at the scheduler's workers will say so.
                look.release()
                self.looks[place] = self._courier().look(worker.address)
                continue
            if error is None:
                worker.survey = look.result()
                worker.came = time.monotonic()
                wrong = mismatches(worker.survey, self.driver, self.needs.shared)
            else:
                wrong = [without_project(error)]
            look.release()
            if wrong:
                self._refuse(place, worker, wrong)
                if not self.fit and not self.looks:
                    host = self._host(worker)
                    raise WorkersRefused(f"no worker can be used; the first, on {host}: {'; '.join(wrong)}")
            else:
                self.fit.add(place)

    def _refuse(self, place: str, worker: KnownWorker, wrong: list[str]) -> None:
        if wrong not in self.refused.values():
            for line in wrong:
                self.tell(f"worker on {self._host(worker)} is refused: {line}")
        self.refused[place] = wrong
        if self.queue is not None:
            self.queue.refused += 1
            self._retire(place)

    @staticmethod
    def _host(worker: KnownWorker) -> str:
        return worker.survey.host if worker.survey else worker.address

    def _no_job_left(self) -> str:
        first = "; ".join(next(iter(self.refused.values())))
        return f"every job has ended and no more are started, as workers were refused ({first}): fix that and run again"

    def _report_ended(self, queue: JobQueue) -> None:
        """Report to the queue, once each, the workers that are gone and were not replaced by a nanny."""
        now = time.monotonic()
        queue.ended -= {one.name for one in self.workers.values() if one.gone is None}
        for one in self.workers.values():
            grace = 0.0 if one.leaving else GRACE
            if not one.reported and one.gone is not None and now - one.gone > grace:
                one.reported = True
                if not any(other.name == one.name and other.gone is None for other in self.workers.values()):
                    queue.ended.add(one.name)

    def _report_early(self, queue: JobQueue) -> None:
        """Tell of jobs that ended before their workers arrived, and give up if none arrives at all.

        Raises:
            WorkersLost: there are no workers, and several jobs in a row ended early.
        """
        lines = queue.early_ends(self._present())
        if lines and queue.early >= MOST_EARLY_ENDS and not self.fit and not self.looks:
            raise WorkersLost(f"no worker arrives: {queue.early} jobs ended too early; {lines[-1]}")
        for line in lines:
            self.tell(line)

    def _present(self) -> set[str]:
        """Names of the workers that arrived, but for those that are known to be gone for good."""
        return {worker.name for worker in self.workers.values() if not worker.reported}

    def _workforce(self) -> str:
        """How many jobs or, without a queue, workers there are now."""
        if self.queue is None:
            return f"workers: {len(self.fit)}"
        running, queued = self.queue.running_and_queued(self._present())
        return f"jobs: {running} running, {queued} queued or starting"

    def _retire_idle(self, idle: set[str]) -> None:
        """Retire idle workers for which no run is waiting; their jobs end."""
        assert self.queue is not None
        for place in sorted(idle):
            if self.queue.spare(len(self.fit)):
                self._retire(place)

    def _retire(self, place: str) -> None:
        self.fit.discard(place)
        self.workers[place].leaving = True
        self.client.retire_workers([self.workers[place].address])

    def _retire_again(self) -> None:
        """Repeat the request to leave: a scheduler keeps a worker as long as it holds the only copy of some data."""
        if staying := [one.address for one in self.workers.values() if one.leaving and one.gone is None]:
            self.client.retire_workers(staying)

    def _tell_once(self, message: str) -> None:
        if message and message != self.last_message:
            self.tell(message)
        self.last_message = message

    def living(self) -> set[str]:
        """Places of the workers that match the driver and are not gone."""
        return set(self.fit)

    def expecting(self) -> bool:
        """Whether workers are being surveyed, or equipped before that."""
        return bool(self.looks)

    def equip_again(self, place: str) -> None:
        """Bring a worker what it lacks; until then it is given no run."""
        worker = self.workers[place]
        if worker.gone is None and place in self.fit:
            host = self._host(worker)
            self.tell(f"worker on {host}: its copies of your files were removed or changed; it gets them again")
            self.fit.discard(place)
            self.looks[place] = self._courier().look(worker.address)

    def address(self, place: str) -> str:
        """Where this worker listens."""
        return self.workers[place].address

    def worker(self, place: str) -> str:
        """The address of its nanny, which also starts the processes that replace it."""
        return self.workers[place].nanny or place

    def give_up(self, place: str, reason: str) -> None:
        """Refuse a worker after all; its job is not replaced.

        Raises:
            WorkersLost: there is no other worker, and no job that could bring one.
        """
        self.fit.discard(place)
        self._refuse(place, self.workers[place], [reason])
        if self.queue is None and not self.fit and not self.looks:
            host = self._host(self.workers[place])
            raise WorkersLost(f"no worker is left; the last, on {host}: {reason}; remove the cause and run again")

    def takes(self, place: str, seconds: float) -> bool:
        """Whether a run of this many seconds fits into the worker's lifetime; the first run always does.

        A worker that is too old for the next run is retired, so that it leaves between runs.
        """
        worker = self.workers[place]
        if self.lifetime is not None and worker.runs and worker.age() + seconds > self.lifetime:
            self._retire(place)
            return False
        worker.runs += 1
        return True

    def loss(self, place: str) -> Loss | None:
        """OWN if its nanny has since started another process; otherwise JOB, after a grace period.

        A worker without heartbeats before it was missed has not died: it was frozen, or its network is down.
        """
        worker = self.workers[place]
        if worker.gone is None:  # The scheduler reported the loss before it was noticed here.
            worker.gone = time.monotonic()
            self.fit.discard(place)
        quiet = QUIET + len(self.fit) / WORKERS_PER_SECOND
        if worker.nanny is None or worker.gone - worker.heard > quiet:
            return Loss.JOB
        if any(one.nanny == worker.nanny and one.came > worker.came for one in self.workers.values()):
            return Loss.OWN
        return Loss.JOB if time.monotonic() - worker.gone > GRACE else None


def without_project(error: BaseException) -> str:
    """Why a worker could not be surveyed; usually it does not find the project."""
    if isinstance(error, ImportError):
        return f"{error}: start it with the driver's environment, and PYTHONPATH set to the project's folder there"
    if isinstance(error, ParcelError):
        return str(error)
    return f"it cannot be surveyed: {' '.join(f'{type(error).__name__}: {error}'.split())}"
