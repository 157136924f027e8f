"""The cost of a sweep compared with the same runs by a transformers.Trainer script, in processes of one thread."""

import statistics
from collections.abc import Iterator
from functools import partial

from results.loading.layout import ROOT
from results.tabulating.table import Cell, Column, Table
from runners.benchmarks.same_runs import Contestant, Padding, Taken, Workload, in_turns, ratio, scripts, sweep
from runners.sweeping.fast_products import fast_products
from runners.sweeping.local_pool import WORKER_ENVIRONMENT

TABLE = ROOT / "results" / "tables" / "bench-trainer.csv"
OURS = "this suite: sweep"
SCRIPTS: dict[str, tuple[Padding, bool]] = {
    "Trainer, padded to the batch's longest": ("dynamic", False),
    "the same, with the variables of a sweep's workers": ("dynamic", True),
    "Trainer, padded to the full length": ("fixed", False),
}
"""What the script pads to, and whether its processes have the environment variables that a sweep gives its workers."""


def measure(workload: Workload, turns: int) -> Iterator[tuple[str, Taken]]:
    """Let a sweep and the scripts do the runs in turns, each in as many processes; see in_turns."""
    ours = partial(sweep, workload, options=["--workers", str(workload.workers)])
    theirs: dict[str, Contestant] = {
        name: partial(scripts, workload, padding, settings=WORKER_ENVIRONMENT | fast_products() if as_workers else {})
        for name, (padding, as_workers) in SCRIPTS.items()
    }
    return in_turns(workload, {OURS: ours, **theirs}, turns)


def trainer_table(taken: dict[str, Taken], workload: Workload, command: str) -> Table:
    """One row per contestant: CPU and clock seconds (medians of the turns), both relative to ours, and scores."""
    ours = taken[OURS]
    rows = tuple(
        (
            Cell(name),
            Cell(statistics.median(one.cpu)),
            Cell(ratio(one.cpu, ours.cpu)),
            Cell(statistics.median(one.wall)),
            Cell(ratio(one.wall, ours.wall)),
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
            "ratios within a turn. A sweep gives its workers variables that keep memory and, on AMD processors, speed "
            "up matrix products; the second row shows what they do for the script. Same subsets, recipe and steps, a "
            "dev score after every epoch, one pass over the "
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
