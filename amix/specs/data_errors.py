"""Error messages about data: one sentence for the person whose data it is."""

from collections.abc import Iterable
from pathlib import Path

from amix.specs.suggestions import alike

LONGEST_NAME = 50
"""Letters; what is longer is a text, not the name of a column."""


class DataError(ValueError):
    """Data is missing or does not fit its task."""


def at(path: Path | str, place: int | None = None, unit: str = "line") -> str:
    """Return the beginning of a message: the file and, if known, the place in it."""
    return f"{path}" if place is None else f"{path}, {unit} {place}"


def shown(value: object, longest: int = 60) -> str:
    """Format a value for a message: quoted, shortened, without control characters."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 2]}…{text[-1]}"


def quoted(names: Iterable[object]) -> str:
    """Format names in quotes, so that blanks are visible."""
    return ", ".join(shown(str(name)) for name in names)


def no_column(where: str, missing: Iterable[str], there: Iterable[str], hint: str = "") -> DataError:
    """Return the error for missing columns, with the existing ones and the most similar of them."""
    names, known = list(missing), [name for name in there if name]
    similar = dict.fromkeys(match for name in names for match in alike(name, known, most=1, least=0.6))
    guess = f"; did you mean {quoted(similar)}?" if similar else ""
    if not similar and any(len(name) > LONGEST_NAME for name in known):
        guess = "; the first line must hold the columns' names"
    return DataError(f"{where}: no column {quoted(names)}; columns there: {quoted(known) or 'none'}{guess}{hint}")
