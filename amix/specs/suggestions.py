"""Suggestions for an unknown name, as the end of an error message."""

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[object]) -> str:
    """Suggest the known names that look most like this one, or list all of them.

    Args:
        name: The unknown name.
        known: The known names.

    Returns:
        `did you mean a or b?`; `known: a, b, c` if nothing looks like it; or `there are none`.
    """
    names = [str(item) for item in known]
    if not names:
        return "there are none"
    similar = alike(name, names)
    return f"did you mean {' or '.join(similar)}?" if similar else f"known: {', '.join(names)}"


def alike(name: object, known: Iterable[object], most: int = 3, least: float = 0.5) -> list[str]:
    """Return the known names that look like this one, most similar first; ignores capitals and underscores.

    Args:
        name: The unknown name.
        known: The known names.
        most: Largest number of names to return.
        least: Smallest similarity, from 0 to 1 for the same letters.
    """
    by_letters: dict[str, str] = {}
    for candidate in map(str, known):
        by_letters.setdefault(_letters(candidate), candidate)
    matches = difflib.get_close_matches(_letters(str(name)), by_letters, most, least)
    return [by_letters[letters] for letters in matches]


def _letters(name: str) -> str:
    return name.casefold().replace("_", " ")
