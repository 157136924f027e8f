"""What all tables of many records need, measured with copies of a suite's records."""

import json
import multiprocessing
import random
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amix.specs.run_spec import RunSpec
from amix.specs.store import Store
from amix.specs.wording import counted
from results.loading.archive import stored_plan, stored_records
from results.loading.layout import Layout
from results.tabulating.collect import collect

SEED_STEP = 1_000_000
"""Between the seeds of two copies; larger than any seed of a suite."""


@dataclass(frozen=True)
class Found:
    """What making all tables took."""

    records: int
    seconds: float
    peak: int
    """Largest resident memory of the process, in bytes."""
    left_out: int
    """Records that could not be used."""

    def line(self) -> str:
        """The findings in words."""
        return (
            f"{counted(self.records, 'record')}: all tables in {self.seconds:.1f} s "
            f"({1000 * self.seconds / self.records:.2f} ms each), at most {self.peak / 2**20:.0f} MiB, "
            f"{counted(self.left_out, 'record')} left out"
        )


def measured(suite: str, source: Layout, runs: int, folder: Path) -> Found:
    """Make all tables of at least this many records, in a process of its own, whose memory is measured.

    Args:
        suite: a suite with an archive.
        source: where it is.
        runs: records wanted.
        folder: where the copies and their tables go.
    """
    count = multiply(suite, source, runs, Layout(folder))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_tables_of, suite, folder, count).result()


def multiply(suite: str, source: Layout, runs: int, target: Layout) -> int:
    """Write at least this many records: those of a suite again and again, with new seeds and slightly lower scores.

    Predictions are not copied: reading them costs the same for every record, with and without many others.

    Args:
        suite: a suite with an archive.
        source: where it is.
        runs: records wanted.
        target: where the copies and their plan go.

    Returns:
        The number of records written.
    """
    plan = stored_plan(suite, source)
    planned = {run["key"]: run for run in plan["runs"]}
    # By key, as a record may lie both in a file of its own and in the archive.
    stored = {one.key: one.text for one in stored_records(suite, source)[0] if one.key in planned}
    records = [json.loads(text) for text in stored.values()]
    store, chance, copies = Store(target.records / suite), random.Random(0), []
    for number in range(-(-runs // len(records))):
        for record in records:
            seed = record["spec"]["seed"] + SEED_STEP * number
            spec = RunSpec(**(record["spec"] | {"seed": seed}))
            scores = _lowered(record["scores"], chance)
            store.put(record | {"key": spec.key, "spec": spec.as_dict(), "scores": scores})
            copies.append(planned[record["key"]] | {"key": spec.key, "seed": seed})
    seeds = list(dict.fromkeys(copy["seed"] for copy in copies))
    target.plan(suite).write_text(json.dumps(plan | {"runs": copies, "seeds": seeds}))
    return len(copies)


def _lowered(scores: Any, chance: random.Random) -> Any:
    """The same nested scores, each a little lower, so that no two records are alike."""
    if isinstance(scores, dict):
        return {name: _lowered(value, chance) for name, value in scores.items()}
    return scores - 0.01 * chance.random() if isinstance(scores, float) else scores


def _tables_of(suite: str, folder: Path, count: int) -> Found:
    began = time.perf_counter()
    collected = collect(suite, Layout(folder))
    seconds = time.perf_counter() - began
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, elsewhere KiB.
    return Found(count, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, len(collected.problems))
