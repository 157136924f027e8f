"""Random tables in every format, encoding and separator: what was written is read back, or refused with a reason."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pandas
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from amix.data.table_files import read_table
from amix.specs.data_errors import DataError

Rows = list[list[str]]
SIGNS = ['"', '""', ",", ";", "\t", "\n", "\r\n", "\r", " ", "'", "\\", "|"]
LETTERS = ["é", "ß", "€", "字", "🚲", "\u2028", "\x85"]
WORDS = ["None", "NA", "nan", "1e5", "01", "007", "true", "-1", "1.0", "null", "sep=;", "[", "{", "#", "a", "bike", ""]
PIECES = st.one_of(st.sampled_from([*SIGNS, *LETTERS, *WORDS]), st.text(st.characters(codec="utf-8"), max_size=4))
TEXTS = st.lists(PIECES, max_size=6).map("".join)
NAMES = st.lists(
    st.sampled_from(["text", "label", "Größe", "a b", "x;y", "x,y", "id", 'say "so"', "two\nlines"]),
    min_size=2,
    max_size=4,
    unique=True,
)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"]
EXAMPLES = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""The same examples on every machine, so that failures can be reproduced."""


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], Rows]:
    names = draw(NAMES)
    texts = st.lists(TEXTS, min_size=len(names), max_size=len(names))
    return names, draw(st.lists(texts, min_size=1, max_size=6))


def rows_or_error(path: Path, needed: Sequence[str] = (), encoding: str = "") -> pandas.DataFrame | None:
    """Return the rows of a file; None after a one-line error that names the file."""
    try:
        return read_table(path, needed, encoding)
    except DataError as error:
        message = str(error)
    assert str(path) in message
    assert "\n" not in message
    return None


def read_back(path: Path, names: list[str], rows: Rows, encoding: str = "") -> bool:
    """Whether the rows were read; an error is fine, wrong rows are not."""
    frame = rows_or_error(path, [name.strip() for name in names], encoding)
    if frame is None:
        return False
    assert [*frame.columns] == [name.strip() for name in names]
    assert frame.to_numpy().tolist() == rows
    return True


def delimited_text(names: list[str], rows: Rows, separator: str, quoting: Any, ending: str) -> str:
    if any("\r" in one for row in rows for one in row):
        quoting = csv.QUOTE_ALL  # Before Python 3.13 the writer leaves a carriage return outside quotes.
    written = io.StringIO()
    writer = csv.writer(written, delimiter=separator, quoting=quoting, lineterminator=ending)
    writer.writerow(names)
    writer.writerows(rows)
    return written.getvalue()


@EXAMPLES
@given(
    tables(),
    st.sampled_from(",;\t"),
    st.sampled_from([".csv", ".tsv", ".txt", ".CSV"]),
    st.sampled_from(ENCODINGS),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_delimited_files_are_read_back_or_refused(
    tmp_path: Path, table: tuple[list[str], Rows], separator: str, suffix: str, encoding: str, quoting: Any, ending: str
) -> None:
    names, rows = table
    path = tmp_path / f"table{suffix}"
    content = delimited_text(names, rows, separator, quoting, ending)
    try:
        path.write_bytes(content.encode(encoding))
    except UnicodeEncodeError:
        return  # This encoding has no such letter.
    given_encoding = encoding if encoding == "cp1252" else ""
    read = read_back(path, names, rows, given_encoding)
    # NUL characters are refused, and only a line break within quotes can make lines that are whole rows as well.
    assert read or any(set("\r\n\0") & set(text) for text in (*names, *(text for row in rows for text in row)))


@EXAMPLES
@given(
    tables(), st.sampled_from([".jsonl", ".json", ".ndjson"]), st.sampled_from(ENCODINGS), st.booleans(), st.booleans()
)
def test_json_lines_and_arrays_are_read_back(
    tmp_path: Path, table: tuple[list[str], Rows], suffix: str, encoding: str, array: bool, escaped: bool
) -> None:
    names, rows = table
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    lines = "\n".join(json.dumps(one, ensure_ascii=escaped) for one in objects)
    content = json.dumps(objects, ensure_ascii=escaped, indent=1) if array else lines
    path = tmp_path / f"table{suffix}"
    try:
        path.write_bytes(content.encode(encoding))
    except UnicodeEncodeError:
        return
    # Field names are unambiguous in JSON: everything is read.
    assert read_back(path, names, rows, encoding if encoding == "cp1252" else "")


@settings(EXAMPLES, max_examples=200)
@given(tables(), st.booleans())
def test_parquet_files_are_read_back(tmp_path: Path, table: tuple[list[str], Rows], binary: bool) -> None:
    names, rows = table
    path = tmp_path / "table.parquet"
    values: Any = [[text.encode() for text in row] for row in rows] if binary else rows
    pandas.DataFrame(values, columns=names).to_parquet(path)
    assert read_back(path, names, rows)


@settings(EXAMPLES, max_examples=60)
@given(tables())
def test_saved_data_sets_are_read_back(tmp_path_factory: pytest.TempPathFactory, table: tuple[list[str], Rows]) -> None:
    names, rows = table
    folder = tmp_path_factory.mktemp("saved") / "set"
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    datasets.Dataset.from_dict(columns).save_to_disk(folder)
    assert read_back(folder, names, rows)


@settings(EXAMPLES, max_examples=250)
@given(tables(), st.sampled_from([".csv", ".tsv"]))
def test_unquoted_lines_are_never_joined_into_one_row(
    tmp_path: Path, table: tuple[list[str], Rows], suffix: str
) -> None:
    """Fields joined by hand: as many rows as lines, or an error; never rows that were joined."""
    names, rows = table
    separator = {".csv": ",", ".tsv": "\t"}[suffix]
    kept = [name for name in names if not set(name) & set('",;\t\n')]
    assume(len(kept) > 1)  # With one column every line is a row, so a text of several lines is equally plausible.
    lines = [[one.translate(dict.fromkeys(map(ord, "\t\r\n"))) for one in row[: len(kept)]] for row in rows]
    path = tmp_path / f"table{suffix}"
    written = [separator.join(row) for row in lines if any(row)]
    path.write_bytes("\n".join([separator.join(kept), *written]).encode())
    frame = rows_or_error(path, kept)
    assert frame is None or len(frame) == len(written)


@settings(EXAMPLES, max_examples=250)
@given(st.binary(max_size=60), st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet"]), st.binary(max_size=4))
def test_any_bytes_give_rows_or_an_error(tmp_path: Path, content: bytes, suffix: str, start: bytes) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_bytes(start + b"text,label\n" + content)
    rows_or_error(path)
