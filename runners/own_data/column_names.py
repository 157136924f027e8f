"""Names for added columns that write over none of a table's own."""

from collections.abc import Iterable, Sequence


def free_names(names: Iterable[str], taken: Sequence[str]) -> list[str]:
    """The names, with a number behind each that is taken already or comes a second time."""
    found: list[str] = []
    for name in names:
        number, free = 2, name
        while free in (*taken, *found):
            free, number = f"{name}_{number}", number + 1
        found.append(free)
    return found
