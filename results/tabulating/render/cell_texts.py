"""The texts of a cell's value, spread, count and footnotes, common to all formats."""

import math

from results.tabulating.table import Cell, Column, Table, number_text

DASH = "–"
STD = " ± "


def letters(table: Table, notes: tuple[str, ...]) -> str:
    """The footnote letters of a cell or header: a, b, ..., z, aa, ab."""
    return ",".join(letter(table.footnotes[note]) for note in notes)


def letter(number: int) -> str:
    """The letter of a footnote counted from 0: a, b, ..., z, aa, ab."""
    return (letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def left_aligned(table: Table) -> list[bool]:
    """Whether each column is text and so aligned left; the first column always is."""
    return [column.text or number == 0 for number, column in enumerate(table.columns)]


def value_text(cell: Cell, column: Column) -> str:
    """The value in the column's format with its unit, or a dash if it is missing."""
    if cell.missing:
        return DASH
    text = cell.value if isinstance(cell.value, str) else number_text(float(cell.value or 0), column.format)
    return text if isinstance(cell.value, str) else text.replace("-", "−") + column.unit


def spread_text(cell: Cell, column: Column) -> str:
    """The spread in the column's format; empty if there is none."""
    if cell.missing or cell.spread is None or math.isnan(cell.spread):
        return ""
    return number_text(cell.spread, column.format.replace("+", ""))


def count_text(cell: Cell) -> str:
    """The number of runs in parentheses; empty if the cell has no count of its own."""
    return "" if cell.count is None else f"({cell.count})"
