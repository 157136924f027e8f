"""Records that travel: a worker that does not see the driver's folder returns them, and the driver writes them."""

from dataclasses import dataclass
from typing import Any

import numpy

from runners.planning.job import Job
from runners.sweeping.jobs import Outcome
from runners.sweeping.worker import Worker


@dataclass(frozen=True)
class Delivery:
    """What a run left behind."""

    record: dict[str, Any]
    arrays: dict[str, numpy.ndarray]


@dataclass(frozen=True)
class Deliverer:
    """Does runs like a Worker, but returns their records; is sent to the worker processes."""

    worker: Worker
    shared: bool
    """The worker sees the folder of records and writes there as well, so that its work outlives the driver."""

    def __call__(self, run: Job) -> Delivery:
        """Do a run."""
        record, arrays = self.worker.done(run)
        if self.shared:
            self.worker.store.put(record, arrays)
        return Delivery(record, arrays)

    def receive(self, delivery: Delivery) -> Outcome:
        """Write, in the driver, what a worker returned."""
        self.worker.store.put(delivery.record, delivery.arrays)
        return Outcome.of(delivery.record)
