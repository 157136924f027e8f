"""JSON Lines, and JSON that is one array of objects. Numbers stay as written: 1e5 does not become 100000.0."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amix.specs.data_errors import DataError, at, no_column, quoted, shown
from amix.specs.file_encoding import TextFile, open_text

SUFFIXES = (".jsonl", ".ndjson", ".json")
LARGEST_ARRAY = 1 << 29
"""Most bytes of an array of objects, which is held in memory as a whole; lines are read one by one."""
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class JsonRows:
    """A file whose objects have all been checked; records() reads them again."""

    text: TextFile
    columns: tuple[str, ...]
    rows: int
    array: bool
    notes: tuple[str, ...] = ()
    unit: str = "line"

    def records(self) -> Iterator[tuple[int, Sequence[Any]]]:
        """Yield the first line of each object, and its values in the order of the columns; None for missing ones."""
        for line, fields in _objects(self.text, self.array):
            yield line, [fields.get(name) for name in self.columns]


def open_json(path: Path, needed: Sequence[str] = (), encoding: str = "") -> JsonRows:
    """Check every object of a file.

    Args:
        path: The file.
        needed: Fields that every object must have.
        encoding: See amix.specs.file_encoding.open_text.

    Returns:
        The file, ready to be read; its columns are all fields, in the order of first appearance.

    Raises:
        DataError: One line with the file, the line, its content and what to do.
    """
    text = open_text(path, encoding)
    array = _begins_with_bracket(text)
    if not array:
        _refuse_whole_table(text)
    if array and path.stat().st_size > LARGEST_ARRAY:
        raise DataError(f"{path}: an array of more than {LARGEST_ARRAY >> 20} MiB; write one object per line (.jsonl)")
    columns: dict[str, None] = {}
    rows = 0
    for line, fields in _objects(text, array):
        columns |= dict.fromkeys(fields)
        missing = [name for name in needed if name not in fields]
        if missing:
            raise no_column(at(path, line), missing, fields)
        rows += 1
    if not rows:
        raise DataError(f"{path}: has no rows")
    if rows != (counted := _counted(text, array)):
        raise DataError(f"{path}: {counted} objects were expected but {rows} read; write one object per line")
    notes = () if text.encoding in ("utf-8", "utf-8-sig") else (f"{path.name}: read as {text.encoding}",)
    return JsonRows(text, tuple(columns), rows, array, notes)


def _begins_with_bracket(text: TextFile) -> bool:
    with text.path.open(encoding=text.encoding) as file:
        while chunk := file.read(1 << 16):
            if chunk.strip():
                return chunk.lstrip().startswith("[")
    return False


def _refuse_whole_table(text: TextFile) -> None:
    """Refuse a file that is one object with all rows inside: in a field, or by column as pandas writes it."""
    with text.path.open(encoding=text.encoding, newline="") as file:
        first, more = next((line for line in file if line.strip()), ""), any(line.strip() for line in file)
    if more and first.strip() != "{":
        return
    with text.path.open(encoding=text.encoding, newline="") as file:
        content = file.read(LARGEST_ARRAY)
    try:
        whole, _ = _DECODER.raw_decode(content, _after_blanks(content, 0))
    except (ValueError, RecursionError):
        return  # Reading it line by line tells where it is wrong.
    if not isinstance(whole, dict):
        return
    rows = [name for name, value in whole.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if rows:
        raise DataError(
            f"{text.path}: is one object with the rows in its field {quoted(rows[:1])}; save that list alone"
        )
    if whole and all(isinstance(value, list | dict) for value in whole.values()):
        raise DataError(
            f"{text.path}: is one object with a list for every column, not one object per row; "
            'write rows (pandas: to_json(..., orient="records", lines=True))'
        )


def _counted(text: TextFile, array: bool) -> int:
    """Count the objects in another way than reading them one by one: as a whole, or as lines that are not blank."""
    with text.path.open(encoding=text.encoding) as file:
        return len(json.load(file, parse_int=str)) if array else sum(bool(line.strip()) for line in file)


def _objects(text: TextFile, array: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    with text.path.open(encoding=text.encoding, newline="") as file:
        if array:
            yield from _elements(text.path, file.read())
            return
        for line, content in enumerate(file, start=1):
            if content.strip():
                fields, end = _object(text.path, line, content, _after_blanks(content, 0))
                if _after_blanks(content, end) != len(content):
                    rest = shown(content[end:].strip())
                    raise DataError(f"{at(text.path, line)}: {rest} follows the object; write one object per line")
                yield line, fields


def _elements(path: Path, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of an array, with the lines on which they begin."""
    place, line, counted = _after_blanks(content, _after_blanks(content, 0) + 1), 1, 0
    while content[place : place + 1] != "]":
        line, counted = line + _line_breaks(content, counted, place), place
        fields, place = _object(path, line, content, place)
        yield line, fields
        place = _after_blanks(content, place)
        if content[place : place + 1] == ",":
            place = _after_blanks(content, place + 1)
            if content[place : place + 1] != "]":
                continue
        elif content[place : place + 1] == "]":
            break
        line += _line_breaks(content, counted, place)
        found = shown(content[place : place + 20]) if content[place:] else "the end of the file"
        raise DataError(f"{at(path, line)}: expected a comma and an object, or the end of the array, found {found}")
    rest = content[place + 1 :].strip()
    if rest:
        line += _line_breaks(content, counted, _after_blanks(content, place + 1))
        raise DataError(f"{at(path, line)}: {shown(rest)} follows the end of the array")


def _line_breaks(content: str, start: int, end: int) -> int:
    part = content[start:end]
    return part.count("\n") + part.count("\r") - part.count("\r\n")


def _after_blanks(content: str, place: int) -> int:
    blank = _BLANK.match(content, place)
    return blank.end() if blank else place


def _object(path: Path, line: int, content: str, place: int) -> tuple[dict[str, Any], int]:
    """Return the object that begins at a place, and where it ends."""
    if content[place : place + 1] != "{":
        found = shown(content[place : place + 40].split("\n")[0].rstrip())
        raise DataError(f'{at(path, line)}: an object such as {{"text": …, "label": …}} is expected, found {found}')
    try:
        fields, end = _DECODER.raw_decode(content, place)
    except json.JSONDecodeError as error:
        below = _line_breaks(content, place, error.pos)
        raise DataError(f"{at(path, line + below)}: is not JSON ({error.msg}, character {error.colno})") from error
    except _Refused as error:
        raise DataError(f"{at(path, line)}: {error}") from error
    except RecursionError as error:
        raise DataError(f"{at(path, line)}: is nested too deeply; a row has texts, numbers and a label") from error
    assert isinstance(fields, dict)
    return {name.strip(): value for name, value in fields.items()}, end


class _Refused(ValueError):
    """JSON that Python accepts, but whose meaning is ambiguous."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name.strip() for name, _ in pairs]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise _Refused(f"the field {quoted(repeated)} appears more than once in an object")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise _Refused(f"{name} is not JSON; remove the row, or write a number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=str, parse_float=str, parse_constant=_no_constant, strict=True
)
