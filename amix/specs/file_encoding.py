"""The encoding of a text file: that of its byte order mark, else the one its owner gives, else UTF-8; never a guess.

charset-normalizer only suggests a name for the error message, and only for texts that are not Western: it confuses
short texts in cp1252 (which Excel writes) with cp1250 or old Mac encodings.
"""

import codecs
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from amix.specs.data_errors import DataError, at, shown

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; UTF-32's before UTF-16's, because the former begins with the latter."""
FOREIGN = (
    (b"PK\x03\x04", "a zip archive, as Excel's .xlsx files are"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"PAR1\x15", "a Parquet file"),
    (b"%PDF-", "a PDF"),
)
"""First bytes of files that are no text, whatever their names say."""
CHUNK = 1 << 20
SAMPLE, MOST_LINES = 1 << 16, 20
WESTERN_SHARE = 0.35
"""In texts in Western languages, at most about a third of the letters are outside ASCII; in others nearly all are."""
REMEDY = "save it as UTF-8, or give its encoding: 'encoding: {0}' in the task file or --encoding {0}"
LINE_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class TextFile:
    """A text file that decodes from beginning to end: its encoding and its number of lines.

    The last line counts with or without a line break.
    """

    path: Path
    encoding: str
    lines: int


def refuse_special(path: Path) -> None:
    """Refuse anything but a regular file or folder: a pipe or device may never end.

    Raises:
        DataError: The path does not exist, cannot be accessed, or is a pipe, socket or device.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(f"{path}: is a pipe, socket or device; save the data as a file first")


def open_text(path: Path, encoding: str = "") -> TextFile:
    """Decode a file once, in constant memory.

    Args:
        path: The file.
        encoding: Its encoding, if its owner gives one, under any of Python's names.

    Returns:
        The file with its encoding and its number of lines.

    Raises:
        DataError: A line is not in the encoding; names it and says what to do.
    """
    refuse_special(path)
    if path.is_dir():
        raise DataError(f"{path}: is a folder, not a file")
    try:
        with path.open("rb") as file:
            start = file.read(8)
            _refuse_foreign(path, start)
            chosen = _chosen(path, start, encoding)
            file.seek(0)
            return TextFile(path, chosen, _count_lines(path, iter(lambda: file.read(CHUNK), b""), chosen))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def decoded(content: bytes, path: Path) -> str:
    """Decode a small file such as a task's description, by its byte order mark or else as UTF-8.

    Raises:
        DataError: A line is not UTF-8; names it and says what to do.
    """
    chosen = _chosen(path, content[:4], "")
    _count_lines(path, iter((content,)), chosen, "save it as UTF-8")
    return content.decode(chosen)


def _refuse_foreign(path: Path, start: bytes) -> None:
    kind = next((name for mark, name in FOREIGN if start.startswith(mark)), "")
    if kind:
        raise DataError(
            f"{path}: is {kind}, not a text file; save its table as 'CSV UTF-8', or give it the ending of its kind"
        )


def _chosen(path: Path, start: bytes, given: str) -> str:
    marked = next((name for mark, name in MARKS if start.startswith(mark)), None)
    if not given:
        return marked or "utf-8"
    try:
        codec = codecs.lookup(given)
        "".encode(given)  # Python's codecs include some that are not text encodings; these raise here.
    except (LookupError, ValueError) as error:
        raise DataError(
            f"{path}: {shown(given)} is not an encoding; encodings are for example utf-8, cp1252, utf-16"
        ) from error
    if marked and codec.name[:5] != marked[:5]:
        raise DataError(f"{path}: its first bytes mean {marked}, but encoding is {given}; leave encoding out")
    return marked or codec.name


class _Lines:
    """Counts line breaks over chunks of text: line feeds, carriage returns, and both together as one."""

    def __init__(self) -> None:
        self.breaks = 0
        self.last = ""

    def feed(self, text: str) -> None:
        """Count the line breaks of the next chunk."""
        if text:
            self.breaks += len(LINE_BREAK.findall(text)) - (self.last == "\r" and text[0] == "\n")
            self.last = text[-1]

    @property
    def count(self) -> int:
        """The number of lines so far."""
        return self.breaks + (self.last not in ("", "\r", "\n"))


def _count_lines(path: Path, chunks: Iterator[bytes], encoding: str, remedy: str = "") -> int:
    """Count the lines of the file, decoding every chunk strictly."""
    decoder, lines = codecs.getincrementaldecoder(encoding)("strict"), _Lines()
    try:
        for chunk in chunks:
            _feed(path, lines, decoder.decode(chunk))
        _feed(path, lines, decoder.decode(b"", final=True))
    except UnicodeDecodeError as error:
        # error.object is the chunk, preceded by the undecoded rest of the previous one.
        lines.feed(error.object[: error.start].decode(encoding, "ignore"))
        raise _not_decodable(path, lines.breaks + 1, error, encoding, remedy) from error
    except UnicodeError as error:  # UTF-16 or UTF-32 without the mark that says which way round its bytes are.
        words = f"is not {encoding} ({error}); leave encoding out, or name another one"
        raise DataError(f"{at(path, lines.breaks + 1)}: {words}") from error
    return lines.count


def _feed(path: Path, lines: _Lines, text: str) -> None:
    before, nul, _ = text.partition("\0")
    lines.feed(before if nul else text)
    if nul:
        raise DataError(
            f"{at(path, lines.breaks + 1)}: contains a NUL character: remove it or, if the file is UTF-16 without a "
            "byte order mark, give encoding: utf-16-le or utf-16-be"
        )


def _not_decodable(path: Path, line: int, error: UnicodeDecodeError, encoding: str, remedy: str) -> DataError:
    """Return the error for a line that is not in this encoding; for UTF-8, with the encoding it looks like."""
    name = "UTF-8" if encoding.startswith("utf-8") else encoding
    what = f"{at(path, line)}: byte 0x{error.object[error.start]:02x} is not {name}"
    likely = _likely(error.object, error.start) if name == "UTF-8" else ""
    if not likely:
        return DataError(f"{what}; {remedy or REMEDY.format('NAME')}")
    begin = max(error.object.rfind(b"\n", 0, error.start) + 1, error.start - 24)
    part = error.object[begin : error.start + 16].decode(likely, "replace").splitlines()[0]
    return DataError(f"{what} (looks like {likely}: {shown(part)}); {remedy or REMEDY.format(likely)}")


def _likely(content: bytes, start: int) -> str:
    """Return the likely encoding of a text that is not UTF-8; "" if there is none."""
    sample = content[max(0, start - SAMPLE // 2) :][:SAMPLE]
    # Column names and labels are often English; only lines with other letters reveal the encoding.
    sample = b"\n".join([line for line in sample.splitlines() if not line.isascii()][:MOST_LINES])
    try:
        letters = [letter for letter in sample.decode("cp1252") if letter.isalpha()]
    except UnicodeDecodeError:
        letters = []
    if letters and sum(letter > "\x7f" for letter in letters) < WESTERN_SHARE * len(letters):
        return "cp1252"
    from charset_normalizer import from_bytes  # Imported here because only an error needs it.

    best = from_bytes(sample).best()
    return best.encoding if best is not None else ""
