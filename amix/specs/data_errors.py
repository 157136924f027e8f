"""What goes wrong with data, as one sentence for the person whose data it is."""

from collections.abc import Iterable
from pathlib import Path

from amix.specs.suggestions import alike


class DataError(ValueError):
    """Data that is missing or does not fit its task."""


def at(path: Path | str, place: int | None = None, unit: str = "line") -> str:
    """The beginning of a message: the file, and where in it where that is known."""
    return f"{path}" if place is None else f"{path}, {unit} {place}"


def shown(value: object, longest: int = 60) -> str:
    """A value as it is written into a message: quoted, shortened, with no control characters."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 2]}…{text[-1]}"


def quoted(names: Iterable[object]) -> str:
    """Names in quotes, so that a blank within one can be seen."""
    return ", ".join(shown(str(name)) for name in names)


def no_column(where: str, missing: Iterable[str], there: Iterable[str], hint: str = "") -> DataError:
    """Columns that are asked for and not there, with those that are, and the nearest."""
    names, known = list(missing), [name for name in there if name]
    near = dict.fromkeys(one for name in names for one in alike(name, known, most=1, least=0.6))
    guess = f"; did you mean {quoted(near)}?" if near else ""
    return DataError(f"{where}: no column {quoted(names)}; columns there: {quoted(known) or 'none'}{guess}{hint}")
