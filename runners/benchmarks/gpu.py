"""Runs per hour of sweeps on one GPU, one run at a time or several, and of a transformers.Trainer script on it."""

import shlex
import statistics
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
import yaml

from results.loading.layout import ROOT
from results.tabulating.table import Cell, Column, Table
from runners.benchmarks.same_runs import (
    SUITE,
    Contestant,
    Scores,
    Taken,
    Workload,
    in_turns,
    ratio,
    script_command,
    scripts,
    sweep,
    sweep_command,
    visible,
)
from runners.planning.cluster_file import AUTO, ClusterFile
from runners.sweeping.carry_out import visible_gpus, workers_here

TABLE = ROOT / "results" / "tables" / "bench-gpu.csv"
ALONE = "this suite: one run at a time"
SHARED = "this suite: runs_per_gpu: auto"
TRAINER = "Trainer: one run at a time"
CLUSTER = {"kind": "local", "options": {"runs_per_gpu": AUTO}}
POLL_SECONDS = 1.0
GIB = 2**30


class GpuError(RuntimeError):
    """There is no GPU to measure; one line with what can be done."""


@dataclass
class Measured:
    """What a contestant took in each turn, and the most memory of the GPU that was in use meanwhile, where known."""

    taken: Taken = field(default_factory=Taken)
    peaks: list[int] = field(default_factory=list)


def chosen_gpu() -> str:
    """Id of the first visible GPU.

    Raises:
        GpuError: there is none, or torch finds none.
    """
    gpus = visible_gpus()
    if not gpus:
        raise GpuError(
            "no GPU is found on this machine (by nvidia-smi or CUDA_VISIBLE_DEVICES): run bench gpu where there is "
            "one; with --dry-run it shows what would be run"
        )
    if not torch.cuda.is_available():
        raise GpuError(
            f"GPU {gpus[0]} is there, but torch {torch.__version__} finds none: install a build of torch with CUDA "
            "that the driver supports; with --dry-run, bench gpu shows what would be run"
        )
    return gpus[0].strip()


def measure(workload: Workload, turns: int) -> Iterator[tuple[str, Measured]]:
    """Let the contestants do the runs in turns on the workload's GPU.

    Yields:
        After each contestant's turn, its name and its measurements so far.

    Raises:
        ContestantError: one did not do all runs.
    """
    peaks: dict[str, list[int]] = {ALONE: [], SHARED: [], TRAINER: []}
    done = {
        ALONE: partial(sweep, workload, options=_options(ALONE, Path())),
        SHARED: partial(_shared, workload),
        TRAINER: partial(scripts, workload, "dynamic"),
    }
    watched = {name: partial(_watched, contestant, workload.gpu, peaks[name]) for name, contestant in done.items()}
    for name, taken in in_turns(workload, watched, turns):
        yield name, Measured(taken, peaks[name])


def _shared(workload: Workload, place: Path) -> Scores:
    (place / "gpu.yaml").write_text(yaml.safe_dump(CLUSTER), encoding="utf-8")
    return sweep(workload, place, _options(SHARED, place))


def _options(name: str, place: Path) -> list[str]:
    """The options with which this contestant's sweep says how many runs there are at a time."""
    return ["--workers", "1"] if name == ALONE else ["--cluster", str(place / "gpu.yaml")]


def _watched(contestant: Contestant, gpu: str, peaks: list[int], place: Path) -> Scores:
    with MemoryWatch(gpu) as watch:
        scores = contestant(place)
    if watch.most:
        peaks.append(watch.most)
    return scores


class MemoryWatch:
    """The most memory of a GPU that is in use within the context, all processes and CUDA itself included.

    Attributes:
        most: Bytes, asked for every second; 0 if nvidia-smi does not know.
    """

    def __init__(self, gpu: str) -> None:
        self.gpu, self.most = gpu, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:  # Once at least, however short the context.
            used = asked(self.gpu, "memory.used")
            self.most = max(self.most, int(used) * 2**20 if used.isdigit() else 0)
            if self._ended.wait(POLL_SECONDS):
                return


def asked(gpu: str, field_name: str) -> str:
    """What nvidia-smi says of this GPU, such as its name, without units; empty if it says nothing."""
    query = ["nvidia-smi", f"--query-gpu={field_name}", f"--id={gpu}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def planned(workload: Workload, turns: int) -> Iterator[str]:
    """Yield the lines of a dry run: the runs, the files that the contestants get, and their commands."""
    yield (
        f"{len(workload.runs)} runs by each of three contestants, in {turns} turns: plain finetuning of "
        f"{workload.encoder} on {', '.join(workload.tasks)}, N = {workload.size}, seeds {_span(workload.seeds)}"
    )
    places = {ALONE: Path("alone"), SHARED: Path("shared"), TRAINER: Path("trainer")}
    commands = {name: sweep_command(workload, places[name], _options(name, places[name])) for name in (ALONE, SHARED)}
    commands[TRAINER] = script_command(places[TRAINER])
    settings = " ".join(f"{name}={value}" for name, value in visible(workload).items())
    for name, arguments in commands.items():
        yield f"{name}\n  {settings} python {shlex.join(arguments)}"
    yield _file(f"{SUITE}.yaml", workload.suite())
    yield _file("gpu.yaml", CLUSTER)
    yield "job-0.json: the recipe, dynamic padding, bf16, and the texts of the same subsets"


def _span(seeds: tuple[int, ...]) -> str:
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])


def _file(name: str, content: Any) -> str:
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None)
    return f"{name}:\n" + "".join(f"  {line}\n" for line in text.splitlines()).rstrip()


def per_hour(runs: int, seconds: list[float]) -> float:
    """Runs per hour, by the median of the seconds that all runs took in each turn."""
    return 3600.0 * runs / statistics.median(seconds)


def most_at_a_time() -> int:
    """Most runs on the GPU at a time with `auto`, if they fit."""
    return workers_here(ClusterFile.model_validate(CLUSTER))


def gpu_table(measured: dict[str, Measured], workload: Workload, device: str, most: int, command: str) -> Table:
    """One row per contestant: runs per hour, that relative to Trainer, seconds of all runs, memory, and scores.

    Args:
        measured: what each contestant took.
        workload: the runs.
        device: name of the GPU.
        most: most runs on it at a time with `auto`.
        command: what the user typed.
    """
    trainer = measured[TRAINER].taken.wall
    rows = tuple(
        (
            Cell(name),
            Cell(per_hour(len(workload.runs), one.taken.wall)),
            Cell(ratio(trainer, one.taken.wall)),
            Cell(statistics.median(one.taken.wall)),
            Cell(max(one.peaks) / GIB if one.peaks else None),
            *(Cell(one.taken.scores[task]) for task in workload.tasks),
        )
        for name, one in measured.items()
    )
    return Table(
        name="bench-gpu",
        title="Sweeps on one GPU against the same runs by a script with transformers.Trainer",
        caption=(
            f"Plain finetuning, {len(workload.runs)} runs (encoder {workload.encoder}, N = {workload.size}) on one "
            f"{device}, in bf16; medians of {len(trainer)} turns, ratios within a turn. With auto, up to {most} runs "
            "are on the GPU at a time, as far as they fit. Same subsets, recipe and steps, a dev score after every "
            "epoch, one pass over the test set; Trainer pads to the batch's longest. "
            "The script classifies by the first token's pooled state, as AutoModelForSequenceClassification does, this "
            "suite by the encoder's own pooling. Memory: the most that was in use on the GPU, by all processes."
        ),
        columns=(
            Column("Runs by"),
            Column("Runs", "per hour", ".0f"),
            Column("Runs", "relative", ".2f", "×"),
            Column("Clock", "s", ".0f"),
            Column("Memory", "GiB", ".1f"),
            *(Column(task, "mean score", ".1f") for task in workload.tasks),
        ),
        rows=rows,
        notes=(
            "Seconds are those from a command's start to its end, as its user waits for them: they include imports, "
            "the start of workers, reading data and weights, and for a sweep its records. The more runs, the less "
            "this counts.",
            f"Made by: {command}",
        ),
    )
