"""The names that an unknown one was perhaps meant to be, as the end of an error message."""

import difflib
from collections.abc import Iterable


def nearest(name: object, known: Iterable[object]) -> str:
    """The known names that look most like this one, or all of them.

    Args:
        name: what stands there.
        known: what could stand there.

    Returns:
        `did you mean a or b?`, `known: a, b, c` where nothing looks like it, or `there are none`.
    """
    names = [str(one) for one in known]
    if not names:
        return "there are none"
    near = alike(name, names)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"


def alike(name: object, known: Iterable[object], most: int = 3, least: float = 0.5) -> list[str]:
    """The known names that look like this one, the most similar first; capitals and underscores do not count.

    Args:
        name: what stands there.
        known: what could stand there.
        most: how many are returned at most.
        least: similarity from which a name looks alike, 1 for the same letters.
    """
    by_letters: dict[str, str] = {}
    for one in map(str, known):
        by_letters.setdefault(_letters(one), one)
    return [by_letters[one] for one in difflib.get_close_matches(_letters(str(name)), by_letters, most, least)]


def _letters(name: str) -> str:
    return name.casefold().replace("_", " ")
