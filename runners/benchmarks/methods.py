"""The time of an update of each method relative to one of plain finetuning, measured in turns."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from amix.runs.environment import environment
from amix.specs.yaml_files import read_yaml
from amix.training.fit import Fit
from amix.training.loop import start, train_step
from amix.training.method import Method
from amix.training.multi_stage import MultiStageMethod, finetune
from results.loading.layout import ROOT
from results.tabulating.render.csv import csv_text
from results.tabulating.render.markdown import markdown
from results.tabulating.table import Cell, Column, Table
from runners.benchmarks.workload import VERDICTS, Step, Workload, seconds

TABLE = ROOT / "results" / "tables" / "bench-methods.csv"
TOLERANCE = 1.2
"""Time allowed relative to the passes, for methods that are not in LIMITS."""
LIMITS = Path(__file__).with_name("limits.yaml")
WARM_UP = 2
UPDATES_PER_RUN = 10
"""Updates of plain finetuning per run, for methods that are measured by whole runs."""


@cache
def limits() -> dict[str, float]:
    """The limits in the file LIMITS, by method."""
    return {name: float(limit) for name, limit in read_yaml(LIMITS).items()}


@dataclass(frozen=True)
class Overhead:
    """Mean seconds per update of a method (None without gradient steps) and of plain finetuning, measured in turns."""

    method: type[Method]
    seconds: float | None
    plain_seconds: float

    @property
    def ratio(self) -> float | None:
        """Time of an update relative to plain finetuning's."""
        return None if self.seconds is None else self.seconds / self.plain_seconds

    @property
    def limit(self) -> float:
        """The largest allowed ratio: the method's entry in LIMITS, or else its passes plus a fifth."""
        return limits().get(self.method.name, TOLERANCE * self.method.info.passes)

    @property
    def holds(self) -> bool | None:
        """Whether the limit is kept; None if nothing was measured."""
        return None if self.ratio is None else self.ratio <= self.limit

    def text(self) -> str:
        """One line for the terminal."""
        if self.ratio is None:
            return f"{self.method.name}: no gradient steps"
        kept = "kept" if self.holds else "MISSED"
        return f"{self.method.name}: {self.ratio:.2f} x plain finetuning (limit {self.limit:.2f}, {kept})"


def measure(methods: Iterable[type[Method]], workload: Workload, repeats: int) -> Iterator[Overhead]:
    """The overhead of each method, its updates timed in turns with those of plain finetuning.

    A method that changes the run as a whole is timed in whole short runs, per update of all its stages.
    """
    torch.set_num_threads(1)
    for method in methods:
        if not method.info.trains_by_steps:
            yield Overhead(method, None, 0.0)
        elif issubclass(method, MultiStageMethod):
            yield _by_runs(method, workload, -(-repeats // UPDATES_PER_RUN))
        else:
            yield _by_updates(method, workload, repeats)


def _by_updates(method: type[Method], workload: Workload, repeats: int) -> Overhead:
    ours, plain = (_updates(cls, workload, WARM_UP + repeats) for cls in (method, Method))
    for _ in range(WARM_UP):  # The first updates also create optimizer states and warm up.
        plain()
        ours()
    # Means, not medians: some methods do extra work only at some updates.
    pairs = [(seconds(plain), seconds(ours)) for _ in range(repeats)]
    plain_seconds, our_seconds = (sum(column) / repeats for column in zip(*pairs, strict=True))
    return Overhead(method, our_seconds, plain_seconds)


def _updates(method_class: type[Method], workload: Workload, count: int) -> Step:
    """A finetuning run of `count` updates; each call does the next one."""
    method, fit = method_class(), _fit(workload, count)
    model = method.prepare(workload.model(), fit)
    start(method, model, fit)
    batches = itertools.cycle(list(fit.batches(0)))
    return lambda: train_step(method, model, next(batches), fit)


def _by_runs(method: type[Method], workload: Workload, repeats: int) -> Overhead:
    _run(Method, workload)
    pairs = [(_run(Method, workload), _run(method, workload)) for _ in range(repeats)]
    plain_seconds, our_seconds = (sum(column) / repeats for column in zip(*pairs, strict=True))
    return Overhead(method, our_seconds, plain_seconds)


def _run(method_class: type[Method], workload: Workload) -> float:
    """Seconds per update of a whole short run."""
    method, fit = method_class(), _fit(workload, UPDATES_PER_RUN)
    model = method.prepare(workload.model(), fit)
    run_seconds = seconds(lambda: finetune(method, model, fit))
    return run_seconds / fit.cost.optimizer_steps


def _fit(workload: Workload, updates: int) -> Fit:
    """A fit whose whole schedule has `updates` steps, so that work done only at some updates is measured too."""
    fit = workload.fit()
    return dataclasses.replace(fit, recipe=dataclasses.replace(fit.recipe, steps=updates))


def overhead_table(overheads: Iterable[Overhead], workload: Workload, command: str) -> Table:
    """One row per method with its passes, the measured ratio, the limit and whether it is kept."""
    about = environment(command)
    rows = tuple(
        (
            Cell(one.method.name),
            Cell(one.method.info.passes),
            Cell(one.ratio),
            Cell(one.limit if one.ratio is not None else None),
            Cell(VERDICTS[one.holds]),
            Cell(None if one.seconds is None else 1000 * one.seconds),
            Cell(None if one.seconds is None else 1000 * one.plain_seconds),
        )
        for one in overheads
    )
    return Table(
        name="bench-methods",
        title="Time of an update by each method",
        caption=(
            f"Relative to an update of plain finetuning, measured in turns: encoder {workload.encoder}, "
            f"{workload.length} tokens, batch {workload.batch_size}, {about['device']} ({about['precision']}, one "
            f"thread), torch {about['packages']['torch']}. Limit: the method's own, else {TOLERANCE:g} times its "
            "passes. Methods that change the run as a whole: mean over the updates of all their stages. A dash: no "
            "gradient steps."
        ),
        columns=(
            Column("Method"),
            Column("Passes", "per step", ".2f", "×"),
            Column("Time", "relative", ".3f", "×"),
            Column("Limit", "relative", ".2f", "×"),
            Column("Verdict", text=True),
            Column("Update", "ms", ".1f"),
            Column("Plain update", "ms", ".1f"),
        ),
        rows=rows,
        notes=(f"Made by: {command}",),
    )


def save(table: Table, path: Path = TABLE) -> list[Path]:
    """Write the table as CSV and, next to it, as Markdown; returns both files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writers: dict[Path, Callable[[Table], str]] = {path: csv_text, path.with_suffix(".md"): markdown}
    for file, text in writers.items():
        file.write_text(text(table), encoding="utf-8")
    return list(writers)
