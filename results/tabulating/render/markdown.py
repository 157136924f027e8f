"""A Table in GitHub's Markdown."""

from amix.specs.visible_text import visible
from results.tabulating.render.cell_texts import STD, count_text, left_aligned, letter, letters, spread_text, value_text
from results.tabulating.table import BEST, SECOND, Cell, Column, Table


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown: best in bold, second in italics, caption above and notes below."""
    heads = [_markdown_head(table, column) for column in table.columns]
    lines = [f"### {_markdown_text(table.title)}", ""]
    lines += [f"**{_markdown_text(table.banner)}**", ""] if table.banner else []
    lines += [_markdown_text(table.caption), ""]
    lines += ["| " + " | ".join(heads) + " |"]
    lines += ["|" + "|".join("---" if left else "---:" for left in left_aligned(table)) + "|"]
    lines += [
        "| " + " | ".join(_markdown_cell(table, cell, table.columns[i]) for i, cell in enumerate(row)) + " |"
        for row in table.rows
    ]
    notes = [f"<sup>{letter(i)}</sup> {_markdown_text(note)}" for i, note in enumerate(table.footnotes)]
    for note in (*(_markdown_text(note) for note in table.notes), *notes):
        lines += ["", note]
    return visible("\n".join(lines) + "\n")


def _markdown_text(text: str) -> str:
    for character in "\\`*_|<>[]":
        text = text.replace(
            character, ("&lt;" if character == "<" else "&gt;") if character in "<>" else "\\" + character
        )
    return " ".join(text.split())


def _markdown_head(table: Table, column: Column) -> str:
    parts = [_markdown_text(part) for part in (column.group, column.header, column.subheader) if part]
    return " ".join(parts) + _markdown_sup(letters(table, column.notes))


def _markdown_cell(table: Table, cell: Cell, column: Column) -> str:
    value, spread = _markdown_text(value_text(cell, column)), spread_text(cell, column)
    value = {BEST: f"**{value}**", SECOND: f"*{value}*"}.get(cell.rank, value)
    marks = cell.marks.replace("*", "\\*")
    text = value + (STD + spread if spread else "") + (" " + count_text(cell) if cell.count is not None else "")
    return text + _markdown_sup(marks) + _markdown_sup(letters(table, cell.notes))


def _markdown_sup(text: str) -> str:
    return f"<sup>{text}</sup>" if text else ""
