"""A Table as an HTML fragment."""

import html
from itertools import groupby

from amix.specs.visible_text import visible
from results.tabulating.render.cell_texts import STD, count_text, left_aligned, letter, letters, spread_text, value_text
from results.tabulating.table import BEST, SECOND, Cell, Column, Table


def html_table(table: Table) -> str:
    """The table as an HTML fragment: <figure> with caption, table and notes; every text escaped."""
    heads = "".join(
        _html_head(table, column, left) for column, left in zip(table.columns, left_aligned(table), strict=True)
    )
    head = f"{_html_groups(table.columns)}<tr>{heads}</tr>"
    body = "\n".join(
        "<tr" + (' class="rule"' if number in table.rules else "") + ">"
        + "".join(_html_cell(table, cell, table.columns[i], first=i == 0) for i, cell in enumerate(row)) + "</tr>"
        for number, row in enumerate(table.rows)
    )  # fmt: skip
    notes = [html.escape(note) for note in table.notes]
    notes += [f"<sup>{letter(i)}</sup> {html.escape(note)}" for i, note in enumerate(table.footnotes)]
    banner = f'<p class="banner">{html.escape(table.banner)}</p>\n' if table.banner else ""
    return visible(
        f'<figure class="table" id="table-{html.escape(table.name)}">\n'
        f"<figcaption><strong>{html.escape(table.title)}.</strong> {html.escape(table.caption)}</figcaption>\n{banner}"
        f'<div class="scroll"><table class="sortable">\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n'
        "</table></div>\n" + "".join(f'<p class="note">{note}</p>\n' for note in notes) + "</figure>\n"
    )


def _html_groups(columns: tuple[Column, ...]) -> str:
    if not any(column.group for column in columns):
        return ""
    cells = [
        f'<th colspan="{len(list(members))}"' + (f' class="group">{html.escape(group)}</th>' if group else "></th>")
        for group, members in groupby(columns, key=lambda column: column.group)
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _html_head(table: Table, column: Column, left: bool) -> str:
    parts = [html.escape(part) for part in (column.header, column.subheader) if part]
    kind = "" if left else ' class="number"'
    return f'<th scope="col"{kind}>{"<br>".join(parts)}{_sup(letters(table, column.notes))}</th>'


def _html_cell(table: Table, cell: Cell, column: Column, first: bool) -> str:
    value, spread = html.escape(value_text(cell, column)), spread_text(cell, column)
    value = {BEST: f"<b>{value}</b>", SECOND: f"<u>{value}</u>"}.get(cell.rank, value)
    text = value + (f'<span class="std">{STD}{spread}</span>' if spread else "")
    text += f' <span class="n">{count_text(cell)}</span>' if cell.count is not None else ""
    text += _sup(html.escape(cell.marks)) + _sup(letters(table, cell.notes))
    if first:
        return f'<th scope="row">{text}</th>'
    if column.text:
        return f"<td>{text}</td>"
    if cell.missing or isinstance(cell.value, str):
        return f'<td class="number">{text}</td>'
    return f'<td class="number" data-value="{cell.value!r}">{text}</td>'


def _sup(text: str) -> str:
    return f"<sup>{text}</sup>" if text else ""
