"""The benchmark of the weight mixup's search as files: all lines as CSV, and as Markdown tables."""

import csv
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from amix.runs.environment import environment
from results.loading.layout import ROOT
from results.tabulating.render.markdown import markdown
from results.tabulating.table import Cell, Column, Table
from runners.benchmarks.agwm import N_TRAIN, Line
from runners.benchmarks.workload import VERDICTS, Workload

TABLE = ROOT / "results" / "tables" / "bench-agwm.csv"
EXPLAINED = {
    "iteration": "One iteration of the search, its updates included, in forward and backward passes of the unmodified "
    "encoder on the same batch.",
    "speed-up over published": "An iteration of a model of the published implementation (5 forward and 6 backward "
    "passes through two-branch layers) against one of ours.",
    "whole run": f"All searches and the finetuning on {N_TRAIN} examples with the published recipe, put together from "
    "the times of their updates, against a plain run of 3 epochs.",
    "flatness": "An iteration late in a search of a tiny encoder against the first ones: what grows would show there.",
    "peak memory": "Model, optimizer, passes and the kept encoder, in processes of their own, against plain training.",
}


def save(lines: Sequence[Line], workload: Workload, command: str, path: Path = TABLE) -> list[Path]:
    """Write all lines with workload, command and versions, as CSV and, next to it, as Markdown.

    Returns:
        Both files.
    """
    about = environment(command)
    packages = about.pop("packages")
    shared = {"encoder": workload.encoder, "length": workload.length, "batch_size": workload.batch_size}
    shared |= about | {name: packages[name] for name in ("torch", "transformers")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        names = [field.name for field in fields(Line)]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, "holds", *shared])
        for line in lines:
            values = [getattr(line, name) for name in names]
            shown = [f"{value:.4g}" if isinstance(value, float) else value for value in values]
            writer.writerow([*shown, line.holds, *shared.values()])
    readable = path.with_suffix(".md")
    readable.write_text("\n".join(markdown(table) for table in tables(lines, shared)), encoding="utf-8")
    return [path, readable]


def tables(lines: Sequence[Line], about: dict[str, Any]) -> list[Table]:
    """One table per group of lines, with measurements and limits."""
    where = (
        f"Encoder {about['encoder']}, {about['length']} tokens, batch {about['batch_size']}, {about['device']} "
        f"({about['precision']}, {about['threads']} threads), torch {about['torch']}. Made by: {about['command']}"
    )
    return [_table(group, [line for line in lines if line.group == group], where) for group in _groups(lines)]


def _groups(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(line.group for line in lines))


def _table(group: str, lines: Sequence[Line], where: str) -> Table:
    whole = group == "whole run"
    columns = (
        Column("Measured"), Column("Value", format=".2f"), Column("Unit", text=True), Column("Limit", text=True),
        Column("Verdict", text=True), *([Column("Passes", "plain runs", ".2f")] if whole else []),
        Column("Seconds", format=".3g"),
    )  # fmt: skip
    rows = tuple(
        (
            Cell(line.name), Cell(line.measured), Cell(line.unit), Cell(_limit(line)), Cell(VERDICTS[line.holds]),
            *([Cell(line.passes)] if whole else []), Cell(line.seconds),
        )
        for line in lines
    )  # fmt: skip
    title = f"Cost of the weight mixup: {group}"
    return Table(group.replace(" ", "-"), title, EXPLAINED[group], columns, rows, notes=(where,))


def _limit(line: Line) -> str:
    if line.limit is None:
        return ""
    return f"{'at least' if line.least else 'at most'} {line.limit:g}"
