"""What a worker does with a planned run: train, score, write the record. torch is imported in the worker only."""

import os
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from amix.specs.encoder_files import public_name
from amix.specs.encoders import Encoder
from amix.specs.launch import rank
from amix.specs.store import Store
from runners.planning.planned_run import PlannedRun
from runners.sweeping.jobs import Outcome

if TYPE_CHECKING:
    from amix.runs.context import Context
    from runners.planning.plan import Plan


@dataclass(frozen=True)
class Performer:
    """Does runs of one suite and puts their records into its store; travels to the workers.

    glue, out_of_domain_folder, encoder and task_files say where data and model lie on this machine; external names
    methods from outside the project; out_of_domain names further sets to be scored; selection is the protocol's rule,
    by which test scores are made; export is a folder for the finished model; executor does a run's stages in other
    processes (a Performer that has one stays in this process). None of them is part of a run's key.
    """

    store: Store
    suite: str
    command: str
    glue: str | None = None
    encoder: str | Encoder | None = None
    task_files: dict[str, str] = field(default_factory=dict)
    external: tuple[str, ...] = ()
    export: str | None = None
    dev_only: bool = False
    selection: str = "last"
    out_of_domain: tuple[str, ...] = ()
    out_of_domain_folder: str | None = None
    executor: Executor | None = None

    @classmethod
    def of(
        cls, plan: "Plan", store: Store, command: str, glue: Path | None, out_of_domain: Path | None = None
    ) -> "Performer":
        """For this plan; every path is made absolute, because workers may stand in another folder."""
        encoder = plan.suite.encoder
        return cls(
            store=Store(store.folder.resolve()),
            suite=plan.suite.name,
            command=command,
            glue=str(glue.resolve()) if glue else None,
            encoder=_as_loaded(encoder),
            task_files=plan.suite.task_files,
            external=tuple(str(Path(path).resolve()) for path in plan.external),
            dev_only=plan.suite.protocol.split == "dev",
            selection=plan.suite.protocol.selection,
            out_of_domain=plan.suite.out_of_domain,
            out_of_domain_folder=str(out_of_domain.resolve()) if out_of_domain else None,
        )

    def __call__(self, run: PlannedRun) -> Outcome:
        """Do a run on one thread, so that its sums are the same wherever and beside whatever it runs."""
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import torch

        from amix.runs.execute import ExportError, execute

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            record, arrays = execute(run.spec, self.context(run))
        except ExportError as error:
            self.store.put(*error.outcome)
            raise
        finally:
            torch.set_num_threads(threads)
        if rank() == 0:
            self.store.put(record, arrays)
        return Outcome(record["status"], (record["error"] or {}).get("message", ""))

    def abandon(self, run: PlannedRun, reason: str) -> Outcome:
        """Write the record of a run whose workers died."""
        from amix.runs.execute import accident_record

        record = accident_record(run.spec, self.context(run), "WorkerDied", reason)
        self.store.put(record)
        return Outcome(record["status"], reason)

    def context(self, run: PlannedRun) -> "Context":
        """What the run needs to know that does not decide its scores."""
        from amix.runs.context import Context

        return Context(
            suite=self.suite,
            label=run.label,
            command=self.command,
            glue=self.glue,
            encoder=self.encoder,
            task_file=self.task_files.get(run.spec.task),
            plugins=self.external,
            export=self.export,
            dev_only=self.dev_only,
            selection=self.selection,
            out_of_domain=self.out_of_domain,
            out_of_domain_folder=self.out_of_domain_folder,
            executor=self.executor,
        )


def _as_loaded(encoder: str | Encoder) -> str | Encoder | None:
    """What a worker loads where the name in the run's spec does not tell: a suite's own encoder, or a whole path."""
    if isinstance(encoder, Encoder):
        return encoder
    return None if public_name(encoder) == encoder else str(Path(encoder).resolve())
