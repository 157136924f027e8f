"""Parquet files and Hugging Face data sets: typed columns, read in batches. A data set's own code is never run."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow
import pyarrow.parquet

from amix.specs.data_errors import DataError, at, no_column, quoted, shown
from amix.specs.file_encoding import refuse_special

HUB = "hub:"
"""Prefix of Hugging Face Hub data sets: `hub:owner/name:split` or `hub:owner/name:configuration:split`."""
BATCH = 4096
_INDEX = re.compile(r"__index_level_\d+__")
"""Names of columns into which pandas and `datasets` write row numbers; they have no name for people."""


class _Batches(Protocol):
    """Yields the record batches from the beginning, each time it is called."""

    def __call__(self) -> Iterable[pyarrow.RecordBatch | pyarrow.Table]: ...


@dataclass(frozen=True)
class ArrowRows:
    """Typed columns; records() yields their rows, counted from 1.

    Attributes:
        classes: Class names by column, if the data set stores class ids.
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    batches: _Batches
    classes: dict[str, list[str]]
    notes: tuple[str, ...] = ()
    unit: str = "row"

    def records(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """Yield the number of each row and its values; bytes are decoded as UTF-8."""
        row = 0
        for batch in self.batches():
            columns = [self._values(name, batch.column(place), row) for place, name in enumerate(self.columns)]
            for values in zip(*columns, strict=True):
                row += 1
                yield row, values
        if row != self.rows:
            raise DataError(f"{self.name}: should have {self.rows} rows, but {row} were read; save it again")

    def _values(self, name: str, column: Any, before: int) -> list[Any]:
        values: list[Any] = column.to_pylist()
        for place, value in enumerate(values):
            if isinstance(value, bytes):
                try:
                    values[place] = value.decode()
                except UnicodeDecodeError as error:
                    where = f"{at(self.name, before + place + 1, 'row')}, column {name}"
                    raise DataError(f"{where}: {shown(value)} is binary, not UTF-8 text; store texts") from error
            elif name in self.classes and isinstance(value, int) and 0 <= value < len(self.classes[name]):
                values[place] = self.classes[name][value]
        return values


def open_parquet(path: Path, needed: Sequence[str] = ()) -> ArrowRows:
    """Open a Parquet file, and check that it has the needed columns.

    Raises:
        DataError: The file cannot be used; the message names it and says what to do.
    """
    refuse_special(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names, rows = file.schema_arrow.names, file.metadata.num_rows
            classes = _stored_classes(file.schema_arrow.metadata or {})
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: is not a readable Parquet file ({_first_line(error)})") from error
    columns = _columns(str(path), names, needed)
    if rows == 0:
        raise DataError(f"{path}: has no rows")

    def batches() -> Iterator[pyarrow.RecordBatch]:
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                yield from file.iter_batches(BATCH)
        except (OSError, pyarrow.ArrowException) as error:
            raise DataError(f"{path}: is damaged ({_first_line(error)})") from error

    return ArrowRows(str(path), columns, rows, batches, classes)


def open_dataset(source: str | Path, needed: Sequence[str] = ()) -> ArrowRows:
    """Open a data set saved with `datasets`' save_to_disk, or one of the Hub (see HUB).

    Raises:
        DataError: The data set cannot be used; the message names it and says what to do.
    """
    import datasets  # Takes a second to import, and files do not need it.

    loaded = _from_hub(str(source)) if str(source).startswith(HUB) else _from_folder(Path(source))
    assert isinstance(loaded, datasets.Dataset)
    columns = _columns(str(source), loaded.column_names, needed)
    if len(loaded) == 0:
        raise DataError(f"{source}: has no rows")
    classes = {
        name: list(feature.names)
        for name, feature in loaded.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    typed = loaded.with_format("arrow")
    return ArrowRows(str(source), columns, len(loaded), lambda: typed.iter(BATCH), classes)


def _from_folder(folder: Path) -> Any:
    import datasets

    if (folder / "dataset_dict.json").is_file():
        splits = ", ".join(sorted(str(path) for path in folder.iterdir() if path.is_dir()))
        raise DataError(f"{folder}: contains several splits; give one of them: {splits}")
    if not (folder / "state.json").is_file():
        raise DataError(f"{folder}: is a folder, but not one that save_to_disk of Hugging Face's datasets wrote")
    try:
        return datasets.load_from_disk(folder)
    except Exception as error:  # A damaged folder makes the library raise anything.
        raise DataError(f"{folder}: the data set cannot be read ({_first_line(error)}); save it again") from error


def _from_hub(source: str) -> Any:
    import datasets

    name, *rest = source.removeprefix(HUB).split(":")
    if not name or len(rest) not in (1, 2):
        raise DataError(f"{shown(source)}: a data set of the Hub is written as {HUB}owner/name:split")
    try:
        return datasets.load_dataset(name, *rest[:-1], split=rest[-1])
    except Exception as error:  # No connection, no such name or split, a data set that is only a script, …
        raise DataError(
            f"{source}: could not be loaded from the Hub ({_first_line(error)}); "
            "check the name and the connection, or save it to a folder"
        ) from error


def _stored_classes(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """The class names that `datasets` writes into the Parquet files of the Hub and of to_parquet, by column."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return {
            column.strip(): list(map(str, feature["names"]))
            for column, feature in features.items()
            if feature.get("_type") == "ClassLabel" and isinstance(feature.get("names"), list)
        }
    except (ValueError, KeyError, TypeError, AttributeError):  # None, or written by something else.
        return {}


def _columns(name: str, names: Sequence[str], needed: Sequence[str]) -> tuple[str, ...]:
    columns = tuple("" if _INDEX.fullmatch(column) else column.strip() for column in names)
    repeated = sorted({column for column in columns if column and columns.count(column) > 1})
    if repeated:
        raise DataError(f"{name}: the column {quoted(repeated)} appears more than once")
    missing = [column for column in needed if column not in columns]
    if missing:
        raise no_column(name, missing, columns)
    return columns


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
