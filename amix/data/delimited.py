"""CSV and TSV: what a row is follows from the csv module's strict rules, checked in two ways and never guessed.

A separator counts only where every record then has as many fields as the header. The lines of the file are counted
apart from the records (amix.specs.file_encoding), and quotes are also read as plain text: a file that makes sense in
both ways, with different rows, is refused. (In a file of one column any line is a row; there the rules of quotes
decide.)

The standard library's csv does the parsing: pandas makes an index of an extra field and converts texts, pyarrow gives
no line numbers, and the separators that clevercsv finds still have to be checked against every line.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from amix.specs.data_errors import DataError, at, no_column, quoted, shown
from amix.specs.file_encoding import LINE_BREAK, TextFile, open_text

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
"""Kinds of file, with the separator that an error is explained with where none fits."""
EXCEL_SEPARATOR = "sep="
"""Excel writes `sep=;` as a first line, which says how the others are separated."""


@dataclass(frozen=True)
class Reading:
    """One way to read a file, and where it first fails.

    Attributes:
        separator: between two fields.
        quotes: whether quotes hold a field together; else they are text.
        skipped: lines before the header.
        header: the first record, names as they are written.
        rows: records below the header.
        wrong: what is wrong, "" where every record has as many fields as the header.
        line: where it is wrong.
        found: the fields that stand there, none where quotes are wrong.
    """

    separator: str
    quotes: bool
    skipped: int = 0
    header: tuple[str, ...] = ()
    rows: int = 0
    wrong: str = ""
    line: int = 0
    found: tuple[str, ...] = ()


@dataclass(frozen=True)
class Delimited:
    """A CSV or TSV file of which every record has been checked; records() reads it again, in constant memory."""

    text: TextFile
    reading: Reading
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unit: str = "line"

    def records(self) -> Iterator[tuple[int, Sequence[str]]]:
        """The line on which each record begins, and its fields."""
        records = _records(self.text, self.reading)
        filled = (one for one in records if one[1])
        next(filled)
        yield from filled


Plausible = Callable[[dict[str, str]], bool]
"""Whether fields by column can be a row: a label that is none of the task's shows that a line is part of a text."""
QUOTES_AS_TEXT = "quotes are read as text"


def open_delimited(
    path: Path, needed: Sequence[str] = (), encoding: str = "", plausible: Plausible | None = None
) -> Delimited:
    """Find out how a file is written and check every line of it.

    Args:
        path: the file.
        needed: columns that must be there; they also tell a separator from a character of a name.
        encoding: as for amix.specs.file_encoding.open_text.
        plausible: what a row can look like; where it is not given, any row can be.

    Returns:
        The file, ready to be read.

    Raises:
        DataError: one line with the file, the line, what stands there and what to do.
    """
    text = open_text(path, encoding)
    skipped, given = _excel_line(text)
    readings = [_try(text, Reading(one, True, skipped)) for one in ((given,) if given else SEPARATORS)]
    usual = given or SUFFIXES.get(path.suffix.lower(), ",")
    usable = _usable(readings, needed, usual)
    notes: tuple[str, ...] = ()
    if len(usable) > 1:
        kinds = " as well as ".join(SEPARATORS[one.separator] for one in usable)
        raise DataError(f"{path}: every line can be split at {kinds}; save it with texts in quotes")
    if usable:
        chosen = usable[0]
        _refuse_two_readings(text, chosen, plausible)
    else:
        chosen = _best(readings, needed, usual)
        plain = _try(text, Reading(chosen.separator, False, skipped))
        if chosen.separator != "\t" or plain.wrong or len(plain.header) < 2:
            raise _explained(text, chosen)
        chosen, notes = plain, (f"{path.name}: {QUOTES_AS_TEXT}: {chosen.wrong} (line {chosen.line})",)
    columns = _columns(path, chosen, needed)
    if text.encoding != "utf-8" and text.encoding != "utf-8-sig":
        notes += (f"{path.name}: read as {text.encoding}",)
    if chosen.separator != usual:
        notes += (f"{path.name}: columns are separated by {SEPARATORS.get(chosen.separator, chosen.separator)}",)
    return Delimited(text, chosen, columns, notes)


def _excel_line(text: TextFile) -> tuple[int, str]:
    """Lines to be skipped, and the separator that the first one names."""
    with text.path.open(encoding=text.encoding, newline="") as file:
        first = file.readline(16).rstrip("\r\n")
    if first.startswith(EXCEL_SEPARATOR) and len(first) == len(EXCEL_SEPARATOR) + 1:
        return 1, first[-1]
    return 0, ""


class _Malformed(Exception):
    """The record that begins on a line breaks the rules of quotes."""

    def __init__(self, line: int, said: str) -> None:
        super().__init__(said)
        self.line = line


def _records(text: TextFile, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Records with the line on which each begins; an empty list for a blank line."""
    with text.path.open(encoding=text.encoding, newline="") as file:
        for _ in range(reading.skipped):
            next(file, None)
        parser = csv.reader(
            file,
            delimiter=reading.separator,
            quoting=csv.QUOTE_MINIMAL if reading.quotes else csv.QUOTE_NONE,
            strict=True,
        )
        while True:
            line = reading.skipped + parser.line_num + 1
            try:
                record = next(parser)
            except StopIteration:
                return
            except csv.Error as error:
                raise _Malformed(line, _in_words(error)) from error
            yield line, record


def _in_words(error: csv.Error) -> str:
    """What the csv module complains of, for someone who did not write the file by hand."""
    said = str(error)
    if "unexpected end of data" in said:
        return "a text begins with a quote that is never closed"
    if "expected after" in said:
        return "a quoted text goes on after its closing quote"
    if "field limit" in said:
        return f"a text is longer than {csv.field_size_limit():,} characters: a quote that is never closed?"
    return said


def _try(text: TextFile, reading: Reading) -> Reading:
    """Read the whole file in this way, and note where it first fails."""
    header: tuple[str, ...] = ()
    rows, lines = 0, reading.skipped
    try:
        for line, record in _records(text, reading):
            # The lines that the fields found take up, to be held against those that the file has.
            lines += 1 + sum(len(LINE_BREAK.findall(one)) for one in record if "\n" in one or "\r" in one)
            if not record:
                continue
            if not header:
                header = tuple(record)
            elif len(record) == len(header):
                rows += 1
            else:
                wrong = f"{_fields(len(record))}, the header {len(header)}"
                return replace(reading, header=header, rows=rows, wrong=wrong, line=line, found=tuple(record))
    except _Malformed as error:
        return replace(reading, header=header, rows=rows, wrong=str(error), line=error.line)
    if not header or not rows:
        raise DataError(f"{text.path}: has no rows")
    if lines != text.lines:
        raise DataError(f"{text.path}: has {text.lines} lines, but its records take up {lines}; save it anew")
    return replace(reading, header=header, rows=rows)


def _fields(count: int) -> str:
    return f"{count} field{'s' * (count != 1)}"


def _names(reading: Reading) -> list[str]:
    return [name.strip() for name in reading.header]


def _usable(readings: list[Reading], needed: Sequence[str], usual: str) -> list[Reading]:
    """The readings without fault that give several columns, those with the needed ones before the others.

    A file of one column has no separator; then the usual one must not stand in its texts outside quotes.
    """
    if all(len(one.header) < 2 for one in readings):
        return [one for one in readings if not one.wrong and one.separator == usual]
    sound = [one for one in readings if not one.wrong and len(one.header) > 1]
    return [one for one in sound if needed and set(needed) <= set(_names(one))] or sound


def _best(readings: list[Reading], needed: Sequence[str], usual: str) -> Reading:
    """The reading whose fault is worth being told: the one with the needed columns, else with the most columns."""
    return max(
        readings,
        key=lambda one: (
            bool(needed) and set(needed) <= set(_names(one)), len(one.header), one.separator == usual
        ),
    )  # fmt: skip


def _refuse_two_readings(text: TextFile, chosen: Reading, plausible: Plausible | None) -> None:
    """Refuse a file whose lines are whole records too, although quotes put several of them into one."""
    plain = _try(text, Reading(chosen.separator, False, chosen.skipped))
    if plain.wrong or len(plain.header) < 2 or plain.rows == chosen.rows:
        return
    names = _names(plain)
    lines = (dict(zip(names, record, strict=True)) for _, record in _records(text, plain) if record)
    next(lines)
    if plausible is not None and not all(map(plausible, lines)):
        return
    for line, record in _records(text, chosen):
        if any("\n" in one or "\r" in one for one in record):
            raise DataError(
                f"{at(text.path, line)}: a quote opens here and closes on a later line, yet every line alone is a "
                f"whole row: {chosen.rows} rows or {plain.rows}? Close the quote, or write it twice where it is text"
            )


def _explained(text: TextFile, reading: Reading) -> DataError:
    """Why no separator fits."""
    where = at(text.path, reading.line)
    kind = SEPARATORS.get(reading.separator, shown(reading.separator))
    if not reading.found:
        advice = "close it, or write a quote that is text twice, in a text that is in quotes itself"
        return DataError(f"{where}: {reading.wrong}; {advice}")
    last = reading.found[-1]
    extra = len(reading.found) == len(reading.header) + 1 and not last.strip()
    advice = (
        f"the line ends with a separator too many ({kind}); take it away"
        if extra
        else f"columns are separated by {kind}: put a text that holds one into quotes"
    )
    return DataError(f"{where} has {reading.wrong} (the last one is {shown(last)}); {advice}")


def _columns(path: Path, reading: Reading, needed: Sequence[str]) -> tuple[str, ...]:
    """The names of the header without blanks around them, each there once."""
    names = tuple(_names(reading))
    repeated = [name for name, count in Counter(names).items() if name and count > 1]
    if repeated:
        raise DataError(f"{at(path, reading.skipped + 1)}: the column {quoted(repeated)} stands there more than once")
    missing = [name for name in needed if name not in names]
    if missing:
        raise no_column(str(path), missing, names)
    return names
