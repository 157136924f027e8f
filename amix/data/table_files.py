"""One reader for people's tables: CSV, TSV, JSON, Parquet, Hugging Face data sets. What a row is, is never guessed.

Texts stay as they are written; what is no text, number or truth value is refused.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy
import pandas

from amix.data import arrow_rows, delimited, json_rows
from amix.specs.data_errors import DataError, at, shown
from amix.specs.file_encoding import refuse_special

PLACE = "place"
"""Column of checked rows of people's own files: where each stands, such as `line 7`."""
KINDS = (*delimited.SUFFIXES, *json_rows.SUFFIXES, ".parquet")
LARGEST = 2 << 30
"""Bytes of a file whose rows are all held in memory."""


class TableFile(Protocol):
    """A table that has been checked from its first row to its last, and can be read as often as needed.

    columns: names without blanks around them; unit: whether rows are found by `line` of the file or by `row`;
    notes: how the file was read, where that is not plain.
    """

    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102

    def records(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """Each row's place and its values in the order of the columns."""


def open_table(
    source: str | Path, needed: Sequence[str] = (), encoding: str = "", plausible: delimited.Plausible | None = None
) -> TableFile:
    """Check a table and make it ready to be read row by row, in constant memory (but for a JSON array).

    Args:
        source: a file, a folder written by `save_to_disk`, or hub:owner/name:split.
        needed: columns that must be there.
        encoding: of a text file, where it is neither UTF-8 nor begins with a mark.
        plausible: what a row can look like, which tells a text of several lines from quotes that belong to no pair.

    Returns:
        The table.

    Raises:
        DataError: one line with the file, the place in it, what stands there and what to do.
    """
    if str(source).startswith(arrow_rows.HUB):
        return arrow_rows.open_dataset(str(source), needed)
    path = Path(source)
    refuse_special(path)
    kind = path.suffix.lower()
    if path.is_dir():
        return arrow_rows.open_dataset(path, needed)
    if kind in delimited.SUFFIXES:
        return delimited.open_delimited(path, needed, encoding, plausible)
    if kind in json_rows.SUFFIXES:
        return json_rows.open_json(path, needed, encoding)
    if kind == ".parquet":
        return arrow_rows.open_parquet(path, needed)
    advice = "; save the sheet as 'CSV UTF-8'" if kind in (".xlsx", ".xls", ".ods") else ""
    raise DataError(f"{path}: unknown kind of file; use {', '.join(KINDS)}{advice}")


def read_table(
    source: str | Path, needed: Sequence[str] = (), encoding: str = "", plausible: delimited.Plausible | None = None
) -> pandas.DataFrame:
    """All rows of a table, as open_table finds them.

    Returns:
        A frame with the columns that have a name, values as they are written. Its index holds each row's place in the
        file and is named for what that counts: `line` or `row`. attrs["notes"] says how the file was read.

    Raises:
        DataError: as open_table, and for a file too large to be held in memory.
    """
    if not str(source).startswith(arrow_rows.HUB):
        refuse_special(path := Path(source))
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: is larger than {LARGEST >> 30} GiB; take a sample of its rows")
    table = open_table(source, needed, encoding, plausible)
    kept = [place for place, name in enumerate(table.columns) if name]
    places: list[int] = []
    values: list[list[Any]] = [[] for _ in kept]
    for line, record in table.records():
        places.append(line)
        for column, place in zip(values, kept, strict=True):
            column.append(record[place])
    series = {
        table.columns[place]: pandas.Series(column, dtype=object) for place, column in zip(kept, values, strict=True)
    }
    frame = pandas.DataFrame(series)
    frame.index = pandas.Index(numpy.array(places, dtype=numpy.int64), name=table.unit)
    frame.attrs["notes"] = list(table.notes)
    return frame


def as_text(source: str | Path, place: int, unit: str, column: str, value: Any) -> str:
    """A value as the text that a model reads.

    Numbers and truth values are texts as they are written (JSON's truth values in lower case).

    Raises:
        DataError: a list, an object, bytes, or a text that is no valid Unicode.
    """
    where = f"{at(source, place, unit)}, column {column}"
    if isinstance(value, list | dict | tuple | set | numpy.ndarray | bytes):
        kind = "an object" if isinstance(value, dict) else "binary" if isinstance(value, bytes) else "a list"
        raise DataError(f"{where}: {shown(value)} is {kind}, not a text; join its parts to one text")
    text = str(value).lower() if isinstance(value, bool | numpy.bool_) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: {shown(value)} holds half a character (a lone surrogate); mend the text") from error
    return text
