"""Comparison of the tables of two sweeps, except for seconds and bytes of memory, which differ between runs."""

import dataclasses
from pathlib import Path

from results.loading.layout import Layout
from results.tabulating.collect import collect
from results.tabulating.render.csv import csv_text
from results.tabulating.render.html import html_table
from results.tabulating.render.latex import latex
from results.tabulating.render.markdown import markdown
from results.tabulating.table import Table

MACHINE_COLUMNS = ("Training", "Run", "Time", "Memory")
"""Columns of seconds and bytes."""
RENDERERS = (markdown, latex, csv_text, html_table)


def assert_same_tables(suite: str, one: Path, other: Path) -> None:
    tables, others = (collect(suite, Layout(out)).tables for out in (one, other))
    assert [table.name for table in tables] == [table.name for table in others]
    assert tables
    for table, twin in zip(tables, others, strict=True):
        for render in RENDERERS:
            assert render(without_machine_columns(table)) == render(without_machine_columns(twin))


def without_machine_columns(table: Table) -> Table:
    indices = [index for index, column in enumerate(table.columns) if column.header not in MACHINE_COLUMNS]
    columns = tuple(table.columns[index] for index in indices)
    rows = tuple(tuple(row[index] for index in indices) for row in table.rows)
    return dataclasses.replace(table, columns=columns, rows=rows)
