"""A Table as a rich table for the terminal."""

from dataclasses import replace

import rich.box
import rich.table
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from results.tabulating.render.cell_texts import STD, count_text, left_aligned, letter, letters, spread_text, value_text
from results.tabulating.table import BEST, SECOND, Cell, Column, Table


def terminal(table: Table) -> rich.table.Table:
    """The table for the terminal: best in bold, second underlined, caption and notes below."""
    notes = [f"{letter(i)} {note}" for i, note in enumerate(table.footnotes)]
    below = "\n".join(filter(None, (table.banner and f"[{table.banner}]", table.caption, *table.notes, *notes)))
    view = rich.table.Table(title=Text(table.title), caption=Text(below), caption_justify="left", title_justify="left")
    for column, left in zip(table.columns, left_aligned(table), strict=True):
        name = "\n".join(part for part in (column.group, column.header, column.subheader) if part)
        mark = letters(table, column.notes)
        view.add_column(
            Text(name + (f" [{mark}]" if mark else "")), justify="left" if left else "right", overflow="fold"
        )
    for number, row in enumerate(table.rows):
        view.add_row(
            *(_terminal_cell(table, cell, table.columns[i]) for i, cell in enumerate(row)),
            end_section=number in table.rules,
        )
    return view


def _terminal_cell(table: Table, cell: Cell, column: Column) -> Text:
    style = {BEST: "bold", SECOND: "underline"}.get(cell.rank, "")
    spread = spread_text(cell, column)
    text = Text(value_text(cell, column), style=style)
    text.append(
        (STD + spread if spread else "") + (" " + count_text(cell) if cell.count is not None else ""), style="not bold"
    )
    return text.append(cell.marks + (f" [{letters(table, cell.notes)}]" if cell.notes else ""), style="not bold")


AVERAGE = "Average"
"""Header of the column over all tasks, which is dropped last on a narrow terminal."""


def brief(table: Table, console: Console) -> rich.table.Table:
    """The table as a command's final output: no wider than the terminal, no wrapped names, one line below it.

    If it does not fit, spreads are dropped first, then columns from the right, the average last. The files have all.
    """
    plain = replace(table, rows=tuple(tuple(replace(cell, notes=()) for cell in row) for row in table.rows))
    without = replace(plain, rows=tuple(tuple(replace(cell, spread=None) for cell in row) for row in plain.rows))
    droppable = [i for i, column in enumerate(table.columns) if i and column.header != AVERAGE][::-1]
    shorter = [_without_columns(without, droppable[:count]) for count in range(1, len(droppable))]
    for candidate in (plain, without, *shorter):
        view = _brief(candidate, whole=candidate is plain)
        if Measurement.get(console, console.options.update(max_width=10_000), view).maximum <= console.width:
            return view
    return view


def _without_columns(table: Table, dropped: list[int]) -> Table:
    kept = [i for i in range(len(table.columns)) if i not in dropped]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[i] for i in kept), rows=rows)


def _brief(table: Table, whole: bool) -> rich.table.Table:
    missing = "" if whole else " Left out to fit: spreads, or columns."
    marks = " * and †: significant differences." if any(cell.marks for row in table.rows for cell in row) else ""
    below = f"{table.banner + '. ' if table.banner else ''}Notes and all tables are on the page.{marks}{missing}"
    view = rich.table.Table(
        title=Text(table.title), caption=Text(below), caption_justify="left", title_justify="left", box=rich.box.SIMPLE
    )
    for column, left in zip(table.columns, left_aligned(table), strict=True):
        name = "\n".join(part for part in (column.group, column.header, column.subheader) if part)
        view.add_column(Text(name), justify="left" if left else "right", no_wrap=True)
    for number, row in enumerate(table.rows):
        cells = (_terminal_cell(table, cell, table.columns[i]) for i, cell in enumerate(row))
        view.add_row(*cells, end_section=number in table.rules)
    return view
