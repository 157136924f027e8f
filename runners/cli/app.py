"""The verbs of python -m runners.

Modules that import torch are imported inside the verbs that need it: tables, figures and pages are made without it.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from amix.specs.launch import processes
from results.loading.layout import Layout
from runners.cli import bench_commands, encoder_commands, list_commands, run_commands, schema_command
from runners.cli.options import (
    DryOption,
    GlueOption,
    MethodsOption,
    OutOfDomainOption,
    OutOption,
    RetryOption,
    SeedsOption,
    SelectionOption,
    SuiteOption,
    WorkersOption,
    console,
    recorded_command,
    typed_command,
)
from runners.sweeping import interrupts

if TYPE_CHECKING:
    from results.tabulating.collect import Collected
    from runners.planning.chosen import ChosenPlan
    from runners.planning.plan import SuitePlan
    from runners.sweeping.state import SweepState

PROJECT = ("amix", "baselines", "runners", "results", "paper_figures")
INTERRUPTED = 130
app = typer.Typer(
    help="Compare finetuning methods on low-resource tasks: plan, sweep, tables, figures, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(run_commands.app)
app.add_typer(list_commands.app)
app.add_typer(schema_command.app)
app.add_typer(encoder_commands.app, name="encoders")
app.add_typer(bench_commands.app, name="bench")


def main() -> None:
    """Run the command line; an error that the project foresees is one sentence, not a traceback."""
    interrupts.listen()
    try:
        app()
    except SystemExit:
        if not interrupts.came():
            raise
        # Said below what the command line library says, which is one word.
        said = f"Stopped. Files are written whole or not at all; the same command goes on:\n  {typed_command()}"
        Console(stderr=True).print(said, highlight=False, soft_wrap=True, markup=False)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not _foreseen(error):
            raise
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(2)


def _foreseen(error: Exception) -> bool:
    return isinstance(error, ValueError | RuntimeError) and type(error).__module__.split(".")[0] in PROJECT


def _leave_at_once() -> NoReturn:
    """End without Python's tearing down of torch, which takes a second, and ten of them on a busy machine."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)


def _suite_name(suite: str) -> str:
    """The name of a suite given as name or file."""
    if not suite.endswith((".yaml", ".yml")):
        return suite
    from runners.planning.suite import find_suite

    return find_suite(suite).name


def _plan(suite: str, methods: str, seeds: str) -> "ChosenPlan":
    from runners.planning.chosen import chosen_plan
    from runners.planning.suite import find_suite

    return chosen_plan(find_suite(suite), methods, seeds)


@app.command("plan")
def plan_verb(
    suite: SuiteOption = "quick",
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    workers: WorkersOption = None,
    out: OutOption = None,
) -> None:
    """Show what a suite asks for: runs, how many are left, expected time. Runs nothing."""
    _show_plan(_plan(suite, methods, seeds).part, Layout(out), workers, retry_failed=False)


def _show_plan(plan: "SuitePlan", layout: Layout, workers: int | None, retry_failed: bool) -> None:
    from runners.cli.listings import plan_table
    from runners.cli.progress import duration
    from runners.sweeping.carry_out import default_workers
    from runners.sweeping.state import SweepState

    state = SweepState.read(plan, layout, retry_failed)
    work = state.todo
    count = default_workers() if workers is None else workers
    console.print(plan_table(plan, work))
    console.print(
        f"{len(plan.runs)} runs, {work.done} done, {len(work.runs)} to do: "
        f"about {duration(work.seconds(count))} with {max(count, 1)} workers",
    )
    _say_nothing_is_left(state, layout)


def _say_nothing_is_left(state: "SweepState", layout: Layout) -> None:
    """Where finished runs lie and how to make them anew, for someone who expected them to run."""
    if not state.todo.runs:
        name = state.plan.suite.name
        archive = layout.archive(name)
        place = archive if archive.exists() else layout.records / name
        words = f"Nothing is left to run: the records are in {place}. To make them anew: --out another/folder"
        console.print(words, soft_wrap=True)


@app.command()
def sweep(
    suite: SuiteOption = "quick",
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    glue: GlueOption = None,
    workers: WorkersOption = None,
    out: OutOption = None,
    dry_run: DryOption = False,
    retry_failed: RetryOption = False,
    out_of_domain: OutOfDomainOption = None,
) -> None:
    """Do a suite's runs that have no record yet. Can be stopped at any time; the same command goes on."""
    plan = _plan(suite, methods, seeds)
    if dry_run:
        _show_plan(plan.part, Layout(out), workers, retry_failed)
    else:
        _sweep(plan, Layout(out), glue, workers, retry_failed, out_of_domain)


def _sweep(
    chosen: "ChosenPlan",
    layout: Layout,
    glue: Path | None,
    workers: int | None,
    retry_failed: bool,
    out_of_domain: Path | None = None,
) -> "SuitePlan":
    """Do what is missing; returns the plan that tables show, which has the rows of earlier sweeps too."""
    from amix.specs.store import Store
    from runners.cli.progress import SweepProgress, duration
    from runners.planning.suite import SuiteError
    from runners.sweeping.carry_out import carry_out, default_workers
    from runners.sweeping.preflight import check_inputs
    from runners.sweeping.reuse import take_over
    from runners.sweeping.state import SweepState
    from runners.sweeping.worker import Worker

    if processes() > 1:
        raise SuiteError("a sweep has its own workers, one per GPU: start it without a launcher, which is for 'run'")
    plan, command = chosen.part, recorded_command()
    name = plan.suite.name
    store = Store(layout.records / name)
    state = SweepState.read(plan, layout, retry_failed)
    work = state.todo
    take_over(state.reusable, store)
    if state.reusable:
        console.print(f"Suite {name}: {len(state.reusable)} runs are taken over from {', '.join(plan.suite.reuse)}")
    check_inputs(plan, work.runs, glue, out_of_domain)
    shown = chosen.with_recorded(state.recorded)
    shown.write(layout, command)
    count = default_workers() if workers is None else workers
    worker = Worker.of(plan, store, command, glue, out_of_domain)
    progress = SweepProgress(work, count, console)
    if work.runs:
        console.print(
            f"Suite {name}: {work.done} of {len(plan.runs)} runs are done; {len(work.runs)} to do, "
            f"about {duration(work.seconds(count))} with {max(count, 1)} workers",
        )
    _say_nothing_is_left(state, layout)
    try:
        with progress:
            carry_out(work.runs, worker, worker.abandon, worker.store, count, progress)
    except KeyboardInterrupt:
        # A run under way may have left its record without its worker having said so.
        done = state.count_done(progress.outcomes) + sum(map(store.finished, progress.current))
        console.print(f"\nStopped: {done} of {len(plan.runs)} runs are done. Go on with:")
        console.print(f"  {typed_command()}", soft_wrap=True)
        _leave_at_once()
    counts = state.statuses(progress.outcomes)
    said = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    console.print(f"Suite {name}: {len(plan.runs)} runs: {said}")
    return shown


@app.command("all")
def all_verb(
    suite: SuiteOption = "quick",
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    glue: GlueOption = None,
    workers: WorkersOption = None,
    out: OutOption = None,
    dry_run: DryOption = False,
    retry_failed: RetryOption = False,
    out_of_domain: OutOfDomainOption = None,
) -> None:
    """Sweep, then tables, figures and the page, then the table here: what bash runners/all.sh runs."""
    plan = _plan(suite, methods, seeds)
    layout = Layout(out)
    if dry_run:
        _show_plan(plan.part, layout, workers, retry_failed)
        return
    _sweep(plan, layout, glue, workers, retry_failed, out_of_domain)
    _make_everything(plan.suite.name, layout)


def _make_everything(name: str, layout: Layout) -> None:
    """Tables, figures and the page of a suite that has run; says where they are."""
    from paper_figures.make import make_unless_made
    from paper_figures.page.report import write
    from results.tabulating.collect import collect as make_tables

    collected = make_tables(name, layout)
    make_unless_made(name, layout)
    page = write(name, layout)
    _show_tables(collected)
    places = {
        "records": layout.records / name,
        "tables": layout.tables(name),
        "figures": layout.figures(name),
        "page": page,
    }
    for what, path in places.items():
        console.print(f"{what + ':':<9}{path}", soft_wrap=True)


@app.command()
def tune(
    suite: SuiteOption = "tune-embedded",
    methods: MethodsOption = "",
    glue: GlueOption = None,
    workers: WorkersOption = None,
    out: OutOption = None,
    dry_run: DryOption = False,
    retry_failed: RetryOption = False,
) -> None:
    """Search every method's grid on dev data, the same number of settings each, and write the best ones to a file.

    Can be stopped at any time; the same command goes on. Suites use the file with `hyperparameters: tuned`.
    """
    from results.analysis.tuning import choices
    from results.loading.frame import load
    from runners.planning.suite import SuiteError
    from runners.planning.tuned_settings import write

    plan = _plan(suite, methods, "")
    if plan.suite.tuning is None:
        raise SuiteError(f"suite {plan.suite.name} chooses no settings: it has no 'tuning: {{budget: ...}}'")
    layout = Layout(out)
    if dry_run:
        _show_plan(plan.part, layout, workers, retry_failed)
        return
    shown = _sweep(plan, layout, glue, workers, retry_failed)
    _make_everything(plan.suite.name, layout)
    (size,) = (results := load(plan.suite.name, layout)).plan.sizes
    path = write(shown.suite, choices(results, size), layout)
    console.print(f"settings: {path}", soft_wrap=True)
    if out is not None:
        console.print(f"a suite takes them with 'hyperparameters: {path}'", soft_wrap=True)


@app.command()
def collect(suite: SuiteOption = "quick", out: OutOption = None, selection: SelectionOption = None) -> None:
    """Make a suite's tables from its records and print them. Needs no torch."""
    from results.tabulating.collect import collect as make_tables
    from results.tabulating.readme import README, fills, refresh

    name, layout = _suite_name(suite), Layout(out)
    collected = make_tables(name, layout, selection)
    _show_tables(collected)
    console.print(f"tables: {layout.tables(name)}", soft_wrap=True)
    if out is None and fills(README, name):
        refresh(README, name, layout)
        console.print(f"and in {README}", soft_wrap=True)


def _show_tables(collected: "Collected") -> None:
    """The tables that answer the question; those for looking things up are on the page. Then what was left out."""
    from results.tabulating.render.terminal import terminal

    for table in collected.tables:
        if not table.detail:
            console.print(terminal(table))
    for problem in collected.problems:
        console.print(Text.assemble(("left out: ", "yellow"), str(problem)))


@app.command()
def archive(suite: SuiteOption = "quick", out: OutOption = None) -> None:
    """Put a suite's plan, records and predictions into one Parquet file, which is enough to remake everything."""
    from results.loading.frame import pack

    console.print(f"archive: {pack(_suite_name(suite), Layout(out))}", soft_wrap=True)


@app.command()
def figures(
    suite: SuiteOption = "quick",
    out: OutOption = None,
    run: Annotated[
        str,
        typer.Option("--run", help="Only the search of one run, as label/task/seed; with /size after it if need be."),
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
    """Write a suite's page: tables, figures, environment and the command, in one HTML file. Needs no torch."""
    from paper_figures.page.report import write

    console.print(str(write(_suite_name(suite), Layout(out))), soft_wrap=True)
