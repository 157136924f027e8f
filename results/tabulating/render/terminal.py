"""A Table as a rich table for the terminal."""

import math
from collections.abc import Collection
from dataclasses import replace

import rich.box
import rich.table
from rich.console import Console
from rich.measure import Measurement
from rich.text import Text

from results.loading.wording import listed
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
UNLIMITED = 10_000


def brief(table: Table, console: Console, lines: int, keep: Collection[str | None] = ()) -> rich.table.Table:
    """The table as a command's final output: no wider than the terminal, no longer than asked, no wrapped names.

    Of a long table the rows in `keep` and the best ones are shown. On a narrow terminal spreads are dropped first, then
    columns from the right, the average last. A sentence below says what is not shown; the files have all.

    Args:
        table: The table.
        console: The terminal.
        lines: The most lines that it may take.
        keep: First cells of rows that are shown in any case, such as the reference's.
    """
    ranked = _best_first(table, keep)
    count = len(ranked)
    while True:
        chosen = sorted(ranked[:count])
        view = _narrow(_of_rows(table, chosen), console, len(ranked) - count)
        excess = len(console.render_lines(view, pad=False)) - lines
        if excess <= 0 or count <= 1:
            return view
        count = max(count - excess, 1)


def _best_first(table: Table, keep: Collection[str | None]) -> list[int]:
    """Numbers of the rows in the order in which they are worth a line: those to keep, then by the score, best first.

    As in the ranks, rows with fewer runs come after the others, whose scores cannot be compared with theirs. A table
    whose rows are not ranked keeps its order.
    """
    headers = [column.header for column in table.columns]
    by_rank = [i for i in range(len(headers)) if any(row[i].rank for row in table.rows)]
    column = headers.index(AVERAGE) if AVERAGE in headers else by_rank[0] if by_rank else None

    def place(number: int) -> tuple[bool, bool, float]:
        row = table.rows[number]
        cell = Cell(None) if column is None else row[column]
        score = float(cell.value) if isinstance(cell.value, float | int) and not cell.missing else -math.inf
        return row[0].value not in keep, cell.count is not None, -score

    return sorted(range(len(table.rows)), key=place)


def _of_rows(table: Table, chosen: list[int]) -> Table:
    """The table with these rows only; a rule stays below the last shown row of those that it closes."""
    rules = {sum(number <= rule for number in chosen) - 1 for rule in table.rules}
    return replace(table, rows=tuple(table.rows[number] for number in chosen), rules=frozenset(rules))


def _narrow(table: Table, console: Console, left_out: int) -> rich.table.Table:
    """The table no wider than the terminal; `left_out` is the number of rows that it had besides."""
    plain = replace(table, rows=tuple(tuple(replace(cell, notes=()) for cell in row) for row in table.rows))
    without = replace(plain, rows=tuple(tuple(replace(cell, spread=None) for cell in row) for row in plain.rows))
    spreads = ["±"] if any(spread_text(row[i], c) for row in plain.rows for i, c in enumerate(plain.columns)) else []
    droppable = [i for i, column in enumerate(table.columns) if i and column.header != AVERAGE][::-1]
    candidates: list[tuple[Table, list[str]]] = [(plain, [])]
    candidates += [
        (_without_columns(without, dropped), spreads + [_name(table.columns[i]) for i in sorted(dropped)])
        for dropped in (droppable[:count] for count in range(max(len(droppable), 1)))
    ]
    for candidate, missing in candidates:
        view = _brief(candidate, missing, left_out)
        if Measurement.get(console, console.options.update(max_width=UNLIMITED), view).maximum <= console.width:
            return view
    return view


def _name(column: Column) -> str:
    return " ".join(filter(None, (column.group, column.header)))


def _without_columns(table: Table, dropped: list[int]) -> Table:
    kept = [i for i in range(len(table.columns)) if i not in dropped]
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[i] for i in kept), rows=rows)


def _brief(table: Table, missing: list[str], left_out: int) -> rich.table.Table:
    below = [
        f"and {left_out} more row{'s' * (left_out > 1)} on the page." if left_out else "",
        f"{table.banner}." if table.banner else "",
        f"Not shown for lack of width: {listed(missing)}." if missing else "",
        "* and †: significant differences." if any(cell.marks for row in table.rows for cell in row) else "",
        "Notes and all tables are on the page.",
    ]
    caption = Text(" ".join(filter(None, below)))
    view = rich.table.Table(
        title=Text(table.title), caption=caption, caption_justify="left", title_justify="left", box=rich.box.SIMPLE
    )
    for column, left in zip(table.columns, left_aligned(table), strict=True):
        name = "\n".join(part for part in (column.group, column.header, column.subheader) if part)
        view.add_column(Text(name), justify="left" if left else "right", no_wrap=True)
    for number, row in enumerate(table.rows):
        cells = (_terminal_cell(table, cell, table.columns[i]) for i, cell in enumerate(row))
        view.add_row(*cells, end_section=number in table.rules)
    return view
