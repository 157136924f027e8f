"""A task from one file: finds the text column, the label column, and whether labels are classes or numbers."""

import re
from pathlib import Path

from amix.data.arrow_rows import HUB
from amix.data.table_files import open_table, read_table
from amix.specs.data_errors import DataError, no_column, quoted, shown
from amix.specs.file_encoding import refuse_special
from amix.specs.safe_names import is_safe_name
from amix.specs.task import Task

LABEL = "label"
LONGEST_LABEL = 60
MOST_CLASSES = 200
"""A column with more different values contains ids or free text, not classes."""
NUMBERS_FROM = 12
"""Whole numbers with at least this many different values are a quantity; with fewer they are classes."""
_DECIMAL_COMMA = re.compile(r"[-+]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def task_of_file(
    source: str | Path, text: tuple[str, ...] = (), label: str = "", encoding: str = "", test: str = ""
) -> Task:
    """Describe a file's rows as a task.

    Args:
        source: A file, a folder written by save_to_disk, or hub:owner/name:split.
        text: One or two text columns; by default the only one besides the label.
        label: The label column; by default `label`.
        encoding: Encoding of a text file that is not UTF-8 and has no byte order mark.
        test: A test file; without one the task has none.

    Returns:
        A task whose labels are the file's classes, in order, or None if they are numbers.

    Raises:
        DataError: The columns are ambiguous or missing; the message lists them and says what to give.
    """
    hub = str(source).startswith(HUB)
    for one in (source, test):
        if one and not str(one).startswith(HUB):
            refuse_special(Path(one))  # Resolving a link that leads to itself would raise.
    path = str(source) if hub else str(Path(source).resolve())
    label = label or LABEL
    columns = [
        name for name in open_table(source, text, encoding, lambda row: _is_name(row.get(label, ""))).columns if name
    ]
    if label not in columns:
        raise no_column(str(source), [label], columns, "; name it with --label")
    if not text:
        candidates = [name for name in columns if name != label]
        if len(candidates) != 1:
            raise DataError(
                f"{source}: which column is the text? Name it with --text; columns there: {quoted(columns)}"
            )
        text = (candidates[0],)
    if not 1 <= len(text) <= 2 or label in text or len(set(text)) != len(text):
        raise DataError(f"--text names one column, or two for pairs, but not the label: {quoted(text)}")
    name = re.sub(r"[^\w.+-]+", "-", Path(path).stem if not hub else path.split(":")[1]).strip("-._") or "data"
    labels = _classes(source, label, encoding)
    return Task(
        name=name if is_safe_name(name) else "data",
        title=name,
        text=text,
        labels=labels,
        metrics=("accuracy",) if labels else ("spearman", "pearson"),
        origin="files",
        folder="" if hub else str(Path(path).parent),
        train=path if hub else Path(path).name,
        test=str(Path(test).resolve()) if test and not test.startswith(HUB) else test,
        label=label,
        encoding=encoding,
    )


def _is_name(label: str) -> bool:
    """Whether this can be the label of a row, rather than the rest of a sentence."""
    return bool(label) and label == label.strip() and '"' not in label and len(label) <= LONGEST_LABEL


def _classes(source: str | Path, label: str, encoding: str) -> tuple[str, ...] | None:
    """Return the classes, or None if the labels are numbers."""
    column = read_table(source, (label,), encoding, lambda row: _is_name(row[label]))[label]
    names: set[str] = set()
    for value in column:
        if isinstance(value, list | dict):
            raise DataError(f"{source}: {shown(value)} is not a single label; several labels are not supported")
        names.add(str(value).lower() if isinstance(value, bool) else "" if value is None else str(value).strip())
    numbers = all(_NUMBER.fullmatch(name) for name in names)
    whole = numbers and all(float(name).is_integer() for name in names)
    if numbers and (not whole or len(names) >= NUMBERS_FROM):
        return None
    comma = next((name for name in sorted(names) if "," in name), "")
    if comma and all(_DECIMAL_COMMA.fullmatch(name) for name in names):
        raise DataError(
            f"{source}: column {shown(label)}: {shown(comma)} is a number with a decimal comma, or several labels; "
            "write numbers with a point; several labels are not supported"
        )
    if len(names) > MOST_CLASSES or len(names) > max(2, len(column) // 2):
        raise DataError(
            f"{source}: column {shown(label)} has {len(names)} different values in {len(column)} rows, which are "
            "neither classes nor numbers; name another with --label"
        )
    return tuple(sorted((name for name in names if name), key=lambda name: (float(name) if numbers else 0.0, name)))
