"""Labels for a table of texts of any length, in constant memory."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

import numpy

from amix.data.table_files import TableFile, as_text, open_table
from amix.models.model_folder import Description
from amix.models.saved_model import SavedModel
from amix.specs.data_errors import DataError
from amix.specs.store import check_writable
from runners.own_data.column_names import free_names

CHUNK = 1024
"""Rows predicted at a time."""
PROBABILITY = "probability"
PREDICTED = "predicted_{}"
DIGITS = 6
"""Decimal places of a probability."""
DELIMITERS = {".csv": ",", ".tsv": "\t"}
LINES = (".jsonl", ".ndjson")
MOST_PLACES = 5
UNCALIBRATED = (
    "the probabilities are not calibrated (temperature 1): the run that made this model had no dev set; "
    "`python -m runners export` with a --size of at least 6 keeps one aside"
)


class Listener(Protocol):
    """Callback with the number of rows done so far."""

    def __call__(self, rows: int) -> None: ...  # noqa: D102


@dataclass
class Predicted:
    """The summary of a prediction.

    Attributes:
        rows: rows read.
        counts: rows per predicted class.
        empty: rows without a text.
        places: the first of these in the file.
        notes: how the file was read, and whether probabilities are uncalibrated.
    """

    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    empty: int = 0
    places: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def predict_file(
    model: SavedModel, source: str | Path, out: Path, encoding: str = "", every_class: bool = False,
    report: Listener = lambda rows: None,
) -> Predicted:  # fmt: skip
    """Write a table's rows, in order and with their columns, and the model's prediction for each.

    Added are the predicted label and its probability, calibrated if its run could fit a temperature (if not, a note
    says so); for numbers, the prediction alone. A row without a text gets no prediction. The file appears only when it
    is complete.

    Args:
        model: the model.
        source: a table as amix.data.table_files reads it, with the text columns that the model was trained on.
        out: a .csv, .tsv or .jsonl file.
        encoding: encoding of a text file that is not UTF-8 and has no byte order mark.
        every_class: whether to write the probability of every class too.
        report: is called with the number of rows done.

    Returns:
        The summary.

    Raises:
        DataError: one line with the file, the place in it and what to do.
    """
    description = model.description
    kind = out.suffix.lower()
    if kind not in (*DELIMITERS, *LINES):
        raise DataError(f"{out}: predictions are written as {', '.join((*DELIMITERS, *LINES))}")
    if out.is_dir() or (Path(source).exists() and out.exists() and out.samefile(source)):
        raise DataError(f"{out} is {'a folder' if out.is_dir() else 'the input file'}; choose another file")
    table = _table(source, description, encoding)
    check_writable(out.parent)
    added = _added(description, every_class)
    kept = [place for place, name in enumerate(table.columns) if name]
    columns = [table.columns[place] for place in kept]
    names = free_names(added, columns)
    uncalibrated = description.labels is not None and not description.calibrated
    done = Predicted(notes=(*table.notes, *([UNCALIBRATED] if uncalibrated else [])))
    with _whole(out) as file:
        writer = _Rows(file, kind, [*columns, *names])
        rows = iter(table.records())
        while chunk := list(islice(rows, CHUNK)):
            predictions = _predict(model, source, table, chunk, every_class, done)
            for (_, values), more in zip(chunk, predictions, strict=True):
                writer.write([*(values[place] for place in kept), *more])
            report(done.rows)
    return done


def _table(source: str | Path, description: Description, encoding: str) -> TableFile:
    try:
        return open_table(source, description.text, encoding)
    except DataError as error:
        if "no column" not in str(error):
            raise
        wanted = " and ".join(f"'{name}'" for name in description.text)
        raise DataError(f"{error} (the model was trained on {wanted})") from error


def _added(description: Description, every_class: bool) -> list[str]:
    predicted = PREDICTED.format(description.label)
    if description.labels is None:
        return [predicted]
    more = [f"{PROBABILITY}_{name}" for name in description.labels] if every_class else []
    return [predicted, PROBABILITY, *more]


def _predict(
    model: SavedModel, source: str | Path, table: TableFile, chunk: list[tuple[int, Sequence[Any]]], every_class: bool,
    done: Predicted,
) -> list[list[Any]]:  # fmt: skip
    """The values to add to each of these rows."""
    places = [table.columns.index(name) for name in model.description.text]
    texts = [
        tuple(
            "" if values[place] is None else as_text(source, row, table.unit, table.columns[place], values[place])
            for place in places
        )
        for row, values in chunk
    ]
    full = [number for number, text in enumerate(texts) if all(part.strip() for part in text)]
    width = len(_added(model.description, every_class))
    added: list[list[Any]] = [[None] * width for _ in chunk]
    if full:
        outputs = model.logits([texts[number] for number in full])
        for number, values in zip(full, _predictions(model, outputs, every_class), strict=True):
            added[number] = values
            if model.description.labels is not None:
                done.counts[values[0]] = done.counts.get(values[0], 0) + 1
    done.rows += len(chunk)
    done.empty += len(chunk) - len(full)
    missing = [f"{table.unit} {row}" for number, (row, _) in enumerate(chunk) if number not in set(full)]
    done.places += missing[: MOST_PLACES - len(done.places)]
    return added


def _predictions(model: SavedModel, outputs: numpy.ndarray, every_class: bool) -> Iterator[list[Any]]:
    labels = model.description.labels
    if labels is None:
        for number in model.numbers(outputs):
            yield [float(number)]
        return
    # By the largest output, as in the run itself: rounded probabilities may be equal where outputs differ.
    chosen, shares = outputs.argmax(axis=1), model.probabilities(outputs)
    for label, row in zip(chosen, shares, strict=True):
        more = [round(float(share), DIGITS) for share in row] if every_class else []
        yield [labels[label], round(float(row[label]), DIGITS), *more]


class _Rows:
    """Writes rows to an open file of one kind."""

    def __init__(self, file: IO[str], kind: str, columns: list[str]) -> None:
        self.file, self.columns = file, columns
        self.csv = csv.writer(file, delimiter=DELIMITERS[kind], lineterminator="\n") if kind in DELIMITERS else None
        if self.csv:
            self.csv.writerow(columns)

    def write(self, values: list[Any]) -> None:
        """Write one row."""
        if self.csv:
            self.csv.writerow(["" if value is None else value for value in values])
        else:
            row = dict(zip(self.columns, values, strict=True))
            self.file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


@contextmanager
def _whole(path: Path) -> Iterator[IO[str]]:
    """An open file that gets its name only when everything is written."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
