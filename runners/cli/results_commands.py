"""The commands that make tables, figures, the page and the archive from records, without torch."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from amix.specs.wording import counted
from results.loading.layout import Layout
from runners.cli.options import MOST_LINES, OutOption, SelectionOption, SuiteOption, console, lines_of

if TYPE_CHECKING:
    from results.loading.frame import Results
    from results.tabulating.collect import Collected

MOST_PROBLEMS = 5
app = typer.Typer()


@app.command()
def collect(suite: SuiteOption = "quick", out: OutOption = None, selection: SelectionOption = None) -> None:
    """Make a suite's tables from its records and print them. Needs no torch."""
    from results.tabulating.collect import collect as make_tables

    name, layout = _suite_name(suite), Layout(out)
    collected = make_tables(name, layout, selection)
    _show_tables(collected)
    console.print(f"tables: {layout.tables(name)}", soft_wrap=True)


@app.command()
def archive(suite: SuiteOption = "quick", out: OutOption = None) -> None:
    """Put a suite's plan, records and predictions into one Parquet file, from which everything can be remade."""
    from results.loading.frame import pack

    console.print(f"archive: {pack(_suite_name(suite), Layout(out))}", soft_wrap=True)


@app.command()
def figures(
    suite: SuiteOption = "quick",
    out: OutOption = None,
    run: Annotated[
        str,
        typer.Option("--run", help="Only the search of one run, as label/task/seed or label/task/seed/size."),
    ] = "",
) -> None:
    """Draw a suite's figures from its records. Needs no torch."""
    from paper_figures.figures.one_search import make_one
    from paper_figures.make import make

    name, layout = _suite_name(suite), Layout(out)
    for path in make_one(name, layout, run) if run else make(name, layout):
        console.print(str(path), soft_wrap=True)


@app.command()
def report(suite: SuiteOption = "quick", out: OutOption = None) -> None:
    """Write a suite's page: tables, figures, environment and command in one HTML file. Needs no torch."""
    from paper_figures.page.report import write

    console.print(str(write(_suite_name(suite), Layout(out))), soft_wrap=True)


def make_everything(name: str, layout: Layout) -> None:
    """Make the tables, figures and page of a suite that has run; print the answer, the main table and the places."""
    from paper_figures.make import make_unless_made
    from paper_figures.page.report import write
    from results.loading.frame import load
    from results.tabulating.collect import collect as make_tables

    collected = make_tables(name, layout)
    make_unless_made(name, layout)
    page = write(name, layout)
    show_end(load(name, layout), collected, (f"tables: {layout.tables(name)}", f"page:   {page}"))


def show_end(results: "Results", collected: "Collected", places: Sequence[str]) -> None:
    """Print the answer in sentences, the main table of the largest size, what was left out, and where the files are.

    That takes at most MOST_LINES lines; the page and the files have all rows, columns and other tables.
    """
    from results.analysis.summary_text import answer
    from results.tabulating.render.terminal import brief

    plan, size = results.plan, results.plan.sizes[-1]
    sentences = [Text(sentence) for sentence in answer(results, size)]
    problems, files = _left_out(collected), [Text(place) for place in places]
    left = MOST_LINES - lines_of(*sentences, "", *problems, *files)
    for sentence in sentences:
        console.print(sentence, soft_wrap=not console.is_terminal)
    shown = [table for table in collected.tables if table.name.endswith(f"n{size}")] or list(collected.tables)
    for table in shown[:1]:
        console.print()
        console.print(brief(table, console, left, (plan.protocol.reference, plan.protocol.focus)))
    for text in (*problems, *files):
        console.print(text, soft_wrap=True)


def _left_out(collected: "Collected") -> list[Text]:
    """A line for each record that was left out, up to MOST_PROBLEMS."""
    lines = [Text.assemble(("left out: ", "yellow"), str(problem)) for problem in collected.problems[:MOST_PROBLEMS]]
    if (more := len(collected.problems) - MOST_PROBLEMS) > 0:
        lines.append(Text(f"and {counted(more, 'more record')}, which python -m runners collect lists"))
    return lines


def _show_tables(collected: "Collected") -> None:
    """Print the tables that answer the question (tables of details are on the page), then what was left out."""
    from results.tabulating.render.terminal import terminal

    for table in collected.tables:
        if not table.detail:
            console.print(terminal(table))
    for problem in collected.problems:
        console.print(Text.assemble(("left out: ", "yellow"), str(problem)))


def _suite_name(suite: str) -> str:
    """The name of a suite that is given by name or as a file."""
    if not suite.endswith((".yaml", ".yml")):
        return suite
    from runners.planning.suite import find_suite

    return find_suite(suite).name
