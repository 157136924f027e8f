"""CSV and TSV: rows follow from the csv module's strict rules, are checked in two ways, and are never guessed.

A separator is accepted only if it gives every record as many fields as the header. The lines of the file are counted
independently of the records (amix.specs.file_encoding), and the file is also read with quotes as plain text: if both
readings make sense but give different rows, it is refused. (In a file of one column any line is a row; there the
quoting rules decide.)

The standard library's csv does the parsing, because pandas turns an extra field into an index and converts texts,
pyarrow gives no line numbers, and separators found by clevercsv would still have to be checked against every line.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from amix.specs.data_errors import DataError, at, no_column, quoted, shown
from amix.specs.file_encoding import LINE_BREAK, TextFile, open_text

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
OTHER_SEPARATORS = ("|", "^", "~")
"""Separators that are not read, only named in a message."""
SUFFIXES = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
"""Kinds of file, with the separator that the error message assumes if none fits."""
EXCEL_SEPARATOR = "sep="
"""Excel may write `sep=;` as the first line, which names the separator of the others."""


@dataclass(frozen=True)
class Reading:
    """One way to read a file, and where it first fails.

    Attributes:
        separator: The character between two fields.
        quotes: Whether quotes enclose fields; otherwise they are text.
        skipped: Lines before the header.
        header: The first record, with names as written.
        rows: Number of records below the header.
        wrong: What is wrong; "" if every record has as many fields as the header.
        line: The line where it is wrong.
        found: The fields on that line; empty if the quotes are wrong.
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
    """A CSV or TSV file whose records have all been checked; records() reads them again, in constant memory."""

    text: TextFile
    reading: Reading
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()
    unit: str = "line"

    def records(self) -> Iterator[tuple[int, Sequence[str]]]:
        """Yield the first line of each record, and its fields."""
        records = _records(self.text, self.reading)
        filled = ((line, fields) for line, fields in records if fields)
        next(filled)
        yield from filled


Plausible = Callable[[dict[str, str]], bool]
"""Whether fields by column can be a row: a label that the task lacks shows that the line is part of a text."""
QUOTES_AS_TEXT = "quotes are read as text"


def open_delimited(
    path: Path, needed: Sequence[str] = (), encoding: str = "", plausible: Plausible | None = None
) -> Delimited:
    """Determine how a file is written, and check every line of it.

    Args:
        path: The file.
        needed: Columns that must exist; they also distinguish a separator from a character of a name.
        encoding: See amix.specs.file_encoding.open_text.
        plausible: Whether fields can be a row; by default any can.

    Returns:
        The file, ready to be read.

    Raises:
        DataError: One line with the file, the line, its content and what to do.
    """
    text = open_text(path, encoding)
    skipped, given = _excel_line(text)
    readings = [_try(text, Reading(separator, True, skipped)) for separator in ((given,) if given else SEPARATORS)]
    usual = given or SUFFIXES.get(path.suffix.lower(), ",")
    usable = _usable(readings, needed, usual)
    notes: tuple[str, ...] = ()
    if len(usable) > 1:
        kinds = " as well as ".join(SEPARATORS[reading.separator] for reading in usable)
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
    """Return the number of lines to skip, and the separator that the first one names."""
    with text.path.open(encoding=text.encoding, newline="") as file:
        first = file.readline(16).rstrip("\r\n")
    if first.startswith(EXCEL_SEPARATOR) and len(first) == len(EXCEL_SEPARATOR) + 1:
        return 1, first[-1]
    return 0, ""


class _Malformed(Exception):
    """The record that begins on this line breaks the quoting rules."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def _records(text: TextFile, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line of each record, and its fields; none for a blank line."""
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
    """Explain an error of the csv module to someone who did not write the file by hand."""
    message = str(error)
    if "unexpected end of data" in message:
        return "a text begins with a quote that is never closed"
    if "expected after" in message:
        return "a quoted text continues after its closing quote"
    if "field limit" in message:
        return f"a text is longer than {csv.field_size_limit():,} characters: a quote that is never closed?"
    return message


def _try(text: TextFile, reading: Reading) -> Reading:
    """Read the whole file in this way, and record where it first fails."""
    header: tuple[str, ...] = ()
    rows, lines = 0, reading.skipped
    try:
        for line, record in _records(text, reading):
            # The lines that the records occupy must add up to those of the file.
            lines += 1 + sum(len(LINE_BREAK.findall(field)) for field in record if "\n" in field or "\r" in field)
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
        raise DataError(f"{text.path}: has {text.lines} lines, but its records occupy {lines}; save it again")
    return replace(reading, header=header, rows=rows)


def _fields(count: int) -> str:
    return f"{count} field{'s' * (count != 1)}"


def _names(reading: Reading) -> list[str]:
    return [name.strip() for name in reading.header]


def _usable(readings: list[Reading], needed: Sequence[str], usual: str) -> list[Reading]:
    """Return the faultless readings with several columns: only those with the needed ones, if there are any.

    A file of one column has no separator; then the usual one must not occur in its texts outside quotes.
    """
    if all(len(reading.header) < 2 for reading in readings):
        return [reading for reading in readings if not reading.wrong and reading.separator == usual]
    sound = [reading for reading in readings if not reading.wrong and len(reading.header) > 1]
    return [reading for reading in sound if needed and set(needed) <= set(_names(reading))] or sound


def _best(readings: list[Reading], needed: Sequence[str], usual: str) -> Reading:
    """Return the reading whose fault to report: the one with the needed columns, else with the most columns."""
    return max(
        readings,
        key=lambda reading: (
            bool(needed) and set(needed) <= set(_names(reading)), len(reading.header), reading.separator == usual
        ),
    )  # fmt: skip


def _refuse_two_readings(text: TextFile, chosen: Reading, plausible: Plausible | None) -> None:
    """Refuse a file in which quotes join several lines to one record, although each line alone is a record too."""
    plain = _try(text, Reading(chosen.separator, False, chosen.skipped))
    if plain.wrong or len(plain.header) < 2 or plain.rows == chosen.rows:
        return
    names = _names(plain)
    lines = (dict(zip(names, record, strict=True)) for _, record in _records(text, plain) if record)
    next(lines)
    if plausible is not None and not all(map(plausible, lines)):
        return
    for line, record in _records(text, chosen):
        if any("\n" in field or "\r" in field for field in record):
            raise DataError(
                f"{at(text.path, line)}: a quote opens here and closes on a later line, yet every line alone is a "
                f"whole row: {chosen.rows} rows or {plain.rows}? Close the quote, or write it twice where it is text"
            )


def _explained(text: TextFile, reading: Reading) -> DataError:
    """Return the error that explains why no separator fits."""
    where = at(text.path, reading.line)
    kind = SEPARATORS.get(reading.separator, shown(reading.separator))
    if not reading.found:
        advice = "close it, or, if the quote is text, enclose the text in quotes and double the quote"
        return DataError(f"{where}: {reading.wrong}; {advice}")
    first = reading.header[0] if len(reading.header) == 1 else ""
    if other := next((sign for sign in OTHER_SEPARATORS if sign in first), ""):
        return DataError(
            f"{at(text.path, reading.skipped + 1)}: columns seem to be separated by {shown(other)}; "
            "save the file with commas, semicolons or tabs"
        )
    last = reading.found[-1]
    extra = len(reading.found) == len(reading.header) + 1 and not last.strip()
    advice = (
        f"the line ends with an extra separator ({kind}); remove it"
        if extra
        else f"columns are separated by {kind}: put a text that contains one in quotes"
    )
    return DataError(f"{where} has {reading.wrong} (the last one is {shown(last)}); {advice}")


def _columns(path: Path, reading: Reading, needed: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the header without surrounding blanks; refuses repeated or missing ones."""
    names = tuple(_names(reading))
    repeated = [name for name, count in Counter(names).items() if name and count > 1]
    if repeated:
        raise DataError(f"{at(path, reading.skipped + 1)}: the column {quoted(repeated)} appears more than once")
    missing = [name for name in needed if name not in names]
    if missing:
        raise no_column(str(path), missing, names)
    return names
