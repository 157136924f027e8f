"""A Table as a rich table for the terminal."""

import rich.table
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
