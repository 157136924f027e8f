"""Marks the rows of a table that were added after looking."""

from dataclasses import replace

from amix.specs.run_plan import RunPlan
from results.loading.preregistration import MARK, departures, seeds_sentence
from results.tabulating.table import Cell, Table


def marked(table: Table, plan: RunPlan) -> Table:
    """The table with its added rows marked and named in a note, and the added seeds named in its caption."""
    added = {row.label for row in plan.methods if row.exploratory or row.exploratory_seeds}
    labels = [str(row[0].value) for row in table.rows if row[0].value in added]
    caption = " ".join(part for part in (table.caption, seeds_sentence(plan)) if part)
    if not labels:
        return replace(table, caption=caption)
    rows = tuple((_marked(row[0]) if row[0].value in added else row[0], *row[1:]) for row in table.rows)
    return replace(table, caption=caption, rows=rows, notes=(*table.notes, departures(plan, labels)))


def _marked(cell: Cell) -> Cell:
    return cell if MARK in cell.marks else replace(cell, marks=cell.marks + MARK)
