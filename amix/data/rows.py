"""Reading and checking the rows of a task's splits: embedded files, users' own files, a GLUE folder or the Hub."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
import pandas

from amix.data.arrow_rows import HUB
from amix.data.table_files import PLACE, as_text, read_table
from amix.specs.data_errors import DataError, at, no_column, quoted, shown
from amix.specs.task import Task

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
GLUE_VARIABLE = "AMIX_GLUE"
HUB_NAME = "nyu-mll/glue"
INTERNAL = ("idx", "label", PLACE)
"""Columns that load_rows adds to the texts."""


def glue_folder(given: str | Path | None) -> Path | None:
    """Return the folder of GLUE files: the one given, else that of the variable AMIX_GLUE, else None (the Hub).

    Raises:
        DataError: The folder does not exist.
    """
    folder = given or os.environ.get(GLUE_VARIABLE) or None
    if folder is None:
        return None
    if not Path(folder).is_dir():
        found = "is no folder" if Path(folder).exists() else "does not exist"
        raise DataError(f"the GLUE folder '{folder}' {found} (option --glue or variable {GLUE_VARIABLE})")
    return Path(folder)


def source_name(task: Task, glue: Path | None) -> str:
    """Return where a task's rows come from, as one word for the record."""
    return {"embedded": "embedded", "files": "files"}.get(task.origin, "hub" if glue is None else "folder")


def load_rows(task: Task, split: str, glue: Path | None = None) -> pandas.DataFrame:
    """Return all rows of a split, with the columns idx, the task's text columns and `label` (class id or float).

    Rows of users' own files also have their PLACE, and attrs["notes"] says how the file was read.

    Raises:
        DataError: A file cannot be used; the message names it (and line and column of users' own files) and says what
            to do.
    """
    if task.origin == "embedded":
        where = f"{task.name}/{split}.csv"
        rows = read_table(EMBEDDED_FOLDER / task.folder / f"{split}.csv", task.text)
    elif task.origin == "files":
        where = _own_source(task, split)
        rows = read_table(where, task.text, task.encoding, lambda row: _can_be_row(task, row))
    elif glue is not None:
        rows, where = _glue_folder_rows(task, split, glue), f"{glue / task.folder}/{split}*.parquet"
    else:
        rows, where = _hub_rows(task, split), f"{' '.join(_hub_name(task))}/{split}"
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


def _hub_name(task: Task) -> tuple[str, ...]:
    """The data set of the Hub and, of GLUE, its configuration."""
    return (task.hub,) if task.hub else (HUB_NAME, task.folder)


def _hub_rows(task: Task, split: str) -> pandas.DataFrame:
    import datasets  # Takes a second to import, and only this function needs it.

    try:
        loaded = datasets.load_dataset(*_hub_name(task), split=split)
    except Exception as error:
        raise DataError(
            f"task {task.name}: the Hub data set {', '.join(_hub_name(task))} ({split}) could not be loaded: {error}. "
            f"Give a folder with --glue DIR or {GLUE_VARIABLE}=DIR (layout <task>/<split>*.parquet), "
            "or try again with a connection."
        ) from error
    frame = loaded.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    return frame


def _can_be_row(task: Task, row: Mapping[str, str]) -> bool:
    """Whether a single line of a file can be a row of this task: no text is empty, and the label is valid."""
    label = row.get(task.label, "").strip()
    if not label or not all(row[column].strip() for column in task.text):
        return False
    if task.labels is None:
        return _NUMBER.fullmatch(label) is not None
    return label in task.labels or _whole(label) in (*task.labels, *map(str, range(len(task.labels))))


def _own_source(task: Task, split: str) -> str:
    """Return the source of a split of a user's own task: a file, a folder, or a data set of the Hub."""
    return split if split.startswith(HUB) else str(Path(task.folder) / split)


def _checked(task: Task, rows: pandas.DataFrame, where: str) -> pandas.DataFrame:
    missing = [column for column in task.text if column not in rows.columns]
    if missing or task.label not in rows.columns:
        raise no_column(where, missing or [task.label], map(str, rows.columns), "" if missing else _LABELS_NEEDED)
    if taken := [column for column in task.text if column in INTERNAL]:
        raise DataError(
            f"{where}: a text column cannot be called {quoted(taken)}, because rows get a column of that name; "
            "rename it in the file"
        )
    if rows.empty:
        raise DataError(f"{where}: has no rows")
    checked = pandas.DataFrame({"idx": _ids(rows)})
    for column in task.text:
        unit, places = _places(rows[column])
        missing_one = rows[column].isna()
        texts = [
            "" if missing else as_text(where, place, unit, column, value)
            for missing, place, value in zip(missing_one, places, rows[column], strict=True)
        ]
        _refuse(where, column, rows[column], pandas.Series([not text.strip() for text in texts]), "an empty text")
        checked[column] = texts
    checked["label"] = _label_values(task, rows[task.label], where).to_numpy()
    if rows.index.name:
        checked[PLACE] = [f"{rows.index.name} {place}" for place in rows.index]
        checked.attrs["notes"] = rows.attrs.get("notes", [])
    return checked


_LABELS_NEEDED = (
    "; scores need labels: if this file has none, test on rows of the train file "
    "(a task file names the column: 'label: NAME')"
)


def _ids(rows: pandas.DataFrame) -> numpy.ndarray:
    """Return the rows' own ids if they have any, else their positions."""
    if "idx" not in rows.columns:
        return numpy.arange(len(rows))
    written = rows["idx"]
    whole = written.map(lambda value: isinstance(value, str) and bool(_WHOLE.fullmatch(value))).all()
    return (written.astype(int) if whole else written).to_numpy()


def _places(values: pandas.Series) -> tuple[str, numpy.ndarray]:
    """Return the unit of places (see amix.data.table_files.read_table), and each row's place."""
    index = values.index
    named = index.name in ("line", "row")
    return (str(index.name), index.to_numpy()) if named else ("row", numpy.arange(1, len(values) + 1))


def _label_values(task: Task, labels: pandas.Series, where: str) -> pandas.Series:
    several = labels.map(lambda value: isinstance(value, list | dict | tuple | numpy.ndarray))
    _refuse(where, task.label, labels, several, "not a single label; several labels are not supported")
    if task.labels is None:
        numbers = pandas.to_numeric(labels.map(_truth_as_text), errors="coerce").astype(float)
        _refuse(where, task.label, labels, numbers.isna() | numbers.abs().eq(numpy.inf), "not a number")
        return numbers
    names = {name: index for index, name in enumerate(task.labels)}
    by_name = labels.map(lambda value: names.get(_written(value)))
    # If a class name is a number, numbers are names and cannot also be ids.
    indices = {} if any(_NUMBER.fullmatch(name) for name in task.labels) else range(len(task.labels))
    ids = {str(index): index for index in indices} if indices else names
    by_index = labels.map(lambda value: ids.get(_whole(value)))
    values = by_name.where(by_name.notna(), by_index)
    _refuse(where, task.label, labels, values.isna(), f"none of the labels {', '.join(task.labels)}")
    if indices and by_name.notna().any():
        words = "a number where other rows have the label's name: write one or the other"
        _refuse(where, task.label, labels, by_name.isna(), words)
    return values.astype(int)


_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})", re.ASCII)


def _truth_as_text(value: Any) -> Any:
    """Turn a truth value into a text, so that it does not count as a number."""
    return _written(value) if isinstance(value, bool | numpy.bool_) else value


def _written(value: Any) -> str:
    """Return a label as written in a file, without surrounding blanks; truth values in lower case, as in JSON."""
    return str(value).lower() if isinstance(value, bool | numpy.bool_) else str(value).strip()


def _whole(value: Any) -> str:
    """Return a value as a text; a whole number that was read as a float loses its `.0`."""
    return re.sub(r"\A(-?\d+)\.0\Z", r"\1", str(value).strip())


def _refuse(where: str, column: str, values: pandas.Series, wrong: pandas.Series, what: str) -> None:
    if wrong.any():
        rows = numpy.flatnonzero(wrong.to_numpy())
        unit, places = _places(values)
        row = int(rows[0])
        value = values.iloc[row]
        found = shown(value.item() if isinstance(value, numpy.generic) else value)
        others = f", the next in {unit} {places[rows[1]]}" if len(rows) > 1 else ""
        count = f"({len(rows)} such row{'s' * (len(rows) > 1)} in {len(wrong)}{others})"
        remedy = f"correct or delete {'them' if len(rows) > 1 else 'it'}"
        raise DataError(f"{at(where, int(places[row]), unit)}, column {column}: {found} is {what} {count}; {remedy}")
