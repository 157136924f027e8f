"""What a worker does with a run: train, score, write the record or return it. torch is imported in the worker only."""

import multiprocessing
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from amix.runs.context import RunContext
from amix.specs.encoder_files import public_name
from amix.specs.encoders import Encoder
from amix.specs.launch import rank
from amix.specs.store import GOOD, Store
from runners.planning.job import Job
from runners.sweeping.jobs import NotEquipped, Outcome
from runners.sweeping.parcels import Parcel, found_here, lacks, note_use

if TYPE_CHECKING:
    from amix.runs.scoring import Arrays, Record
    from runners.planning.plan import SuitePlan


_useless = threading.Event()
"""Whether the GPU no longer responds to this process."""


@dataclass(frozen=True)
class Worker:
    """Does runs of one suite and puts their records into its store; is sent to the worker processes."""

    store: Store
    context: RunContext
    """The context of all its runs, without their labels."""
    parcels: tuple[Parcel, ...] = ()
    """Copies of the driver's files that are used in their place."""

    @classmethod
    def of(
        cls, plan: "SuitePlan", store: Store, command: str, glue: Path | None, out_of_domain: Path | None = None
    ) -> "Worker":
        """The worker for a plan; every path is made absolute, because processes may have another working directory."""
        suite = plan.suite
        context = RunContext(
            suite=suite.name,
            command=command,
            glue=str(glue.resolve()) if glue else None,
            encoder=_as_loaded(suite.encoder),
            task_files=suite.task_files,
            plugins=tuple(str(Path(path).resolve()) for path in plan.external),
            dev_only=suite.protocol.split == "dev",
            selection=suite.protocol.selection,
            out_of_domain=suite.out_of_domain,
            out_of_domain_folder=str(out_of_domain.resolve()) if out_of_domain else None,
        )
        return cls(Store(store.folder.resolve()), context)

    def __call__(self, run: Job) -> Outcome:
        """Do a run and write its record."""
        record, arrays = self.done(run)
        if rank() == 0:
            self.store.put(record, arrays)
        return Outcome.of(record, left_gpu())

    def done(self, run: Job) -> "tuple[Record, Arrays]":
        """Do a run on one thread, so that its sums do not depend on the machine or on other processes.

        Raises:
            NotEquipped: it ended without a model, and copies of the driver's files are gone from this machine.
        """
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import torch

        from amix.runs.execute import ExportError, execute

        end_if_useless()
        note_use(self.parcels)
        context = replace(found_here(self.context, self.parcels), label=run.label)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            record, arrays = execute(run.spec, context)
        except ExportError as error:
            self.store.put(*error.outcome)
            raise
        finally:
            torch.set_num_threads(threads)
        if record["status"] not in GOOD and any(map(lacks, self.parcels)):
            raise NotEquipped(record["error"]["message"])
        return record, arrays

    def abandon(self, run: Job, reason: str) -> Outcome:
        """Write the record of a run whose worker processes died."""
        from amix.runs.execute import accident_record

        record = accident_record(run.spec, replace(self.context, label=run.label), "WorkerDied", reason)
        self.store.put(record)
        return Outcome(record["status"], reason)


@dataclass(frozen=True)
class Delivery:
    """What a run left behind."""

    record: dict[str, Any]
    arrays: dict[str, numpy.ndarray]
    gpu_bytes: int = 0


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
        return Delivery(record, arrays, left_gpu())

    def receive(self, delivery: Delivery) -> Outcome:
        """Write, in the driver, what a worker returned, unless the worker wrote it where the driver sees it."""
        if not (self.shared and self.worker.store.holds(delivery.record, delivery.arrays)):
            self.worker.store.put(delivery.record, delivery.arrays)
        return Outcome.of(delivery.record, delivery.gpu_bytes)


def left_gpu() -> int:
    """Leave the memory that the last run took to other processes on the GPU; returns its peak in bytes.

    If that is impossible, the GPU no longer responds to this process, which must not do another run.
    """
    from amix.training.cost import leave_gpu

    most = leave_gpu()
    if most is None:
        _useless.set()
    return most or 0


def end_if_useless() -> None:
    """End a worker's process that its GPU fails for good; its nanny starts another one, which tries the run again."""
    if _useless.is_set() and multiprocessing.parent_process() is not None:
        os._exit(1)


def _as_loaded(encoder: str | Encoder) -> str | Encoder | None:
    """What a worker loads if the name in the spec is not enough: a suite's own encoder, or a folder's full path."""
    if isinstance(encoder, Encoder):
        return encoder
    return None if public_name(encoder) == encoder else str(Path(encoder).resolve())
