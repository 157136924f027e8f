"""The verbs for single runs (run, export) and for what there is to choose from (tasks, encoders, suites)."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amix.record import Store
from results.layout import Layout
from runners.options import GlueOption, OutOption, console, recorded_command

if TYPE_CHECKING:
    from runners.plan import Plan

app = typer.Typer()

DEFAULT_ENCODER = "minilm-l6"
TaskOption = Annotated[str, typer.Option("--task", "-t", help="Name of a task, or the YAML file of your own.")]
MethodOption = Annotated[
    str, typer.Option("--method", "-m", help="Name of a method, label of the suite, or path/to/file.py:ClassName.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the subset, head, batches, dropout and method.")]
SizeOption = Annotated[
    int | None, typer.Option("--size", "-n", min=1, help="Training examples (default: the suite's first, else all).")
]
EncoderOption = Annotated[str, typer.Option("--encoder", "-e", help="Alias, Hub id or folder.")]
FromSuiteOption = Annotated[
    str | None, typer.Option("--suite", "-s", help="Take encoder, training and the method's settings from this suite.")
]
ConfigOption = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the method as name=value; may be repeated.")
]
TrainingOption = Annotated[
    list[str] | None, typer.Option("--training", help="A training setting such as lr=1e-4; may be repeated.")
]


def _one_run(
    suite: str | None,
    encoder: str,
    task: str,
    method: str,
    seed: int,
    size: int | None,
    settings: list[str] | None,
    training: list[str] | None,
) -> "Plan":
    from runners.single import one_run, settings_of

    chosen, trained = settings_of(settings or []), settings_of(training or [])
    return one_run(suite, encoder, task, method, seed, size, chosen, trained)


def _do(plan: "Plan", out: Path | None, glue: Path | None, folder: Path | None) -> None:
    """Do the plan's only run here, print its scores, and exit with 1 when it went wrong."""
    from runners.perform import Performer
    from runners.preflight import check_inputs

    (run,) = plan.runs
    store = Store(Layout(out).records / plan.suite.name)
    check_inputs(plan, plan.runs, glue)
    performer = Performer.of(plan, store, recorded_command(), glue)
    if folder is not None:
        performer = dataclasses.replace(performer, export=str(folder.resolve()))
    outcome = performer(run)
    record = store.get(run.spec.key) or {}
    console.print(f"{run.name}: {outcome.status} {outcome.message}".rstrip())
    for rule, scores in record["scores"].items():
        for split in ("dev", "test"):
            values = ", ".join(f"{metric} {100 * value:.1f}" for metric, value in scores.get(split, {}).items())
            console.print(f"  {rule} {split}: {values}" if values else f"  {rule} {split}: -")
    console.print(f"record: {store.path(run.spec.key)}", soft_wrap=True)
    if outcome.status != "ok":
        raise typer.Exit(1)


@app.command()
def run(
    task: TaskOption,
    method: MethodOption,
    seed: SeedOption,
    size: SizeOption = None,
    encoder: EncoderOption = DEFAULT_ENCODER,
    suite: FromSuiteOption = None,
    settings: ConfigOption = None,
    training: TrainingOption = None,
    glue: GlueOption = None,
    out: OutOption = None,
) -> None:
    """Do one run in this process and print its scores, whether or not it has a record already."""
    _do(_one_run(suite, encoder, task, method, seed, size, settings, training), out, glue, None)


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder for weights, tokenizer and a README that shows how to load.")],
    task: TaskOption,
    method: MethodOption,
    seed: SeedOption,
    size: SizeOption = None,
    encoder: EncoderOption = DEFAULT_ENCODER,
    suite: FromSuiteOption = None,
    settings: ConfigOption = None,
    training: TrainingOption = None,
    glue: GlueOption = None,
    out: OutOption = None,
) -> None:
    """Do one run again and save its model as a plain Hugging Face folder. The same run gives the same weights."""
    _do(_one_run(suite, encoder, task, method, seed, size, settings, training), out, glue, folder)
    console.print(f"model: {folder}", soft_wrap=True)


@app.command()
def tasks() -> None:
    """List every task with its data, labels and metrics."""
    from runners.listings import tasks_table

    console.print(tasks_table())


@app.command()
def encoders() -> None:
    """List every encoder alias with its recipe."""
    from runners.listings import encoders_table

    console.print(encoders_table())


@app.command()
def suites() -> None:
    """List the suites that come with the project."""
    from runners.listings import suites_table

    console.print(suites_table())
