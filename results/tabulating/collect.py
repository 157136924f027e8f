"""All tables of a suite, from its records, in every format."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from results.loading.frame import Results, load
from results.loading.layout import Layout
from results.loading.record_checks import Problem
from results.tabulating import render
from results.tabulating.ablation import ablation_table
from results.tabulating.comparisons import across_table, cell_table, primary_table
from results.tabulating.cost import cost_table
from results.tabulating.main import main_table
from results.tabulating.marking import marked
from results.tabulating.out_of_domain import out_of_domain_table
from results.tabulating.pairwise import pairwise_table
from results.tabulating.probabilities import probabilities_table
from results.tabulating.published import published_table
from results.tabulating.sizes import sizes_table
from results.tabulating.stability import stability_table
from results.tabulating.suite_methods import methods_table
from results.tabulating.table import Table
from results.tabulating.test_examples import test_sets_table
from results.tabulating.trained_share import trainable_table
from results.tabulating.tuning import trials_table, tuning_table
from results.tabulating.variance import means_table, variance_table

TOGETHER = "tables"
"""Name of the Markdown file with all tables of a suite."""


@dataclass(frozen=True)
class Collected:
    """A suite's tables, the records that were left out and why, and the files written."""

    suite: str
    tables: tuple[Table, ...]
    problems: tuple[Problem, ...]
    files: tuple[Path, ...]


def collect(suite: str, layout: Layout, selection: str | None = None) -> Collected:
    """Make every table of the suite and write it as .md, .tex, .csv and .html, and all of them into one tables.md.

    Args:
        suite: Its name.
        layout: Where its records are and its tables go.
        selection: 'last' or 'best_dev'; None is the plan's rule.

    Raises:
        PlanError: There is no usable plan.
    """
    results = load(suite, layout, selection)
    tables = make_tables(results)
    together = layout.tables(suite) / f"{_named(TOGETHER, results)}.md"
    files = (*write_tables(tables, layout.tables(suite)), together)
    together.write_text("\n".join(render.markdown(table) for table in tables), encoding="utf-8")
    return Collected(suite, tables, results.problems, files)


def make_tables(results: Results) -> tuple[Table, ...]:
    """Every table that the suite's records can fill, in reading order, each complete."""
    return tuple(completed(table, results) for table in _tables(results) if table is not None)


def completed(table: Table, results: Results) -> Table:
    """A table with the marks of rows added after looking and the command that makes it.

    Under another selection rule than the plan's, the rule's name is added to the table's.
    """
    command = f"Made by: python -m runners collect --suite {results.plan.suite}"
    if results.selection != results.plan.protocol.selection:
        command = f"{command} --selection {results.selection}"
    marks = marked(table, results.plan)
    return replace(marks, name=_named(table.name, results), notes=(*marks.notes, command))


def _named(name: str, results: Results) -> str:
    # Another rule than the protocol's is a second look, which must not overwrite the first.
    if results.selection == results.plan.protocol.selection:
        return name
    return f"{name}-{results.selection.replace('_', '-')}"


def _tables(results: Results) -> Iterator[Table | None]:
    plan = results.plan
    if plan.tuning_budget is not None:
        yield from (make(results, size) for size in plan.sizes for make in (tuning_table, trials_table))
        return
    if plan.runs_share_seeds:
        yield from (make(results, size) for size in plan.sizes for make in (means_table, variance_table))
        return
    others = [plan.protocol.reference, *([plan.protocol.focus] if plan.protocol.focus else [])]
    for size in plan.sizes:
        yield main_table(results, size)
    yield sizes_table(results)
    for size in plan.sizes:
        yield primary_table(results, size)
        yield from (across_table(results, size, other) for other in others)
        yield probabilities_table(results, size)
        yield ablation_table(results, size)
        yield out_of_domain_table(results, size)
        yield test_sets_table(results, size)
        yield stability_table(results, size)
        yield cost_table(results, size)
        yield trainable_table(results, size)
        yield from (cell_table(results, size, other) for other in others)
        yield pairwise_table(results, size)
    yield published_table(results)
    yield methods_table(results)


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
            path.write_text(text, encoding="utf-8")
            files.append(path)
    return files
