"""Tables whose added rows are marked, with a note that names them."""

from dataclasses import replace

from amix.specs.run_plan import RunPlan
from results.loading.preregistration import MARK, departures, seeds_sentence
from results.tabulating.table import Cell, Table


def marked(table: Table, plan: RunPlan) -> Table:
    """The table with its added rows marked, a note that names them, and a caption that counts the added seeds."""
    added = {row.label for row in plan.methods if row.exploratory or row.exploratory_seeds}
    labels = [str(row[0].value) for row in table.rows if row[0].value in added]
    caption = " ".join(part for part in (table.caption, seeds_sentence(plan)) if part)
    if not labels:
        return replace(table, caption=caption)
    rows = tuple((_marked(row[0]) if row[0].value in added else row[0], *row[1:]) for row in table.rows)
    return replace(table, caption=caption, rows=rows, notes=(*table.notes, departures(plan, labels)))


def _marked(cell: Cell) -> Cell:
    return cell if MARK in cell.marks else replace(cell, marks=cell.marks + MARK)
