"""A table independent of its rendering: cells have numbers, marks and notes; `render` decides how they look."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from results.loading.wording import p_digits

BEST, SECOND = 1, 2
P_VALUE = "p"
"""Column format of p-values: two or three digits, never zero and never in powers of ten."""
SMALLEST_P = 0.0001


@dataclass(frozen=True)
class Cell:
    """One cell: text or a number, its spread (after a ±), its count (in parentheses), rank, marks and footnotes.

    A value of None or NaN is a missing cell, printed as a dash; notes are the texts of its footnotes.
    """

    value: float | str | None
    spread: float | None = None
    count: int | None = None
    rank: int = 0
    marks: str = ""
    notes: tuple[str, ...] = ()

    @property
    def missing(self) -> bool:
        """Whether there is nothing to print."""
        return self.value is None or (isinstance(self.value, float) and math.isnan(self.value))


@dataclass(frozen=True)
class Column:
    """A column: header, second header line, the format of its numbers, their unit, a group, footnotes of the header.

    format is a Python format specification, or P_VALUE. text columns are aligned left, as the first column is.
    """

    header: str
    subheader: str = ""
    format: str = ".1f"
    unit: str = ""
    group: str = ""
    notes: tuple[str, ...] = ()
    text: bool = False


@dataclass(frozen=True)
class Table:
    """A table: name (of its files), title, caption, columns, rows, rules, notes below it, and a banner.

    rules are the rows under which a rule is drawn; the banner, a warning about the numbers, is part of every rendering,
    including CSV. detail marks a table for reference, which the page collapses.
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    rules: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    banner: str = ""
    detail: bool = False

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.name}: row {number} has {len(row)} cells for {len(self.columns)} columns"
                )

    @cached_property
    def footnotes(self) -> dict[str, int]:
        """All footnotes, headers' first, each once, in reading order; number i is printed as letter i."""
        notes = [note for column in self.columns for note in column.notes]
        notes += [note for row in self.rows for cell in row for note in cell.notes]
        return {note: number for number, note in enumerate(dict.fromkeys(notes))}


def number_text(value: float, spec: str) -> str:
    """A number in a column's format, without a sign if it rounds to zero."""
    if spec == P_VALUE:
        return f"<{SMALLEST_P:g}" if value < SMALLEST_P else p_digits(value)
    text = format(value, spec)
    return text.lstrip("+-") if float(text.replace(",", "")) == 0 else text


def rank_column(cells: Iterable[Cell], spec: str, eligible: Iterable[bool], highest: bool = True) -> list[Cell]:
    """The cells with the best and the second best ranked; values equal at the printed precision share a rank.

    Cells that are missing, contain text, or are not eligible (such as a majority row) get no rank.
    """
    cells, eligible = list(cells), list(eligible)
    printed = [
        float(format(cell.value, spec)) if ok and not cell.missing and isinstance(cell.value, float | int) else None
        for cell, ok in zip(cells, eligible, strict=True)
    ]
    order = sorted({value for value in printed if value is not None}, reverse=highest)
    # A single value is not the best of anything.
    if sum(value is not None for value in printed) < 2:
        return cells
    ranks = dict(zip(order, (BEST, SECOND), strict=False))
    return [
        cell if value is None else replace(cell, rank=ranks.get(value, 0))
        for cell, value in zip(cells, printed, strict=True)
    ]
