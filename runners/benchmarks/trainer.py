"""The cost of a sweep compared with the same runs by a transformers.Trainer script, measured in turns."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy
import yaml

from amix.data.metrics import score
from amix.data.rows import load_rows
from amix.data.splits import subset_positions
from amix.specs.encoder_files import locate
from amix.specs.encoders import find_encoder
from amix.specs.task import Task
from amix.specs.tasks import find_task
from results.loading.frame import load
from results.loading.layout import ROOT, Layout
from results.tabulating.table import Cell, Column, Table
from runners.sweeping.local_pool import WORKER_ENVIRONMENT

TABLE = ROOT / "results" / "tables" / "bench-trainer.csv"
SCRIPT = Path(__file__).with_name("trainer_script.py")
OURS = "this suite: sweep"
SCRIPTS = {"Trainer, padded to the batch's longest": "dynamic", "Trainer, padded to the full length": "fixed"}


@dataclass(frozen=True)
class Workload:
    """The runs of every contestant: plain finetuning on each task with each seed, with the encoder's recipe."""

    encoder: str
    tasks: tuple[str, ...]
    size: int
    seeds: tuple[int, ...]
    workers: int
    glue: Path | None = None

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Task and seed of every run, seed by seed."""
        return [(task, seed) for seed in self.seeds for task in self.tasks]


@dataclass
class Taken:
    """A contestant's CPU seconds (of all its processes) and wall-clock seconds in each turn, and its scores."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)


def measure(workload: Workload, turns: int) -> Iterator[tuple[str, Taken]]:
    """Let the contestants do the runs in turns, each in processes of one thread.

    Args:
        workload: the runs.
        turns: how often each contestant does them.

    Yields:
        After each contestant's turn, its name and its measurements so far.
    """
    with tempfile.TemporaryDirectory() as folder:
        contestants: dict[str, Callable[[Path], dict[str, float]]] = {OURS: lambda place: _sweep(workload, place)}
        for name, padding in SCRIPTS.items():
            contestants[name] = lambda place, padding=padding: _scripts(workload, padding, place)  # type: ignore[misc]
        taken = {name: Taken() for name in contestants}
        for turn in range(turns):
            for number, (name, contestant) in enumerate(contestants.items()):
                place = Path(folder) / f"{turn}-{number}"
                place.mkdir()
                before, started = _cpu_seconds(), time.monotonic()
                taken[name].scores = contestant(place)
                taken[name].wall.append(time.monotonic() - started)
                taken[name].cpu.append(_cpu_seconds() - before)
                yield name, taken[name]


def _cpu_seconds() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _sweep(workload: Workload, place: Path) -> dict[str, float]:
    """Mean score on each task of our sweep, started as a user starts one."""
    suite = {
        "name": "bench-trainer",
        "title": "Runs to be timed",
        "encoder": workload.encoder,
        "tasks": list(workload.tasks),
        "sizes": [workload.size],
        "seeds": list(workload.seeds),
        "methods": ["vanilla"],
        "protocol": {"reference": "vanilla", "selection": "last"},
    }
    file = place / "bench-trainer.yaml"
    file.write_text(yaml.safe_dump(suite), encoding="utf-8")
    glue = ["--glue", str(workload.glue)] if workload.glue else []
    command = ["-m", "runners", "sweep", "--suite", str(file), "--out", str(place / "out"), *glue]
    _wait([_started([*command, "--workers", str(workload.workers)])])
    runs = load("bench-trainer", Layout(place / "out")).runs
    return {str(task): float(scores.mean()) for task, scores in runs.groupby("task")["score"]}


def _scripts(workload: Workload, padding: str, place: Path) -> dict[str, float]:
    """Mean score on each task of the script, the runs divided among as many processes as a sweep has workers."""
    hands = [workload.runs[number :: workload.workers] for number in range(workload.workers)]
    started = []
    for number, hand in enumerate(filter(None, hands)):
        job = place / f"job-{number}.json"
        job.write_text(json.dumps(_job(workload, padding, hand)), encoding="utf-8")
        started.append(_started([str(SCRIPT), str(job), str(place / f"predictions-{number}.json")]))
    _wait(started)
    scores: dict[str, list[float]] = {task: [] for task in workload.tasks}
    for number, hand in enumerate(filter(None, hands)):
        predictions = json.loads((place / f"predictions-{number}.json").read_text(encoding="utf-8"))
        for (name, _), one in zip(hand, predictions, strict=True):
            task = find_task(name)
            labels = load_rows(task, task.test, workload.glue)["label"].to_numpy()
            scores[name].append(100 * score(task.metrics, labels, numpy.array(one))[task.metrics[0]])
    return {task: statistics.fmean(values) for task, values in scores.items()}


def _job(workload: Workload, padding: str, hand: list[tuple[str, int]]) -> dict[str, Any]:
    """The script's input: encoder, recipe, and the texts of the same subsets that a sweep draws."""
    encoder = find_encoder(workload.encoder)
    tasks = {task: find_task(task) for task, _ in hand}
    return {
        "encoder": locate(encoder),
        "layers": {} if encoder.layers is None else {"num_hidden_layers": encoder.layers},
        "padding": padding,
        "recipe": asdict(encoder.recipe),
        "tests": {name: _texts(task, task.test, workload.glue) for name, task in tasks.items()},
        "runs": [_subsets(tasks[name], seed, workload) for name, seed in hand],
    }


def _subsets(task: Task, seed: int, workload: Workload) -> dict[str, Any]:
    labels = load_rows(task, task.train, workload.glue)["label"].to_numpy()
    train, dev = subset_positions(labels, workload.size, seed)
    texts = {name: _texts(task, task.train, workload.glue, at) for name, at in (("train", train), ("dev", dev))}
    return {"task": task.name, "seed": seed, "outputs": task.outputs, **texts}


def _texts(task: Task, split: str, glue: Path | None, positions: Any = None) -> dict[str, Any]:
    rows = load_rows(task, split, glue)
    rows = rows if positions is None else rows.iloc[positions]
    return {"texts": [rows[column].tolist() for column in task.text], "labels": rows["label"].tolist()}


def _started(arguments: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=ROOT,
        env=os.environ | WORKER_ENVIRONMENT | {"PYTHONPATH": str(ROOT), "TOKENIZERS_PARALLELISM": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait(started: list["subprocess.Popen[str]"]) -> None:
    for process in started:
        error = process.communicate()[1]
        if process.returncode:
            reason = " ".join(error.split()[-40:]) or f"exit code {process.returncode}"
            raise RuntimeError(f"{process.args!r} failed: {reason}")


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def trainer_table(taken: dict[str, Taken], workload: Workload, command: str) -> Table:
    """One row per contestant: CPU and clock seconds (medians of the turns), both relative to ours, and scores."""
    ours = taken[OURS]
    rows = tuple(
        (
            Cell(name),
            Cell(statistics.median(one.cpu)),
            Cell(_ratio(one.cpu, ours.cpu)),
            Cell(statistics.median(one.wall)),
            Cell(_ratio(one.wall, ours.wall)),
            *(Cell(one.scores[task]) for task in workload.tasks),
        )
        for name, one in taken.items()
    )
    return Table(
        name="bench-trainer",
        title="A sweep against the same runs by a script with transformers.Trainer",
        caption=(
            f"Plain finetuning, {len(workload.runs)} runs (encoder {workload.encoder}, N = {workload.size}), in "
            f"{workload.workers} processes of one thread each, from start to end; medians of {len(ours.cpu)} turns, "
            "ratios within a turn. Same subsets, recipe and steps, a dev score after every epoch, one pass over the "
            "test set. The script classifies by the first token's pooled state, as AutoModelForSequenceClassification "
            "does, this suite by the encoder's own pooling: scores may differ, the work hardly does."
        ),
        columns=(
            Column("Runs by"),
            Column("CPU", "s", ".0f"),
            Column("CPU", "relative", ".2f", "×"),
            Column("Clock", "s", ".0f"),
            Column("Clock", "relative", ".2f", "×"),
            *(Column(task, "mean score", ".1f") for task in workload.tasks),
        ),
        rows=rows,
        notes=(f"Made by: {command}",),
    )
