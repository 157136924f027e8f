"""Runs on the units: planned, timed, carried out and read back, with the machinery of suites."""

import dataclasses
import time
import typing
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
import yaml
from numpy.typing import NDArray

from amix.specs.protocol import Protocol
from amix.specs.store import ACCIDENT, FINISHED, Store
from amix.specs.task import Task
from amix.specs.wording import counted
from results.loading.archive import stored_records
from results.loading.layout import Layout
from runners.own_data.folds import Unit
from runners.own_data.request import CompareError, Request
from runners.planning.job import Job
from runners.planning.plan import EXAMPLES_OF_A_TEST_SPLIT, FORWARD_SHARE, SuitePlan, make_plan
from runners.planning.suite import Row, Suite, method_rows
from runners.sweeping.alone import alone_in
from runners.sweeping.failures import StopWhenAllFail, causes
from runners.sweeping.jobs import Listener
from runners.sweeping.place import Place, carry_out_at, place_of
from runners.sweeping.todo import Todo, finished_runs, todo
from runners.sweeping.worker import Worker

SUITE = "compare"
ROWS_FILE = Path(__file__).with_name("rows.yaml")
MAJORITY, MEAN = "majority class", "mean of the labels"
"""Labels of the row that gives every text the same answer."""
ALWAYS = ("majority", MAJORITY, MEAN)
"""Names under which people ask for this row, which every comparison has."""
PASSES_TIMED = 3
OVERHEAD = 1.0
"""Seconds of a run besides its passes: reading data, loading the model, writing the record."""


class Watcher(Listener, typing.Protocol):
    """Shows the progress of runs."""

    def staffed(self, workforce: str) -> None:
        """Jobs or workers of a cluster have come or gone; workforce: how many there are, in words."""


ShowProgress = Callable[[Todo, int], AbstractContextManager[Watcher]]
"""Makes the listener that shows the progress of this work with this many workers."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one run.

    Attributes:
        scores: by metric; the majority class's if the run failed or diverged, None where undefined.
        logits: (test rows, outputs); None if there is no model.
        predictions: (test rows,) class ids or numbers; None if there is no model.
        seconds: total time of the run.
        status: ok, failed or diverged.
        majority: scores of the majority class on the same rows.
    """

    scores: dict[str, float | None]
    logits: NDArray[numpy.float32] | None
    predictions: NDArray[Any] | None
    seconds: float
    status: str
    majority: dict[str, float | None]


def default_rows() -> tuple[tuple[Row, ...], str]:
    """The rows of ROWS_FILE, and the label of the row that leaves the encoder unchanged."""
    content = yaml.safe_load(ROWS_FILE.read_text(encoding="utf-8"))
    return method_rows(content["methods"]), str(content["frozen"])


def rows_of(methods: str) -> tuple[Row, ...]:
    """The rows that --methods asks for: the default ones if it is empty, in addition to them if it begins with +.

    Raises:
        CompareError: it names no row that is trained.
    """
    given = [name.strip() for name in methods.removeprefix("+").split(",") if name.strip()]
    trained = [name for name in given if name not in ALWAYS]
    added = method_rows(trained) if trained else ()
    if given and not methods.startswith("+"):
        if not added:
            raise CompareError(f"--methods {methods}: every comparison has this row; name one that is trained")
        return added
    return tuple({row.label: row for row in (*default_rows()[0], *added)}.values())


@dataclass(frozen=True)
class Engine:
    """Plans and does runs for one request."""

    request: Request
    rows: tuple[Row, ...]
    show_progress: ShowProgress
    say: Callable[[str], None]

    @property
    def layout(self) -> Layout:
        """Where plans and records are."""
        return Layout(self.request.out / "work")

    @property
    def training(self) -> dict[str, Any]:
        """What is changed in the encoder's recipe."""
        return {"max_length": self.request.max_length} if self.request.max_length else {}

    @property
    def store(self) -> Store:
        """The store of the records."""
        return Store(self.layout.records / SUITE)

    @cached_property
    def place(self) -> Place:
        """Where runs are done.

        Raises:
            ClusterError: the cluster's file is wrong.
        """
        return place_of(self.request.workers, self.request.cluster)

    @property
    def workers(self) -> int:
        """How many runs are in progress at a time, as far as that is known."""
        return self.place.workers

    def plan(self, units: Sequence[Unit], labels: Sequence[str], sizes: Sequence[int | None] = (None,)) -> SuitePlan:
        """The runs of these rows on these units, at these training sizes (None: all rows of the unit).

        Raises:
            SuiteError: a method is unknown.
            CompareError: none of the rows is defined for this kind of label.
        """
        rows = tuple(row for row in self.rows if row.label in labels)
        plans = [self._timed(unit, make_plan(self._suite(unit, rows, sizes)), rows) for unit in units]
        first = plans[0]
        runs = tuple(run for plan in plans for run in plan.runs)
        if not runs:
            raise CompareError(f"{', '.join(labels)}: not defined for numbers as labels; name others with --methods")
        tasks = {unit.task.name: (unit.task, str(unit.file)) for unit in units}
        whole = dataclasses.replace(
            first.suite,
            tasks=tuple(task for task, _ in tasks.values()),
            seeds=tuple(dict.fromkeys(unit.seed for unit in units)),
            task_files={name: file for name, (_, file) in tasks.items()},
        )
        return SuitePlan(whole, runs, first.methods)

    def _timed(self, unit: Unit, plan: SuitePlan, rows: tuple[Row, ...]) -> SuitePlan:
        """The plan with the true work of its runs: a plan does not know how many rows a unit has to train and test."""
        twin = make_plan(self._suite(unit, rows, (unit.train_rows,)))
        work = {run.label: run.work for run in twin.runs}
        spared = FORWARD_SHARE * (EXAMPLES_OF_A_TEST_SPLIT - unit.test_rows)
        runs = tuple(
            dataclasses.replace(run, work=(work[run.label] if run.spec.n_train is None else run.work) - spared)
            for run in plan.runs
        )
        return dataclasses.replace(plan, runs=runs)

    def _suite(self, unit: Unit, rows: tuple[Row, ...], sizes: Sequence[int | None]) -> Suite:
        kind = "uniform" if unit.task.regression else "stratified"
        return Suite(
            SUITE, self.request.encoder, (unit.task,), tuple(sizes), (unit.seed,), rows,
            Protocol(reference=rows[0].label), training=self.training, subset=kind if sizes != (None,) else "uniform",
            task_files={unit.task.name: str(unit.file)},
        )  # fmt: skip

    def kinds(self, plan: SuitePlan) -> dict[str, str]:
        """The kind of method of every row."""
        return {row.label: row.kind for row in plan.run_plan.methods}

    def work(self, plan: SuitePlan, rate: float) -> Todo:
        """The runs left to do; rate, in seconds per example and pass, is used until a row has been timed."""
        known = finished_runs(plan, stored_records(SUITE, self.layout)[0])
        left = todo(plan, known)
        timed = {run.label for run in plan.runs if run.spec.key in known}
        expected = {
            run.spec.key: left.expected[run.spec.key] if run.label in timed else run.work * rate + OVERHEAD
            for run in left.runs
        }
        return dataclasses.replace(left, expected=expected)

    def seconds(self, plan: SuitePlan, rate: float) -> dict[str, float]:
        """Seconds of every run by key: measured if it is finished, otherwise expected."""
        known = finished_runs(plan, stored_records(SUITE, self.layout)[0])
        measured = {key: run.seconds for key, run in known.items() if run.seconds is not None}
        expected = {run.spec.key: run.work * rate + OVERHEAD for run in plan.runs}
        return expected | self.work(plan, rate).expected | measured

    def do(self, plan: SuitePlan, rate: float) -> None:
        """Do the runs that have no record yet.

        Raises:
            CompareError: a run could not be done; the message gives the cause.
            EveryRunFails: every run fails for the same reason.
        """
        left = self.work(plan, rate)
        plan.write(self.layout, self.request.command)
        if left.runs:
            worker = Worker.of(plan, self.store, self.request.command, None)
            with alone_in(self.store.folder), self.show_progress(left, self.workers) as progress:
                stop = StopWhenAllFail(progress, len({run.label for run in left.runs}), left.done > 0)
                carry_out_at(self.place, left.runs, left.expected, worker, stop, self.say, progress.staffed)
        undone = [run for run in plan.runs if not self.store.finished(run.spec.key)]
        if undone:
            cause = next(iter(causes(plan, self.layout)), "no record was written")
            raise CompareError(
                f"{len(undone)} of {counted(len(plan.runs), 'run')} could not be done ({cause}); repeat the command"
            )

    def outcome(self, run: Job) -> Outcome:
        """The outcome of a finished run."""
        record = self.store.get(run.spec.key)
        assert record is not None
        assert record["status"] in FINISHED
        assert record["status"] != ACCIDENT
        majority = record["data"].get("majority") or {}
        seconds = float((record.get("cost") or {}).get("total_seconds") or 0.0)
        if record["status"] != "ok":
            return Outcome(majority, None, None, seconds, record["status"], majority)
        with numpy.load(self.store.path(run.spec.key).with_suffix(".npz"), allow_pickle=False) as arrays:
            logits, predictions = arrays["test_logits"], arrays["test_predictions"]
        return Outcome(record["scores"]["last"]["test"], logits, predictions, seconds, "ok", majority)

    def train(self, plan: SuitePlan, folder: Path) -> dict[str, Any]:
        """Do the plan's only run here, save its model in a folder, and return its record.

        Raises:
            CompareError: the run failed.
        """
        (run,) = plan.runs
        plan.write(self.layout, self.request.command)
        worker = Worker.of(plan, self.store, self.request.command, None)
        context = dataclasses.replace(worker.context, export=str(folder.resolve()), dev_only=True)
        outcome = Worker(worker.store, context)(run)
        if outcome.status != "ok":
            raise CompareError(f"training {run.label} on all rows ended as {outcome.status}: {outcome.message}")
        return self.store.get(run.spec.key) or {}


def seconds_per_example(encoder: str, task: Task, texts: Sequence[tuple[str, ...]], max_length: int) -> float:
    """Seconds of one forward and backward pass per example on one thread, measured on some of the texts.

    Args:
        encoder: alias, Hub id or folder.
        task: the task, which determines the head.
        texts: about a batch.
        max_length: tokens kept of each text.
    """
    import torch

    from amix.models.loading import fresh_classifier, load_tokenizer

    model, tokenizer = fresh_classifier(encoder, task).train(), load_tokenizer(encoder)
    columns = [list(column) for column in zip(*texts, strict=True)]
    tokens = tokenizer(*columns, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spent = []
        for _ in range(PASSES_TIMED):
            started = time.perf_counter()
            model(**tokens).logits.square().sum().backward()
            spent.append((time.perf_counter() - started) / len(texts))
        return min(spent)  # The first pass warms up, and others may have been interrupted.
    finally:
        torch.set_num_threads(threads)
