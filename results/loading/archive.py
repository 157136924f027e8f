"""A suite's records as one Parquet file, so that tables can be remade from a fresh clone."""

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from amix.specs.run_plan import PlanError, RunPlan
from amix.specs.store import write_atomically
from amix.specs.visible_text import visible
from results.loading.layout import Layout

PLAN = b"plan"
LARGEST = 1 << 26
"""Bytes; a record has a few thousand, and one of a long search some hundred thousand."""
COLUMNS = pyarrow.schema([("key", pyarrow.string()), ("record", pyarrow.string()), ("predictions", pyarrow.binary())])


@dataclass(frozen=True)
class Stored:
    """A record as stored: where, under which key, its text, and its predictions (an npz file's bytes or its path)."""

    source: str
    key: str
    text: str
    predictions: bytes | Path | None


def stored_plan(suite: str, layout: Layout) -> Any:
    """The plan's JSON content: the sweep's plan.json, else the copy in the archive.

    Raises:
        PlanError: The suite has neither; the message names the suites that are there.
    """
    path = layout.plan(suite)
    try:
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))
        if layout.archive(suite).exists():
            return json.loads((parquet.read_schema(layout.archive(suite)).metadata or {})[PLAN])
    except (OSError, ValueError, KeyError, RecursionError, pyarrow.ArrowException) as error:
        raise PlanError(f"the plan of suite {suite!r} cannot be read: {error}") from error
    there = ", ".join(layout.suites()) or "none"
    raise PlanError(
        f"no records of suite {suite!r} in {layout.records} (suites there: {there}); "
        f"run it with: python -m runners sweep --suite {suite}"
    )


def stored_records(suite: str, layout: Layout) -> tuple[list[Stored], list[tuple[str, str]]]:
    """Every record of the suite, JSON files before the archive's rows, and (source, reason) of unreadable files."""
    stored, unreadable = [], []
    folder = layout.records / suite
    names: set[str] = set()
    try:
        # Listed once, as asking for the predictions of each of ten thousand records takes longer than this.
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else names
    except OSError as error:
        unreadable.append((visible(folder.name), f"cannot be read: {visible(str(error))}"))
    for file in sorted(name for name in names if name.endswith(".json") and name != "plan.json"):
        key = file.removesuffix(".json")
        predictions = f"{key}.npz"
        try:
            text = _text(folder / file)
            stored.append(Stored(visible(file), key, text, folder / predictions if predictions in names else None))
        except (OSError, UnicodeDecodeError) as error:
            unreadable.append((visible(file), f"cannot be read: {visible(str(error))}"))
    archive = layout.archive(suite)
    if archive.exists():
        try:
            stored += _rows(archive)
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            unreadable.append((archive.name, f"cannot be read: {error}"))
    return stored, unreadable


def _text(path: Path) -> str:
    """The text of a record's file; refuses a pipe, which would block forever, and a file too large for a record."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("is not a file")
    if status.st_size > LARGEST:
        raise OSError(f"has more than {LARGEST >> 20} MiB, too large for a record")
    return path.read_text(encoding="utf-8")


def _rows(archive: Path) -> list[Stored]:
    columns = parquet.read_table(archive, schema=COLUMNS).to_pydict()
    return [
        Stored(f"{archive.name} row {number}", key or "", text or "", predictions)
        for number, (key, text, predictions) in enumerate(
            zip(columns["key"], columns["record"], columns["predictions"], strict=True)
        )
    ]


def write_archive(suite: str, layout: Layout, plan: RunPlan, records: list[Stored]) -> Path:
    """Write the plan and the records, sorted by key, to the suite's Parquet file; equal content gives equal bytes."""
    rows = sorted(records, key=lambda record: record.key)
    table = pyarrow.table(
        {
            "key": [row.key for row in rows],
            "record": [_compact(row.text) for row in rows],
            "predictions": [_bytes(row.predictions) for row in rows],
        },
        schema=COLUMNS.with_metadata({PLAN: plan.as_json().encode()}),
    )
    buffer = pyarrow.BufferOutputStream()
    parquet.write_table(table, buffer, compression="zstd", compression_level=9)
    write_atomically(layout.archive(suite), buffer.getvalue().to_pybytes())
    return layout.archive(suite)


def _compact(text: str) -> str:
    return json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))


def _bytes(predictions: bytes | Path | None) -> bytes | None:
    return predictions.read_bytes() if isinstance(predictions, Path) else predictions
