"""The commands that do a suite's runs: plan, sweep, all, tune."""

import typer

from results.loading.layout import Layout
from runners.cli.options import (
    ClusterOption,
    DryOption,
    GlueOption,
    MethodsOption,
    OutOfDomainOption,
    OutOption,
    RetryOption,
    SeedsOption,
    SuiteOption,
    WorkersOption,
    console,
)
from runners.cli.results_commands import make_everything
from runners.cli.sweep_steps import do_sweep, leave_if_runs_failed, plan_of, show_plan

app = typer.Typer()


@app.command("plan")
def plan_command(
    suite: SuiteOption = "quick",
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    workers: WorkersOption = None,
    out: OutOption = None,
) -> None:
    """Show a suite's plan: runs, how many are left, expected time. Runs nothing."""
    show_plan(plan_of(suite, methods, seeds).part, Layout(out), workers, retry_failed=False)


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
    cluster: ClusterOption = "",
) -> None:
    """Do the runs of a suite that have no record yet. Can be stopped at any time; the same command resumes."""
    from runners.sweeping.place import place_of

    plan, layout = plan_of(suite, methods, seeds), Layout(out)
    place = place_of(workers, cluster)
    if dry_run:
        show_plan(plan.part, layout, place.workers, retry_failed)
        return
    leave_if_runs_failed(do_sweep(plan, layout, glue, place, retry_failed, out_of_domain), layout)


@app.command("all")
def all_command(
    suite: SuiteOption = "quick",
    methods: MethodsOption = "",
    seeds: SeedsOption = "",
    glue: GlueOption = None,
    workers: WorkersOption = None,
    out: OutOption = None,
    dry_run: DryOption = False,
    retry_failed: RetryOption = False,
    out_of_domain: OutOfDomainOption = None,
    cluster: ClusterOption = "",
) -> None:
    """Sweep, write tables, figures and the page, print the answer and the main table: what bash runners/all.sh runs."""
    from runners.sweeping.place import place_of

    plan, layout = plan_of(suite, methods, seeds), Layout(out)
    place = place_of(workers, cluster)
    if dry_run:
        show_plan(plan.part, layout, place.workers, retry_failed)
        return
    shown = do_sweep(plan, layout, glue, place, retry_failed, out_of_domain)
    make_everything(shown.suite.name, layout)
    leave_if_runs_failed(shown, layout)


@app.command()
def tune(
    suite: SuiteOption = "tune-embedded",
    methods: MethodsOption = "",
    glue: GlueOption = None,
    workers: WorkersOption = None,
    out: OutOption = None,
    dry_run: DryOption = False,
    retry_failed: RetryOption = False,
    cluster: ClusterOption = "",
) -> None:
    """Try the same number of settings from every method's grid on dev data, and write the best ones to a file.

    Can be stopped at any time; the same command resumes. Suites use the file with `hyperparameters: tuned`.
    """
    from results.analysis.tuning import choices
    from results.loading.frame import load
    from runners.planning.suite import SuiteError
    from runners.planning.tuned_settings import write
    from runners.sweeping.place import place_of

    plan, layout = plan_of(suite, methods, ""), Layout(out)
    if plan.suite.tuning is None:
        raise SuiteError(f"suite {plan.suite.name} does not tune: it has no 'tuning: {{budget: ...}}'")
    place = place_of(workers, cluster)
    if dry_run:
        show_plan(plan.part, layout, place.workers, retry_failed)
        return
    shown = do_sweep(plan, layout, glue, place, retry_failed)
    make_everything(plan.suite.name, layout)
    (size,) = (results := load(plan.suite.name, layout)).plan.sizes
    if chosen := choices(results, size):
        path = write(shown.suite, chosen, layout)
        console.print(f"settings: {path}", soft_wrap=True)
        if out is not None:
            console.print(f"a suite uses them with 'hyperparameters: {path}'", soft_wrap=True)
    else:
        console.print("settings: none, because every method has runs without a score")
    leave_if_runs_failed(shown, layout)
