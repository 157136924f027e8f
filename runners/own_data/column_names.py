"""Names for added columns that do not clash with a table's own."""

from collections.abc import Iterable, Sequence


def free_names(names: Iterable[str], taken: Sequence[str]) -> list[str]:
    """The names, with a number appended to each that is already taken or occurs a second time."""
    unique: list[str] = []
    for name in names:
        number, free = 2, name
        while free in (*taken, *unique):
            free, number = f"{name}_{number}", number + 1
        unique.append(free)
    return unique
