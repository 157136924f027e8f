"""Records that travel: a worker that sees no folder of the driver's returns them, and the driver writes them."""

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
    """Does runs as a Worker does, and returns their records; travels to the worker processes."""

    worker: Worker
    shared: bool
    """The folder of records is the worker's too, which writes there as well: what is done outlives the driver."""

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
