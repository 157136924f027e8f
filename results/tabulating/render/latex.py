"""A Table as LaTeX (booktabs)."""

from itertools import groupby

from amix.specs.visible_text import visible
from results.tabulating.render.cell_texts import count_text, left_aligned, letter, letters, spread_text, value_text
from results.tabulating.table import BEST, SECOND, Cell, Column, Table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "±": r"$\pm$", "−": r"$-$", "–": "--", "×": r"$\times$", "≤": r"$\leq$", "≥": r"$\geq$", "α": r"$\alpha$",
    "†": r"$\dagger$", "Δ": r"$\Delta$", "√": r"$\surd$", "‡": r"$\ddagger$",
    "…": r"\ldots{}", "’": "'", "·": r"$\cdot$", "ρ": r"$\rho$",
    "\0": "{}",
}  # fmt: skip
WRAPPED = 32
"""Columns with longer texts, in characters, are wrapped."""
_LATEX_MARKS = {"*": "*", "†": r"\dagger", "‡": r"\ddagger"}


def latex_text(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    # LaTeX would set two hyphens, as in a command's option, as one dash.
    words = (word.replace("--", "-\0-") for word in visible(text).split())
    return "".join(_LATEX.get(character, character) for character in " ".join(words))


def latex(table: Table) -> str:
    r"""The table as a LaTeX float: booktabs rules, best \textbf, second \underline, spread as a subscript.

    Needs \usepackage{booktabs,graphicx}; the label is tab:<name>. A table wider than the line is shrunk to fit.
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
    notes += [f"{_latex_sup(letter(i))}{latex_text(note)}" for i, note in enumerate(table.footnotes)]
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

    return "".join(letter(number, left) for number, left in enumerate(left_aligned(table)))


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
    value, spread = latex_text(value_text(cell, column)), spread_text(cell, column)
    value = {BEST: rf"\textbf{{{value}}}", SECOND: rf"\underline{{{value}}}"}.get(cell.rank, value)
    text = value + (rf"$_{{\pm {spread}}}$" if spread else "")
    text += f" {count_text(cell)}" if cell.count is not None else ""
    marks = "".join(_LATEX_MARKS.get(mark, latex_text(mark)) for mark in cell.marks)
    return text + (f"$^{{{marks}}}$" if marks else "") + _latex_sup(letters(table, cell.notes))


def _latex_sup(text: str) -> str:
    return rf"\textsuperscript{{{text}}}" if text else ""
