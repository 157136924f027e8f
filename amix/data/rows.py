"""The rows of a task's splits: from the embedded files, your own, a GLUE folder or the Hub, checked."""

import os
import re
from pathlib import Path
from typing import Any

import numpy
import pandas

from amix.specs.tasks import Task

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
GLUE_VARIABLE = "AMIX_GLUE"
HUB_NAME = "nyu-mll/glue"


class DataError(ValueError):
    """Data that is missing or does not fit its task."""


def glue_folder(given: str | Path | None) -> Path | None:
    """The folder of GLUE files: the one given, else the variable AMIX_GLUE, else None (the Hub)."""
    folder = given or os.environ.get(GLUE_VARIABLE) or None
    if folder is None:
        return None
    if not Path(folder).is_dir():
        raise DataError(f"the GLUE folder '{folder}' does not exist (option --glue or variable {GLUE_VARIABLE})")
    return Path(folder)


def source_name(task: Task, glue: Path | None) -> str:
    """Where a task's rows come from, in one word for the record."""
    return {"embedded": "embedded", "files": "files"}.get(task.origin, "hub" if glue is None else "folder")


def load_rows(task: Task, split: str, glue: Path | None = None) -> pandas.DataFrame:
    """All rows of a split with the columns idx, the task's text columns and `label` (class id or float).

    Errors: DataError that names the file (and for your own files the line and column) and what to do.
    """
    if task.origin == "embedded":
        rows, where = _read(EMBEDDED_FOLDER / task.folder / f"{split}.csv", task), f"{task.name}/{split}.csv"
    elif task.origin == "files":
        rows, where = _read(Path(task.folder) / split, task), split
    elif glue is not None:
        rows, where = _glue_folder_rows(task, split, glue), f"{glue / task.folder}/{split}*.parquet"
    else:
        rows, where = _hub_rows(task, split), f"{HUB_NAME} {task.folder}/{split}"
    return _checked(task, rows, where)


def _glue_folder_rows(task: Task, split: str, glue: Path) -> pandas.DataFrame:
    folder = glue / task.folder
    if not folder.is_dir():
        there = ", ".join(sorted(path.name for path in glue.iterdir() if path.is_dir())) or "nothing"
        raise DataError(f"{glue} has no folder '{task.folder}' for task {task.name}; it holds: {there}")
    files = sorted(folder.glob(f"{split}*.parquet"))
    if not files:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise DataError(f"{folder} has no {split}*.parquet for task {task.name}; it holds: {there}")
    return pandas.concat([pandas.read_parquet(file) for file in files], ignore_index=True)


def _hub_rows(task: Task, split: str) -> pandas.DataFrame:
    import datasets  # Imported here because it takes a second that only this branch needs.

    try:
        loaded = datasets.load_dataset(HUB_NAME, task.folder, split=split)
    except Exception as error:
        raise DataError(
            f"task {task.name}: the Hub data set {HUB_NAME} ({task.folder}, {split}) could not be loaded: {error}. "
            f"Give a folder with --glue DIR or {GLUE_VARIABLE}=DIR (layout <task>/<split>*.parquet), "
            "or try again with a connection."
        ) from error
    frame = loaded.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    return frame


def _read(path: Path, task: Task) -> pandas.DataFrame:
    """The rows of a file; texts and labels as they are written, not as the numbers or dates they may look like."""
    words: Any = dict.fromkeys((*task.text, task.label), str)
    readers: dict[str, Any] = {
        ".csv": lambda: pandas.read_csv(path, keep_default_na=False, dtype=words),
        ".tsv": lambda: pandas.read_csv(path, sep="\t", keep_default_na=False, dtype=words),
        ".jsonl": lambda: pandas.read_json(path, lines=True, dtype=False),
        ".parquet": lambda: pandas.read_parquet(path),
    }
    if path.suffix not in readers:
        raise DataError(f"{path}: unknown kind of file; use {', '.join(readers)}")
    try:
        frame = readers[path.suffix]()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    assert isinstance(frame, pandas.DataFrame)
    return frame


def _checked(task: Task, rows: pandas.DataFrame, where: str) -> pandas.DataFrame:
    missing = [column for column in (*task.text, task.label) if column not in rows.columns]
    if missing:
        hint = f" (a task file names it: 'label: {rows.columns[-1]}')" if missing == [task.label] else ""
        there = ", ".join(map(str, rows.columns))
        raise DataError(f"{where}: no column {', '.join(missing)}; columns there: {there}{hint}")
    if rows.empty:
        raise DataError(f"{where}: has no rows")
    checked = pandas.DataFrame({"idx": rows["idx"] if "idx" in rows.columns else numpy.arange(len(rows))})
    for column in task.text:
        checked[column] = rows[column].astype(str)
        empty = rows[column].isna() | (checked[column].str.strip() == "")
        _refuse(where, column, rows[column], empty, "an empty text")
    checked["label"] = _label_values(task, rows[task.label], where)
    return checked


def _label_values(task: Task, labels: pandas.Series, where: str) -> pandas.Series:
    if task.labels is None:
        numbers = pandas.to_numeric(labels, errors="coerce").astype(float)
        _refuse(where, task.label, labels, numbers.isna() | numbers.abs().eq(numpy.inf), "no number")
        return numbers
    ids = {name: index for index, name in enumerate(task.labels)}
    # Where a name is a number, a number is a name and cannot be an index as well.
    if not any(_NUMBER.fullmatch(name) for name in task.labels):
        ids |= {str(index): index for index in range(len(task.labels))}
    values = labels.map(lambda value: ids.get(_written(value), ids.get(_whole(value))))
    _refuse(where, task.label, labels, values.isna(), f"none of the labels {', '.join(task.labels)}")
    return values.astype(int)


_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def _written(value: Any) -> str:
    """A label as a file has it; JSON's truth values are lower case there."""
    return str(value).lower() if isinstance(value, bool | numpy.bool_) else str(value)


def _whole(value: Any) -> str:
    """A whole number that was read as a float, without its point."""
    return re.sub(r"\A(-?\d+)\.0\Z", r"\1", str(value))


def _refuse(where: str, column: str, values: pandas.Series, wrong: pandas.Series, what: str) -> None:
    if wrong.any():
        row = int(numpy.flatnonzero(wrong.to_numpy())[0])
        line = {".csv": row + 2, ".tsv": row + 2}.get(Path(where).suffix, row + 1)  # Those two have a header.
        value = values.iloc[row]
        shown = value.item() if isinstance(value, numpy.generic) else value
        raise DataError(
            f"{where}, line {line}, column {column}: {shown!r} is {what} ({int(wrong.sum())} such rows in {len(wrong)})"
        )
