"""The steps of the sweep commands: plan, show what is left, do it, and report what failed."""

import contextlib
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from amix.specs.launch import processes
from amix.specs.wording import counted
from results.loading.layout import Layout
from runners.cli import check_commands, encoder_commands
from runners.cli.exit_codes import INTERRUPTED, RUNS_FAILED
from runners.cli.interim import show_complete_seeds
from runners.cli.options import console, recorded_command, typed_command

if TYPE_CHECKING:
    from amix.specs.store import Store
    from runners.cli.progress import SweepProgress
    from runners.planning.chosen import ChosenPlan
    from runners.planning.plan import SuitePlan
    from runners.sweeping.jobs import Outcome
    from runners.sweeping.place import Place
    from runners.sweeping.state import SweepState
    from runners.sweeping.todo import Todo
    from runners.sweeping.worker import Worker


def plan_of(suite: str, methods: str, seeds: str) -> "ChosenPlan":
    """The plan of a suite given by name or file, and the part of it that the command line asks for."""
    from runners.planning.chosen import chosen_plan
    from runners.planning.suite import find_suite

    return chosen_plan(find_suite(suite), methods, seeds)


def show_plan(plan: "SuitePlan", layout: Layout, workers: int | None, retry_failed: bool) -> None:
    """Print a plan's runs, how many are left, and how long they will take."""
    from runners.cli.listings import plan_table
    from runners.sweeping.carry_out import default_workers
    from runners.sweeping.state import SweepState

    state = SweepState.read(plan, layout, retry_failed)
    count = default_workers() if workers is None else workers
    console.print(plan_table(plan, state.todo))
    console.print(
        f"{counted(len(plan.runs), 'run')}, {state.todo.done} done, {len(state.todo.runs)} to do: "
        f"{_expected(state, count)}"
    )
    _report_nothing_left(state, layout)


def do_sweep(
    chosen: "ChosenPlan",
    layout: Layout,
    glue: Path | None,
    place: "Place",
    retry_failed: bool,
    out_of_domain: Path | None = None,
) -> "SuitePlan":
    """Do the missing runs; inputs are checked before anything is written.

    Returns:
        The plan that tables show, which also has the rows of earlier sweeps.
    """
    from amix.specs.store import Store, check_writable
    from runners.cli.progress import SweepProgress
    from runners.planning.suite import SuiteError
    from runners.sweeping.looks import blocks
    from runners.sweeping.place import refuse_unreachable
    from runners.sweeping.preflight import check_inputs
    from runners.sweeping.reuse import take_over
    from runners.sweeping.state import SweepState
    from runners.sweeping.worker import Worker

    if processes() > 1:
        raise SuiteError(
            "a sweep has its own workers, one per GPU: start it without a launcher, which is only for 'run'"
        )
    plan, command = chosen.part, recorded_command()
    name = plan.suite.name
    store = Store(layout.records / name)
    state = SweepState.read(plan, layout, retry_failed)
    if state.todo.runs:
        refuse_unreachable(place)
    check_commands.show_warnings(check_inputs(plan, state.todo.runs, glue, out_of_domain, place.workers > 0))
    check_writable(store.folder)
    take_over(state.reusable, store)
    shown = chosen.with_recorded(state.recorded)
    shown.write(layout, command)
    _report_what_is_done(state, place.workers)
    _report_nothing_left(state, layout)
    outcomes: dict[str, Outcome] = {}
    worker = Worker.of(plan, store, command, glue, out_of_domain)
    given, attempts = set[str](), 0
    for block in blocks(state, chosen.suite.seeds, layout, _report):
        given |= {run.spec.key for run in block.runs}
        progress = SweepProgress(block, place.workers, console, lambda: show_complete_seeds(name, layout), outcomes)
        _carry_out(state, block, worker, place, progress, layout)
        attempts += progress.attempts
    if not layout.plan(name).exists():  # The folder was removed meanwhile; records written since then are in a new one.
        shown.write(layout, command)
    counts = state.statuses(outcomes)
    if spared := sum(run.spec.key not in given for run in state.todo.runs):
        counts = counts - Counter(missing=spared) + Counter({"not needed, as their comparisons are decided": spared})
    summary = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    repeated = f" ({len(outcomes)} done now, in {counted(attempts, 'attempt')})" if attempts > len(outcomes) else ""
    console.print(f"Suite {name}: {counted(len(plan.runs), 'run')}: {summary}{repeated}")
    return shown


def _report_what_is_done(state: "SweepState", workers: int) -> None:
    """Print what was taken over, how the encoder is trained, and what is left to do."""
    suite = state.plan.suite
    if state.reusable:
        console.print(f"Suite {suite.name}: {len(state.reusable)} runs are taken over from {', '.join(suite.reuse)}")
    if state.todo.runs:
        encoder_commands.say_how_it_is_trained(suite.encoder, suite.training)
        console.print(
            f"Suite {suite.name}: {state.todo.done} of {counted(len(state.plan.runs), 'run')} are done; "
            f"{len(state.todo.runs)} to do, {_expected(state, workers)}"
        )


def _expected(state: "SweepState", workers: int) -> str:
    from results.loading.wording import duration

    bound = "at most" if state.plan.suite.protocol.looks else "about"
    return f"{bound} {duration(state.todo.seconds(workers))} with {counted(max(workers, 1), 'worker')}"


def _report_nothing_left(state: "SweepState", layout: Layout) -> None:
    """Print where finished runs are and how to repeat them, for a user who expected them to run."""
    if not state.todo.runs:
        name = state.plan.suite.name
        archive = layout.archive(name)
        place = archive if archive.exists() else layout.records / name
        message = f"Nothing is left to run: the records are in {place}. To repeat the runs: --out another/folder"
        console.print(message, soft_wrap=True)


def _carry_out(
    state: "SweepState", block: "Todo", worker: "Worker", place: "Place", progress: "SweepProgress", layout: Layout
) -> None:
    """Do a block of runs, with the folder locked, until all are done, all fail alike, or the user stops them."""
    from runners.sweeping.alone import alone_in
    from runners.sweeping.failures import UNFINISHED, EveryRunFails, StopWhenAllFail
    from runners.sweeping.place import carry_out_at

    runs, store = block.runs, worker.store
    earlier = [run.status for run in state.done.values()] + [run.status for run in progress.outcomes.values()]
    any_ok = any(status not in UNFINISHED for status in earlier)
    listener = StopWhenAllFail(progress, len({run.label for run in runs}), any_ok)
    try:
        with alone_in(store.folder), progress:
            carry_out_at(place, runs, state.todo.expected, worker, listener, _report, progress.staffed)
    except EveryRunFails as error:
        console.print(f"Stopped: every run so far failed for the same reason: {error}", soft_wrap=True, markup=False)
        console.print("The others would fail too. Remove the cause and repeat the command to continue.")
        raise typer.Exit(RUNS_FAILED) from error
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            show_complete_seeds(state.plan.suite.name, layout)
        _report_how_to_continue(state, store, progress)
        _leave_at_once()


def _report(message: str) -> None:
    console.print(message, soft_wrap=True)


def _report_how_to_continue(state: "SweepState", store: "Store", progress: "SweepProgress") -> None:
    # A run in progress may have left its record without its worker having reported it.
    done = state.count_done(progress.outcomes) + sum(map(store.finished, progress.current))
    with contextlib.suppress(OSError):  # After a hangup the terminal may be gone.
        console.print(f"\nStopped: {done} of {counted(len(state.plan.runs), 'run')} are done. Continue with:")
        console.print(f"  {typed_command()}", soft_wrap=True)


def _leave_at_once() -> NoReturn:
    """Exit without tearing down torch, which takes a second, or ten on a busy machine."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(INTERRUPTED)


def leave_if_runs_failed(plan: "SuitePlan", layout: Layout) -> None:
    """If any runs failed, print why and exit with the code for it."""
    from runners.sweeping.failures import causes

    counts = causes(plan, layout)
    if not counts:
        return
    console.print(f"{counts.total()} of {counted(len(plan.runs), 'run')} failed or were stopped by an accident:")
    for cause, count in counts.most_common():
        console.print(f"  {count} x {cause}", soft_wrap=True, markup=False, highlight=False)
    console.print("The same command repeats runs stopped by accidents; failed runs count as finished. To repeat them:")
    command = typed_command() if "--retry-failed" in sys.argv else f"{typed_command()} --retry-failed"
    console.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)
    raise typer.Exit(RUNS_FAILED)
