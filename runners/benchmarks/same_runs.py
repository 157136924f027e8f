"""The same runs by a sweep and by a script with transformers.Trainer, timed in turns, each in processes of its own."""

import json
import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy
import yaml

from amix.data.metrics import score
from amix.data.rows import load_rows
from amix.data.splits import subset_positions
from amix.specs.encoder_files import locate
from amix.specs.encoders import find_encoder
from amix.specs.task import Task
from amix.specs.tasks import find_task
from amix.specs.wording import counted
from results.loading.frame import load
from results.loading.layout import ROOT, Layout
from runners.sweeping.fast_products import VARIABLE

SUITE = "same-runs"
SCRIPT = Path(__file__).with_name("trainer_script.py")
Padding = Literal["dynamic", "fixed"]
Scores = dict[tuple[str, int], float]
"""The score of each run, by task and seed."""
Contestant = Callable[[Path], Scores]
"""Does all runs, with its files in this folder."""


class ContestantError(RuntimeError):
    """A contestant did not do its runs; one line with its command and the reason."""


@dataclass(frozen=True)
class Workload:
    """The runs of every contestant: plain finetuning on each task with each seed, with the encoder's recipe.

    Attributes:
        encoder: Alias, Hub id or folder.
        tasks: Names of the tasks.
        size: Training examples.
        seeds: Seeds of every task.
        workers: Processes of the script.
        glue: Folder with real GLUE; None: the Hub.
        device: What the script trains on: one thread per process, or a GPU with bf16.
        gpu: Id of the only GPU that a contestant's processes see; empty: whatever they find.
    """

    encoder: str
    tasks: tuple[str, ...]
    size: int
    seeds: tuple[int, ...]
    workers: int
    glue: Path | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    gpu: str = ""

    def __post_init__(self) -> None:
        """Refuse unknown names, in one line, before anything starts."""
        find_encoder(self.encoder)
        for task in self.tasks:
            find_task(task)

    @property
    def runs(self) -> list[tuple[str, int]]:
        """Task and seed of every run, seed by seed."""
        return [(task, seed) for seed in self.seeds for task in self.tasks]

    def suite(self) -> dict[str, Any]:
        """The suite file of the runs."""
        return {
            "name": SUITE,
            "title": "Runs to be timed",
            "encoder": self.encoder,
            "tasks": list(self.tasks),
            "sizes": [self.size],
            "seeds": list(self.seeds),
            "methods": ["vanilla"],
            "protocol": {"reference": "vanilla", "selection": "last"},
        }


@dataclass
class Taken:
    """A contestant's CPU seconds (of all its processes) and wall-clock seconds in each turn, and its mean scores."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)


def in_turns(workload: Workload, contestants: Mapping[str, Contestant], turns: int) -> Iterator[tuple[str, Taken]]:
    """Let the contestants do the runs in turns.

    Args:
        workload: the runs.
        contestants: who does them, by name.
        turns: how often each does them.

    Yields:
        After each contestant's turn, its name and its measurements so far.

    Raises:
        ContestantError: one did not do all runs.
    """
    taken = {name: Taken() for name in contestants}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(turns):
            for number, (name, contestant) in enumerate(contestants.items()):
                place = Path(folder) / f"{turn}-{number}"
                place.mkdir()
                before, started = _cpu_seconds(), time.monotonic()
                scores = contestant(place)
                taken[name].wall.append(time.monotonic() - started)
                taken[name].cpu.append(_cpu_seconds() - before)
                taken[name].scores = _means(name, scores, workload)
                yield name, taken[name]


def _means(name: str, scores: Scores, workload: Workload) -> dict[str, float]:
    """Mean score on each task, if every run has one."""
    if missing := [run for run in workload.runs if not numpy.isfinite(scores.get(run, numpy.nan))]:
        task, seed = missing[0]
        runs = counted(len(missing), "run")
        raise ContestantError(f"{name}: {runs} without a score, the first one {task} with seed {seed}")
    return {task: statistics.fmean(scores[task, seed] for seed in workload.seeds) for task in workload.tasks}


def _cpu_seconds() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def sweep_command(workload: Workload, place: Path, options: Sequence[str]) -> list[str]:
    """The arguments of Python for a sweep of the runs, with the suite's file and the records in this folder."""
    glue = ["--glue", str(workload.glue)] if workload.glue else []
    suite, out = str(place / f"{SUITE}.yaml"), str(place / "out")
    return ["-m", "runners", "sweep", "--suite", suite, "--out", out, *glue, *options]


def sweep(workload: Workload, place: Path, options: Sequence[str]) -> Scores:
    """Scores of our sweep, started as a user starts one.

    Raises:
        ContestantError: it failed, or its runs were not done on the device that was asked for.
    """
    (place / f"{SUITE}.yaml").write_text(yaml.safe_dump(workload.suite()), encoding="utf-8")
    _wait([_started(workload, sweep_command(workload, place, options))])
    results = load(SUITE, Layout(place / "out"))
    precisions = {record["environment"]["precision"] for record in results.records.values()}
    if workload.device == "cuda" and precisions - {"bf16"}:
        raise ContestantError("the sweep's workers found no GPU, so that its runs were done on the CPU")
    done = results.runs[results.runs["status"] == "ok"]
    runs = zip(done["task"].tolist(), done["seed"].tolist(), strict=True)
    return dict(zip(runs, done["score"].tolist(), strict=True))


def scripts(
    workload: Workload, padding: Padding, place: Path, settings: Mapping[str, str] = MappingProxyType({})
) -> Scores:
    """Scores of the script, the runs divided among as many processes as the workload says.

    Args:
        workload: the runs.
        padding: what the script pads its batches to.
        place: folder for its files.
        settings: environment variables besides those of variables(); without them, its matrix products are as a user's
            own script has them.

    Raises:
        ContestantError: a process failed.
    """
    hands = list(filter(None, (workload.runs[number :: workload.workers] for number in range(workload.workers))))
    started = []
    for number, hand in enumerate(hands):
        job = place / f"job-{number}.json"
        job.write_text(json.dumps(job_of(workload, padding, hand)), encoding="utf-8")
        started.append(_started(workload, script_command(place, number), {VARIABLE: "", **settings}))
    _wait(started)
    scores: Scores = {}
    for number, hand in enumerate(hands):
        predictions = json.loads((place / f"predictions-{number}.json").read_text(encoding="utf-8"))
        for (name, seed), one in zip(hand, predictions, strict=True):
            task = find_task(name)
            labels = load_rows(task, task.test, workload.glue)["label"].to_numpy()
            scores[name, seed] = 100 * score(task.metrics, labels, numpy.array(one))[task.metrics[0]]
    return scores


def script_command(place: Path, number: int = 0) -> list[str]:
    """The arguments of Python for one process of the script, with its files in this folder."""
    script = str(SCRIPT.relative_to(ROOT))
    return [script, str(place / f"job-{number}.json"), str(place / f"predictions-{number}.json")]


def job_of(workload: Workload, padding: Padding, hand: list[tuple[str, int]]) -> dict[str, Any]:
    """The script's input: encoder, recipe, device, and the texts of the same subsets that a sweep draws."""
    encoder = find_encoder(workload.encoder)
    tasks = {task: find_task(task) for task, _ in hand}
    return {
        "encoder": locate(encoder),
        "layers": {} if encoder.layers is None else {"num_hidden_layers": encoder.layers},
        "padding": padding,
        "device": workload.device,
        "bf16": workload.device == "cuda",
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


def variables(workload: Workload) -> dict[str, str]:
    """The environment variables of a contestant's processes, besides the user's own.

    On a CPU each process has one thread; what else a sweep's workers have, the sweep gives them itself. GPUs are
    numbered as nvidia-smi does it, which is asked about them.
    """
    paths = {"PYTHONPATH": str(ROOT)}
    if workload.device == "cpu":
        paths |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return paths | visible(workload)


def visible(workload: Workload) -> dict[str, str]:
    """The environment variables that leave only the workload's GPU visible, numbered as nvidia-smi does it."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": workload.gpu} if workload.gpu else {}


def _started(
    workload: Workload, arguments: list[str], settings: Mapping[str, str] = MappingProxyType({})
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables(workload), **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait(started: list["subprocess.Popen[str]"]) -> None:
    for process in started:
        error = process.communicate()[1]
        if process.returncode:
            reason = " ".join(error.split()[-40:]) or f"exit code {process.returncode}"
            command = shlex.join(process.args)  # type: ignore[arg-type]  # What _started gave: strings.
            raise ContestantError(f"{command} failed: {reason}")


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Median over the turns of theirs relative to ours in the same turn."""
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
