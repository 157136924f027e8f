"""All tables of a suite, from its records, in every format."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from results import render
from results.check import Problem
from results.frame import Results, load
from results.layout import Layout
from results.main_table import main_table
from results.table import Table


@dataclass(frozen=True)
class Collected:
    """A suite's tables, the records that were left out and why, and the files written."""

    suite: str
    tables: tuple[Table, ...]
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]


def collect(suite: str, layout: Layout, selection: str | None = None) -> Collected:
    """Make every table of the suite and write it as .md, .tex, .csv and .html.

    selection 'last' or 'best_dev'; None is the rule that the plan fixes. Raises PlanError when there is no usable plan.
    """
    results = load(suite, layout, selection)
    tables = make_tables(results)
    return Collected(suite, tables, results.problems, tuple(write_tables(tables, layout.tables(suite))))


def make_tables(results: Results) -> tuple[Table, ...]:
    """Every table that the suite's records can fill."""
    return tuple(main_table(results, size) for size in results.plan.sizes)


def write_tables(tables: Iterable[Table], folder: Path) -> list[Path]:
    """Write each table as <name>.md, .tex, .csv and .html into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for table in tables:
        for suffix, text in (
            ("md", render.markdown(table)),
            ("tex", render.latex(table)),
            ("csv", render.csv_text(table)),
            ("html", render.html_table(table)),
        ):
            path = folder / f"{table.name}.{suffix}"
            path.write_text(text)
            files.append(path)
    return files
