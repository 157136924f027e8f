"""One reader for users' tables: CSV, TSV, JSON, Parquet, Hugging Face data sets. Rows are never guessed.

Texts stay as written; anything but a text, number or truth value is refused.
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
"""Column of checked rows of users' own files: the place of each in its file, such as `line 7`."""
KINDS = (*delimited.SUFFIXES, *json_rows.SUFFIXES, ".parquet")
LARGEST = 2 << 30
"""Most bytes of a file, whose rows are all held in memory."""


class TableFile(Protocol):
    """A table whose rows have all been checked, and that can be read as often as needed.

    columns: names without surrounding blanks; unit: whether places are a `line` of the file or a `row`; notes: how the
    file was read, if that is not obvious.
    """

    @property
    def columns(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102

    def records(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """Yield each row's place, and its values in the order of the columns."""


def open_table(
    source: str | Path, needed: Sequence[str] = (), encoding: str = "", plausible: delimited.Plausible | None = None
) -> TableFile:
    """Check a table, and prepare it for reading row by row, in constant memory (except for a JSON array).

    Args:
        source: A file, a folder written by `save_to_disk`, or hub:owner/name:split.
        needed: Columns that must exist.
        encoding: Encoding of a text file that is not UTF-8 and has no byte order mark.
        plausible: Whether fields can be a row, which distinguishes a text of several lines from unpaired quotes.

    Returns:
        The table.

    Raises:
        DataError: One line with the file, the place in it, its content and what to do.
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
    """Read all rows of a table; arguments as for open_table.

    Returns:
        A frame with the columns that have a name, and values as written. Its index is each row's place in the file, and
        is named by its unit, `line` or `row`. attrs["notes"] says how the file was read.

    Raises:
        DataError: See open_table; or the file is too large to be held in memory.
    """
    if not str(source).startswith(arrow_rows.HUB):
        refuse_special(path := Path(source))
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: is larger than {LARGEST >> 30} GiB; take a sample of its rows")
    table = open_table(source, needed, encoding, plausible)
    named = [position for position, name in enumerate(table.columns) if name]
    places: list[int] = []
    values: list[list[Any]] = [[] for _ in named]
    for place, record in table.records():
        places.append(place)
        for column, position in zip(values, named, strict=True):
            column.append(record[position])
    series = {
        table.columns[position]: pandas.Series(column, dtype=object)
        for position, column in zip(named, values, strict=True)
    }
    frame = pandas.DataFrame(series)
    frame.index = pandas.Index(numpy.array(places, dtype=numpy.int64), name=table.unit)
    frame.attrs["notes"] = list(table.notes)
    return frame


def as_text(source: str | Path, place: int, unit: str, column: str, value: Any) -> str:
    """Convert a value to the text that a model reads.

    Numbers and truth values become texts as they are written (JSON's truth values in lower case).

    Raises:
        DataError: The value is a list, an object or bytes, or not valid Unicode.
    """
    where = f"{at(source, place, unit)}, column {column}"
    if isinstance(value, list | dict | tuple | set | numpy.ndarray | bytes):
        kind = "an object" if isinstance(value, dict) else "binary" if isinstance(value, bytes) else "a list"
        raise DataError(f"{where}: {shown(value)} is {kind}, not a text; join its parts into one text")
    text = str(value).lower() if isinstance(value, bool | numpy.bool_) else str(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: {shown(value)} contains a lone surrogate (half a character); fix the text"
        ) from error
    return text
