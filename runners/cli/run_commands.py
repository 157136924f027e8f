"""The commands for single runs (run, export) and for what there is to choose from (tasks, suites)."""

import dataclasses
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amix.specs.launch import processes, rank
from amix.specs.run_spec import OUT_OF_DOMAIN
from amix.specs.store import Store, check_writable
from results.loading.layout import Layout
from results.loading.wording import score_words
from runners.cli.check_commands import show_warnings
from runners.cli.options import (
    DEFAULT_ENCODER,
    GlueOption,
    OnnxOption,
    OutOfDomainOption,
    OutOption,
    check_onnx,
    console,
    recorded_command,
    write_onnx,
)

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from runners.planning.job import Job
    from runners.planning.plan import SuitePlan
    from runners.sweeping.jobs import Outcome

app = typer.Typer()

TaskOption = Annotated[str, typer.Option("--task", "-t", help="Name of a task, or the YAML file of your own task.")]
MethodOption = Annotated[
    str, typer.Option("--method", "-m", help="Name of a method, label in the suite, or path/to/file.py:ClassName.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the subset, head, batches, dropout and method.")]
SizeOption = Annotated[
    int | None,
    typer.Option("--size", "-n", min=1, help="Training examples (default: the suite's first size, or else all)."),
]
EncoderOption = Annotated[str, typer.Option("--encoder", "-e", help="Alias, Hub id or folder.")]
FromSuiteOption = Annotated[
    str | None, typer.Option("--suite", "-s", help="Take encoder, training and the method's settings from this suite.")
]
ConfigOption = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the method, as name=value; may be repeated.")
]
TrainingOption = Annotated[
    list[str] | None, typer.Option("--training", help="A training setting such as lr=1e-4; may be repeated.")
]

RuleOption = Annotated[
    str | None,
    typer.Option(
        "--selection",
        help="best_dev scores the test split a second time, with the weights of the epoch that is best on dev "
        "(default: the suite's rule, or else last).",
    ),
]
StageWorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        "-w",
        min=0,
        help="Worker processes for the independent stages of the run (splits of a search, members of an ensemble): "
        "same scores in less time; each worker needs the memory of a run. 0: this process alone.",
    ),
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
    selection: str | None = None,
) -> "SuitePlan":
    from runners.planning.single_run import one_run, settings_of

    chosen, trained = settings_of(settings or []), settings_of(training or [])
    if processes() > 1:  # A setting like any other: every process draws dropout masks of its own.
        trained |= {"processes": processes()}
    return one_run(suite, encoder, task, method, seed, size, chosen, trained, selection)


def _run_and_show(
    plan: "SuitePlan", out: Path | None, data: tuple[Path | None, Path | None], folder: Path | None, workers: int
) -> None:
    """Do the plan's only run here, print its scores, and exit with code 1 if it went wrong.

    Args:
        plan: a plan of one run.
        out: folder for the record; None is the project's own.
        data: the folders of GLUE and of out-of-domain sets.
        folder: where to export the model to, if anywhere.
        workers: worker processes for independent stages.
    """
    from amix.training.data_parallel import leave
    from runners.sweeping.preflight import check_inputs
    from runners.sweeping.worker import Worker

    first = rank() == 0  # Asked before anything is read: what a launcher sets wrongly stops here.
    if processes() > 1 and workers:
        raise typer.BadParameter("the processes of a launcher do one run together; leave --workers out")
    (run,) = plan.runs
    store = Store(Layout(out).records / plan.suite.name)
    warnings = check_inputs(plan, plan.runs, *data)
    for place in filter(None, (folder, store.folder)):
        check_writable(place)
    show_warnings(warnings)
    worker = Worker.of(plan, store, recorded_command(), *data)
    export = str(folder.resolve()) if folder is not None else None
    with _executor(min(workers, stages_of(run))) as executor:
        context = dataclasses.replace(worker.context, export=export, executor=executor)
        outcome = Worker(worker.store, context)(run)
    if processes() > 1:
        leave()
    if first:
        _show(run, store, outcome)
    if outcome.status != "ok":
        raise typer.Exit(1)


def _show(run: "Job", store: Store, outcome: "Outcome") -> None:
    record = store.get(run.spec.key) or {}
    console.print(f"{run.name}: {outcome.status} {outcome.message}".rstrip())
    if record.get("status") != outcome.status:
        console.print(f"the record of an earlier run is kept: {store.path(run.spec.key)}", soft_wrap=True)
        return
    for rule, scores in record["scores"].items():
        for split in ("dev", "test"):
            of_split = scores.get(split, {}).items()
            values = ", ".join(f"{metric} {score_words(metric, value)}" for metric, value in of_split)
            console.print(f"  {rule} {split}: {values}" if values else f"  {rule} {split}: -")
        for name, values in scores.get(OUT_OF_DOMAIN, {}).items():
            shown = ", ".join(f"{metric} {100 * value:.1f}" for metric, value in values.items())
            console.print(f"  {rule} {name}: {shown}")
    console.print(f"record: {store.path(run.spec.key)}", soft_wrap=True)


def _executor(count: int) -> AbstractContextManager["Executor | None"]:
    """This many worker processes; for none, what starts them need not be imported, which takes most of a second."""
    if count == 0:
        return nullcontext()
    from runners.sweeping.carry_out import visible_gpus
    from runners.sweeping.local_pool import executor_of

    return executor_of(count, visible_gpus())


def stages_of(run: "Job") -> int:
    """Number of stages of a run that other processes can do."""
    from amix.training.multi_stage import MultiStageMethod
    from amix.training.registry import find_method
    from amix.training.settings import make_config

    kind = find_method(run.spec.method)
    method = kind(make_config(kind, run.spec.method_config))
    return method.stages() if isinstance(method, MultiStageMethod) else 0


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
    workers: StageWorkersOption = 0,
    out_of_domain: OutOfDomainOption = None,
    selection: RuleOption = None,
) -> None:
    """Do one run and print its scores, even if it already has a record."""
    plan = _one_run(suite, encoder, task, method, seed, size, settings, training, selection)
    _run_and_show(plan, out, (glue, out_of_domain), None, workers)


@app.command()
def export(
    folder: Annotated[
        Path, typer.Argument(help="Folder for weights, tokenizer and a README that shows how to load them.")
    ],
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
    workers: StageWorkersOption = 0,
    out_of_domain: OutOfDomainOption = None,
    onnx: OnnxOption = False,
) -> None:
    """Repeat one run and save its model as a folder that transformers can load. The same run gives the same weights."""
    check_onnx(onnx)
    plan = _one_run(suite, encoder, task, method, seed, size, settings, training)
    _run_and_show(plan, out, (glue, out_of_domain), folder, workers)
    if onnx:
        write_onnx(folder)
    console.print(f"model: {folder}", soft_wrap=True)


@app.command()
def tasks() -> None:
    """List every task with its data, labels and metrics."""
    from runners.cli.listings import tasks_table

    console.print(tasks_table())


@app.command()
def suites() -> None:
    """List the suites that come with the project."""
    from runners.cli.listings import suites_table

    console.print(suites_table())
