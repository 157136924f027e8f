"""A Table as Markdown, LaTeX (booktabs), CSV, an HTML fragment, or a rich table for the terminal."""

import csv
import html
import io
import math
from itertools import groupby

import rich.table
from rich.text import Text

from results.table import BEST, SECOND, Cell, Column, Table, number_text

DASH = "–"
STD = " ± "


def letters(table: Table, notes: tuple[str, ...]) -> str:
    """The footnote letters of a cell or header: a, b, ..., z, aa, ab."""
    return ",".join(_letter(table.footnotes[note]) for note in notes)


def _letter(number: int) -> str:
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("a") + number % 26)


def _left(table: Table) -> list[bool]:
    return [column.text or number == 0 for number, column in enumerate(table.columns)]


def _value(cell: Cell, column: Column) -> str:
    if cell.missing:
        return DASH
    text = cell.value if isinstance(cell.value, str) else number_text(float(cell.value or 0), column.format)
    return text if isinstance(cell.value, str) else text.replace("-", "−") + column.unit


def _spread(cell: Cell, column: Column) -> str:
    if cell.missing or cell.spread is None or math.isnan(cell.spread):
        return ""
    return number_text(cell.spread, column.format.replace("+", ""))


def _count(cell: Cell) -> str:
    return "" if cell.count is None else f"({cell.count})"


# Markdown


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown: best in bold, second in italics, caption above and notes below."""
    heads = [_markdown_head(table, column) for column in table.columns]
    lines = [f"### {_markdown_text(table.title)}", ""]
    lines += [f"**{_markdown_text(table.banner)}**", ""] if table.banner else []
    lines += [_markdown_text(table.caption), ""]
    lines += ["| " + " | ".join(heads) + " |"]
    lines += ["|" + "|".join("---" if left else "---:" for left in _left(table)) + "|"]
    lines += [
        "| " + " | ".join(_markdown_cell(table, cell, table.columns[i]) for i, cell in enumerate(row)) + " |"
        for row in table.rows
    ]
    notes = [f"<sup>{_letter(i)}</sup> {_markdown_text(note)}" for i, note in enumerate(table.footnotes)]
    for note in (*(_markdown_text(note) for note in table.notes), *notes):
        lines += ["", note]
    return "\n".join(lines) + "\n"


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
    value, spread = _markdown_text(_value(cell, column)), _spread(cell, column)
    value = {BEST: f"**{value}**", SECOND: f"*{value}*"}.get(cell.rank, value)
    marks = cell.marks.replace("*", "\\*")
    text = value + (STD + spread if spread else "") + (" " + _count(cell) if cell.count is not None else "")
    return text + _markdown_sup(marks) + _markdown_sup(letters(table, cell.notes))


def _markdown_sup(text: str) -> str:
    return f"<sup>{text}</sup>" if text else ""


# LaTeX

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "−": r"$-$", "–": "--", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "α": r"$\alpha$",
    "†": r"$\dagger$", "Δ": r"$\Delta$", "√": r"$\surd$", "…": r"\ldots{}", "’": "'", "·": r"$\cdot$", "ρ": r"$\rho$",
    "\0": "{}",
}  # fmt: skip
WRAPPED = 32
"""Letters beyond which the text of a column is broken into lines."""
_LATEX_MARKS = {"*": "*", "†": r"\dagger"}


def latex_text(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    # Two hyphens in a row, as of a command's option, would be set as one dash.
    words = (word.replace("--", "-\0-") for word in text.split())
    return "".join(_LATEX.get(character, character) for character in " ".join(words))


def latex(table: Table) -> str:
    r"""The table as a LaTeX float: booktabs rules, best \textbf, second \underline, spread as a subscript.

    Needs \usepackage{booktabs,graphicx}; label tab:<name>. A table wider than the line is shrunk to it.
    """
    caption = " ".join(
        part for part in (table.title + ".", table.banner and f"({table.banner}.)", table.caption) if part
    )
    lines = [r"\begin{table}[t]", r"\centering", r"\small", rf"\caption{{{latex_text(caption)}}}"]
    lines += [
        rf"\label{{tab:{table.name}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{_latex_alignment(table)}}}",
        r"\toprule",
    ]
    lines += _latex_groups(table.columns)
    lines += [_latex_row([latex_text(c.header) + _latex_sup(letters(table, c.notes)) for c in table.columns])]
    if any(column.subheader for column in table.columns):
        lines += [_latex_row([latex_text(column.subheader) for column in table.columns])]
    lines += [r"\midrule"]
    for number, row in enumerate(table.rows):
        lines += [_latex_row([_latex_cell(table, cell, table.columns[i]) for i, cell in enumerate(row)])]
        lines += [r"\midrule"] if number in table.rules and number + 1 < len(table.rows) else []
    lines += [r"\bottomrule", r"\end{tabular}}"]
    notes = [latex_text(note) for note in table.notes]
    notes += [f"{_latex_sup(_letter(i))}{latex_text(note)}" for i, note in enumerate(table.footnotes)]
    lines += (
        [
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\footnotesize",
            *(note + r"\par" for note in notes),
            r"\end{minipage}",
        ]
        if notes
        else []
    )
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_alignment(table: Table) -> str:
    def letter(number: int, left: bool) -> str:
        texts = [row[number].value for row in table.rows]
        long = any(isinstance(text, str) and len(text) > WRAPPED for text in texts)
        return ("p{11em}" if long else "l") if left else "r"

    return "".join(letter(number, left) for number, left in enumerate(_left(table)))


def _latex_groups(columns: tuple[Column, ...]) -> list[str]:
    if not any(column.group for column in columns):
        return []
    cells, rules, start = [], [], 1
    for group, members in groupby(columns, key=lambda column: column.group):
        width = len(list(members))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{latex_text(group)}}}" if group else " & ".join([""] * width))
        rules += [rf"\cmidrule(lr){{{start}-{start + width - 1}}}"] if group else []
        start += width
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(table: Table, cell: Cell, column: Column) -> str:
    value, spread = latex_text(_value(cell, column)), _spread(cell, column)
    value = {BEST: rf"\textbf{{{value}}}", SECOND: rf"\underline{{{value}}}"}.get(cell.rank, value)
    text = value + (rf"$_{{\pm {spread}}}$" if spread else "")
    text += f" {_count(cell)}" if cell.count is not None else ""
    marks = "".join(_LATEX_MARKS.get(mark, latex_text(mark)) for mark in cell.marks)
    return text + (f"$^{{{marks}}}$" if marks else "") + _latex_sup(letters(table, cell.notes))


def _latex_sup(text: str) -> str:
    return rf"\textsuperscript{{{text}}}" if text else ""


# CSV


def csv_text(table: Table) -> str:
    """The table's numbers unrounded: per column its value and, where cells have them, std, n and marks."""
    columns: list[tuple[str, list[object]]] = []
    for i, column in enumerate(table.columns):
        name = " ".join(part for part in (column.group, column.header, column.subheader) if part)
        cells = [row[i] for row in table.rows]
        columns.append((name, ["" if cell.missing else cell.value for cell in cells]))
        if any(cell.spread is not None for cell in cells):
            columns.append((f"{name} std", [_blank(cell.spread) for cell in cells]))
        if any(cell.count is not None for cell in cells):
            columns.append((f"{name} n", [_blank(cell.count) for cell in cells]))
        if any(cell.marks for cell in cells):
            columns.append((f"{name} marks", [cell.marks for cell in cells]))
    if table.banner:
        columns.append(("note", [table.banner] * len(table.rows)))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([name for name, _ in columns])
    writer.writerows(zip(*([_plain(value) for value in values] for _, values in columns), strict=True))
    return buffer.getvalue()


def _blank(value: float | int | None) -> object:
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _plain(value: object) -> object:
    # Ten significant digits: enough for every later computation, and free of the last bits of a summation order.
    return format(value, ".10g") if isinstance(value, float) else value


# HTML


def html_table(table: Table) -> str:
    """The table as an HTML fragment: <figure> with caption, table and notes; every text escaped."""
    heads = "".join(_html_head(table, column, left) for column, left in zip(table.columns, _left(table), strict=True))
    head = f"{_html_groups(table.columns)}<tr>{heads}</tr>"
    body = "\n".join(
        "<tr" + (' class="rule"' if number in table.rules else "") + ">"
        + "".join(_html_cell(table, cell, table.columns[i], first=i == 0) for i, cell in enumerate(row)) + "</tr>"
        for number, row in enumerate(table.rows)
    )  # fmt: skip
    notes = [html.escape(note) for note in table.notes]
    notes += [f"<sup>{_letter(i)}</sup> {html.escape(note)}" for i, note in enumerate(table.footnotes)]
    banner = f'<p class="banner">{html.escape(table.banner)}</p>\n' if table.banner else ""
    return (
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
    value, spread = html.escape(_value(cell, column)), _spread(cell, column)
    value = {BEST: f"<b>{value}</b>", SECOND: f"<u>{value}</u>"}.get(cell.rank, value)
    text = value + (f'<span class="std">{STD}{spread}</span>' if spread else "")
    text += f' <span class="n">{_count(cell)}</span>' if cell.count is not None else ""
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


# Terminal


def terminal(table: Table) -> rich.table.Table:
    """The table for the terminal: best in bold, second underlined, caption and notes below."""
    notes = [f"{_letter(i)} {note}" for i, note in enumerate(table.footnotes)]
    below = "\n".join(filter(None, (table.banner and f"[{table.banner}]", table.caption, *table.notes, *notes)))
    view = rich.table.Table(title=Text(table.title), caption=Text(below), caption_justify="left", title_justify="left")
    for column, left in zip(table.columns, _left(table), strict=True):
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
    spread = _spread(cell, column)
    text = Text(_value(cell, column), style=style)
    text.append(
        (STD + spread if spread else "") + (" " + _count(cell) if cell.count is not None else ""), style="not bold"
    )
    return text.append(cell.marks + (f" [{letters(table, cell.notes)}]" if cell.notes else ""), style="not bold")
