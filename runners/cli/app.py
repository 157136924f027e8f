"""The verbs of python -m runners.

Modules that import torch are imported inside the verbs that need it: tables, figures and pages are made without it.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.markup import escape
from rich.text import Text
from yaml import YAMLError

from amix.specs.launch import processes
from results.loading.layout import Layout
from runners.cli import (
    bench_commands,
    check_commands,
    encoder_commands,
    list_commands,
    own_data_commands,
    publish_command,
    run_commands,
)
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
from runners.cli.safe_console import SafeConsole
from runners.sweeping import interrupts

if TYPE_CHECKING:
    from results.loading.frame import Results
    from results.tabulating.collect import Collected
    from runners.planning.plan import Plan
    from runners.sweeping.state import Todo

PROJECT = ("amix", "baselines", "runners", "results", "paper_figures")
INTERRUPTED = 130
MOST_PROBLEMS = 5
RUNS_FAILED = 3
"""Exit code of a sweep of which runs failed; 2 is an error that was found before anything ran."""
app = typer.Typer(
    help="Compare finetuning methods on low-resource tasks: plan, sweep, tables, figures, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(run_commands.app)
app.add_typer(list_commands.app)
app.add_typer(publish_command.app)
app.add_typer(check_commands.app)
app.add_typer(own_data_commands.app)
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
        SafeConsole(stderr=True).print(said, highlight=False, soft_wrap=True, markup=False)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not _foreseen(error):
            raise
        SafeConsole(stderr=True).print(f"[red]error:[/red] {escape(_in_one_line(error))}", highlight=False)
        sys.exit(2)


def _foreseen(error: Exception) -> bool:
    return _own(error) or isinstance(error, OSError | UnicodeError | YAMLError)


def _own(error: Exception) -> bool:
    return isinstance(error, ValueError | RuntimeError) and type(error).__module__.split(".")[0] in PROJECT


def _in_one_line(error: Exception) -> str:
    """What went wrong; of an error of the system its words and the file."""
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        return f"{said} (what is written already stays; the same command goes on once this is mended)"
    return str(error) if _own(error) else " ".join(str(error).split()) or type(error).__name__


def _leave_at_once() -> NoReturn:
    """End without Python's tearing down of torch, which takes a second, and ten of them on a busy machine."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(INTERRUPTED)


def _suite_name(suite: str) -> str:
    """The name of a suite given as name or file."""
    if not suite.endswith((".yaml", ".yml")):
        return suite
    from runners.planning.suite import find_suite

    return find_suite(suite).name


def _plan(suite: str, methods: str, seeds: str) -> "Plan":
    from runners.planning.overrides import with_choices
    from runners.planning.plan import make_plan
    from runners.planning.suite import find_suite

    return make_plan(with_choices(find_suite(suite), methods, seeds))


@app.command("plan")
def plan_verb(
    suite: SuiteOption = "quick",
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    workers: WorkersOption = None,
    out: OutOption = None,
) -> None:
    """Show what a suite asks for: runs, how many are left, expected time. Runs nothing."""
    _show_plan(_plan(suite, methods, seeds), Layout(out), workers, retry_failed=False)


def _show_plan(plan: "Plan", layout: Layout, workers: int | None, retry_failed: bool) -> None:
    from runners.cli.listings import plan_table
    from runners.cli.progress import duration
    from runners.sweeping.carry_out import default_workers
    from runners.sweeping.reuse import reusable
    from runners.sweeping.state import known_runs, todo

    known = known_runs(plan, layout)
    taken = {key: one.known for key, one in reusable(plan, layout, known).items()}
    work = todo(plan, known | taken, retry_failed)
    count = default_workers() if workers is None else workers
    console.print(plan_table(plan, work))
    console.print(
        f"{len(plan.runs)} runs, {work.done} done, {len(work.runs)} to do: "
        f"about {duration(work.seconds(count))} with {max(count, 1)} workers",
    )
    _say_nothing_is_left(plan, layout, work)


def _say_nothing_is_left(plan: "Plan", layout: Layout, work: "Todo") -> None:
    """Where finished runs lie and how to make them anew, for someone who expected them to run."""
    if not work.runs:
        archive = layout.archive(plan.suite.name)
        place = archive if archive.exists() else layout.records / plan.suite.name
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
        _show_plan(plan, Layout(out), workers, retry_failed)
    else:
        _leave_if_runs_failed(_sweep(suite, plan, Layout(out), glue, workers, retry_failed, out_of_domain), Layout(out))


def _leave_if_runs_failed(plan: "Plan", layout: Layout) -> None:
    """Say why runs failed and end with an exit code of its own, where any did."""
    from runners.sweeping.failures import causes

    found = causes(plan, layout)
    if not found:
        return
    console.print(f"{found.total()} of {len(plan.runs)} runs failed or were stopped by an accident:")
    for cause, count in found.most_common():
        console.print(f"  {count} x {cause}", soft_wrap=True, markup=False, highlight=False)
    console.print("The same command does accidents again; failed runs count as finished, and are done again with:")
    again = typed_command() if "--retry-failed" in sys.argv else f"{typed_command()} --retry-failed"
    console.print(f"  {again}", soft_wrap=True, markup=False, highlight=False)
    raise typer.Exit(RUNS_FAILED)


def _sweep(
    suite: str,
    plan: "Plan",
    layout: Layout,
    glue: Path | None,
    workers: int | None,
    retry_failed: bool,
    out_of_domain: Path | None = None,
) -> "Plan":
    """Do what is missing; returns the plan that tables show, which has the rows of earlier sweeps too."""
    from amix.specs.store import Store, check_writable
    from runners.cli.progress import SweepProgress, duration
    from runners.planning.plan import with_recorded
    from runners.planning.suite import SuiteError, find_suite
    from runners.sweeping.alone import alone_in
    from runners.sweeping.carry_out import default_workers
    from runners.sweeping.failures import UNFINISHED, EveryRunFails, StopWhenAllFail
    from runners.sweeping.preflight import check_inputs
    from runners.sweeping.reuse import reusable, take_over
    from runners.sweeping.state import known_keys, known_runs, status_counts, sweep, todo
    from runners.sweeping.worker import Performer

    if processes() > 1:
        raise SuiteError("a sweep has its own workers, one per GPU: start it without a launcher, which is for 'run'")
    name, command = plan.suite.name, recorded_command()
    store = Store(layout.records / name)
    known = known_runs(plan, layout)
    taken = reusable(plan, layout, known)
    work = todo(plan, known | {key: one.known for key, one in taken.items()}, retry_failed)
    check_commands.show_warnings(check_inputs(plan, work.runs, glue, out_of_domain))
    check_writable(store.folder)
    take_over(taken, store)
    if taken:
        console.print(f"Suite {name}: {len(taken)} runs are taken over from {', '.join(plan.suite.reuse)}")
    if work.runs:
        encoder_commands.say_how_it_is_trained(plan.suite.encoder, plan.suite.training)
    shown = with_recorded(plan, find_suite(suite), known_keys(name, layout))
    shown.write(layout, command)
    count = default_workers() if workers is None else workers
    performer = Performer.of(plan, store, command, glue, out_of_domain)
    if work.runs:
        console.print(
            f"Suite {name}: {work.done} of {len(plan.runs)} runs are done; {len(work.runs)} to do, "
            f"about {duration(work.seconds(count))} with {max(count, 1)} workers",
        )
    _say_nothing_is_left(plan, layout, work)
    try:
        with alone_in(store.folder), SweepProgress(work, count, console) as progress:
            any_ok = any(run.status not in UNFINISHED for run in known.values())
            sweep(performer, work, count, StopWhenAllFail(progress, len({run.label for run in work.runs}), any_ok))
    except EveryRunFails as error:
        console.print(f"Stopped: every run so far failed, and for one cause: {error}", soft_wrap=True, markup=False)
        console.print("Nothing would come of the others. When the cause is gone, the same command goes on.")
        raise typer.Exit(RUNS_FAILED) from error
    except KeyboardInterrupt:
        left = todo(plan, known_runs(plan, layout))
        with contextlib.suppress(OSError):  # The terminal may be gone, which is what a hangup tells.
            console.print(f"\nStopped: {left.done} of {len(plan.runs)} runs are done. Go on with:")
            console.print(f"  {typed_command()}", soft_wrap=True)
        _leave_at_once()
    if not layout.plan(name).exists():  # Somebody took the folder away; the records that came since lie in a new one.
        shown.write(layout, command)
    counts = status_counts(plan, known_runs(plan, layout))
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
        _show_plan(plan, layout, workers, retry_failed)
        return
    shown = _sweep(suite, plan, layout, glue, workers, retry_failed, out_of_domain)
    _make_everything(plan.suite.name, layout)
    _leave_if_runs_failed(shown, layout)


def _make_everything(name: str, layout: Layout) -> None:
    """Tables, figures and the page of a suite that has run; says where they are."""
    from paper_figures.make import make_unless_made
    from paper_figures.page.report import write
    from results.loading.frame import load
    from results.tabulating.collect import collect as make_tables

    collected = make_tables(name, layout)
    make_unless_made(name, layout)
    page = write(name, layout)
    _show_end(load(name, layout), collected)
    console.print(f"tables: {layout.tables(name)}", soft_wrap=True)
    console.print(f"page:   {page}", soft_wrap=True)


def _show_end(results: "Results", collected: "Collected") -> None:
    """The main table of the largest size, then the answer in sentences; all other tables are files."""
    from results.analysis.summary_text import answer
    from results.tabulating.render.terminal import brief

    size = results.plan.sizes[-1]
    shown = [table for table in collected.tables if table.name.endswith(f"n{size}")] or list(collected.tables)
    for table in shown[:1]:
        console.print(brief(table, console))
    for problem in collected.problems[:MOST_PROBLEMS]:
        console.print(Text.assemble(("left out: ", "yellow"), str(problem)))
    if len(collected.problems) > MOST_PROBLEMS:
        more = len(collected.problems) - MOST_PROBLEMS
        console.print(f"and {more} more records, which python -m runners collect names")
    for sentence in answer(results, size):
        console.print(sentence, soft_wrap=not console.is_terminal)


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
        _show_plan(plan, layout, workers, retry_failed)
        return
    shown = _sweep(suite, plan, layout, glue, workers, retry_failed)
    _make_everything(plan.suite.name, layout)
    (size,) = (results := load(plan.suite.name, layout)).plan.sizes
    path = write(shown.suite, choices(results, size), layout)
    console.print(f"settings: {path}", soft_wrap=True)
    if out is not None:
        console.print(f"a suite takes them with 'hyperparameters: {path}'", soft_wrap=True)
    _leave_if_runs_failed(shown, layout)


@app.command()
def collect(suite: SuiteOption = "quick", out: OutOption = None, selection: SelectionOption = None) -> None:
    """Make a suite's tables from its records and print them. Needs no torch."""
    from results.tabulating.collect import collect as make_tables

    name, layout = _suite_name(suite), Layout(out)
    collected = make_tables(name, layout, selection)
    _show_tables(collected)
    console.print(f"tables: {layout.tables(name)}", soft_wrap=True)


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
