"""Whether two sweeps left the same tables, seconds and bytes of memory apart, which no two runs share."""

import dataclasses
from pathlib import Path

from results.loading.layout import Layout
from results.tabulating.collect import collect
from results.tabulating.render.csv import csv_text
from results.tabulating.render.html import html_table
from results.tabulating.render.latex import latex
from results.tabulating.render.markdown import markdown
from results.tabulating.table import Table

OF_THE_MACHINE = ("Training", "Run", "Time", "Memory")
"""Columns of seconds and bytes."""
RENDERED = (markdown, latex, csv_text, html_table)


def assert_same_tables(suite: str, one: Path, other: Path) -> None:
    tables, others = (collect(suite, Layout(out)).tables for out in (one, other))
    assert [table.name for table in tables] == [table.name for table in others]
    assert tables
    for table, twin in zip(tables, others, strict=True):
        for rendered in RENDERED:
            assert rendered(without_machine_columns(table)) == rendered(without_machine_columns(twin))


def without_machine_columns(table: Table) -> Table:
    kept = [place for place, column in enumerate(table.columns) if column.header not in OF_THE_MACHINE]
    columns, rows = ([[cells[place] for place in kept] for cells in whole] for whole in ([table.columns], table.rows))
    return dataclasses.replace(table, columns=tuple(columns[0]), rows=tuple(map(tuple, rows)))
