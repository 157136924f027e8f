"""What the commands of a sweep are made of: planning, showing what is left, doing it, and telling what failed."""

import contextlib
import os
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from amix.specs.launch import processes
from results.loading.layout import Layout
from runners.cli import check_commands, encoder_commands
from runners.cli.exit_codes import INTERRUPTED, RUNS_FAILED
from runners.cli.interim import show_complete_seeds
from runners.cli.options import console, recorded_command, typed_command

if TYPE_CHECKING:
    from amix.specs.store import Store
    from runners.cli.progress import SweepProgress
    from runners.planning.chosen import ChosenPlan
    from runners.planning.cluster_file import ClusterFile
    from runners.planning.plan import SuitePlan
    from runners.sweeping.jobs import Outcome
    from runners.sweeping.state import SweepState
    from runners.sweeping.todo import Todo
    from runners.sweeping.worker import Worker


@dataclass(frozen=True)
class Place:
    """Where a sweep's runs take place: in worker processes here, or on a cluster."""

    workers: int
    """How many runs are under way at a time, as far as that is known; 0 for none but this process."""
    cluster: "ClusterFile | None" = None


def place_of(workers: int | None, cluster: str) -> Place:
    """What the options --workers and --cluster say.

    Raises:
        ClusterError: they say two things, or the cluster's file is wrong.
    """
    from runners.planning.cluster_file import ClusterError, read_cluster
    from runners.sweeping.carry_out import default_workers

    if not cluster:
        return Place(default_workers() if workers is None else workers)
    if workers is not None:
        raise ClusterError(f"--workers {workers}: a cluster has its own number of workers; leave one of the two out")
    file = read_cluster(cluster)
    if file.kind == "local":
        return Place(file.options.get("workers") or default_workers(), file)
    return Place(file.most_runs or 1, file)


def plan_of(suite: str, methods: str, seeds: str) -> "ChosenPlan":
    """The plan of a suite's name or file, and the part of it that the command line asks for."""
    from runners.planning.chosen import chosen_plan
    from runners.planning.suite import find_suite

    return chosen_plan(find_suite(suite), methods, seeds)


def show_plan(plan: "SuitePlan", layout: Layout, workers: int | None, retry_failed: bool) -> None:
    """Print what a plan asks for, what of it is left, and how long that will take."""
    from runners.cli.listings import plan_table
    from runners.sweeping.carry_out import default_workers
    from runners.sweeping.state import SweepState

    state = SweepState.read(plan, layout, retry_failed)
    count = default_workers() if workers is None else workers
    console.print(plan_table(plan, state.todo))
    console.print(
        f"{len(plan.runs)} runs, {state.todo.done} done, {len(state.todo.runs)} to do: {_expected(state, count)}"
    )
    _say_nothing_is_left(state, layout)


def do_sweep(
    chosen: "ChosenPlan",
    layout: Layout,
    glue: Path | None,
    place: Place,
    retry_failed: bool,
    out_of_domain: Path | None = None,
) -> "SuitePlan":
    """Do what is missing; returns the plan that tables show, which has the rows of earlier sweeps too.

    Inputs are checked before anything is written.
    """
    from amix.specs.store import Store, check_writable
    from runners.cli.progress import SweepProgress
    from runners.planning.suite import SuiteError
    from runners.sweeping.looks import blocks
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
    check_commands.show_warnings(check_inputs(plan, state.todo.runs, glue, out_of_domain))
    check_writable(store.folder)
    take_over(state.reusable, store)
    shown = chosen.with_recorded(state.recorded)
    shown.write(layout, command)
    _say_what_is_done(state, place.workers)
    _say_nothing_is_left(state, layout)
    outcomes: dict[str, Outcome] = {}
    worker = Worker.of(plan, store, command, glue, out_of_domain)
    given: set[str] = set()
    for block in blocks(state, chosen.suite.seeds, layout, _tell):
        given |= {run.spec.key for run in block.runs}
        progress = SweepProgress(block, place.workers, console, lambda: show_complete_seeds(name, layout), outcomes)
        _carry_out(state, block, worker, place, progress, layout)
    if not layout.plan(name).exists():  # Somebody took the folder away; the records that came since lie in a new one.
        shown.write(layout, command)
    counts = state.statuses(outcomes)
    if spared := sum(run.spec.key not in given for run in state.todo.runs):
        counts = counts - Counter(missing=spared) + Counter({"not needed, their comparisons being decided": spared})
    said = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    console.print(f"Suite {name}: {len(plan.runs)} runs: {said}")
    return shown


def _say_what_is_done(state: "SweepState", workers: int) -> None:
    """What was taken over, how the encoder is trained, and what there is to do."""
    suite = state.plan.suite
    if state.reusable:
        console.print(f"Suite {suite.name}: {len(state.reusable)} runs are taken over from {', '.join(suite.reuse)}")
    if state.todo.runs:
        encoder_commands.say_how_it_is_trained(suite.encoder, suite.training)
        console.print(
            f"Suite {suite.name}: {state.todo.done} of {len(state.plan.runs)} runs are done; "
            f"{len(state.todo.runs)} to do, {_expected(state, workers)}"
        )


def _expected(state: "SweepState", workers: int) -> str:
    from results.loading.wording import duration

    bound = "at most" if state.plan.suite.protocol.looks else "about"
    return f"{bound} {duration(state.todo.seconds(workers))} with {max(workers, 1)} workers"


def _say_nothing_is_left(state: "SweepState", layout: Layout) -> None:
    """Where finished runs lie and how to make them anew, for someone who expected them to run."""
    if not state.todo.runs:
        name = state.plan.suite.name
        archive = layout.archive(name)
        place = archive if archive.exists() else layout.records / name
        words = f"Nothing is left to run: the records are in {place}. To make them anew: --out another/folder"
        console.print(words, soft_wrap=True)


def _carry_out(
    state: "SweepState", block: "Todo", worker: "Worker", place: Place, progress: "SweepProgress", layout: Layout
) -> None:
    """Do a block of runs, alone in their folder, until done, all fail for one cause, or somebody stops them."""
    from runners.sweeping.alone import alone_in
    from runners.sweeping.carry_out import carry_out
    from runners.sweeping.failures import UNFINISHED, EveryRunFails, StopWhenAllFail

    runs, store = block.runs, worker.store
    earlier = [run.status for run in state.done.values()] + [run.status for run in progress.outcomes.values()]
    any_ok = any(status not in UNFINISHED for status in earlier)
    listener = StopWhenAllFail(progress, len({run.label for run in runs}), any_ok)
    try:
        with alone_in(store.folder), progress:
            if place.cluster is None:
                carry_out(runs, worker, worker.abandon, store, place.workers, listener)
            else:
                from runners.sweeping.on_cluster import carry_out_on  # Takes half a second that others need not wait.

                carry_out_on(place.cluster, runs, state.todo.expected, worker, listener, _tell)
    except EveryRunFails as error:
        console.print(f"Stopped: every run so far failed, and for one cause: {error}", soft_wrap=True, markup=False)
        console.print("Nothing would come of the others. When the cause is gone, the same command goes on.")
        raise typer.Exit(RUNS_FAILED) from error
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            show_complete_seeds(state.plan.suite.name, layout)
        _say_how_to_go_on(state, store, progress)
        _leave_at_once()


def _tell(words: str) -> None:
    console.print(words, soft_wrap=True)


def _say_how_to_go_on(state: "SweepState", store: "Store", progress: "SweepProgress") -> None:
    # A run under way may have left its record without its worker having said so.
    done = state.count_done(progress.outcomes) + sum(map(store.finished, progress.current))
    with contextlib.suppress(OSError):  # The terminal may be gone, which is what a hangup tells.
        console.print(f"\nStopped: {done} of {len(state.plan.runs)} runs are done. Go on with:")
        console.print(f"  {typed_command()}", soft_wrap=True)


def _leave_at_once() -> NoReturn:
    """End without Python's tearing down of torch, which takes a second, and ten of them on a busy machine."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(INTERRUPTED)


def leave_if_runs_failed(plan: "SuitePlan", layout: Layout) -> None:
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
