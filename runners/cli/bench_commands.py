"""The commands that measure the project itself."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from results.loading.layout import Layout
from runners.cli.options import GlueOption, OutOption, SuiteOption, console, recorded_command

app = typer.Typer(help="Measure the project itself: overhead, memory, accuracy.", no_args_is_help=True)
TASK = "mini-cola"
EncoderOption = Annotated[str, typer.Option("--encoder", "-e", help="Alias, Hub id or folder.")]
TasksOption = Annotated[str, typer.Option(help="Tasks, comma-separated.")]
SizeOption = Annotated[int, typer.Option("--size", "-n", min=1, help="Training examples.")]
SeedsOption = Annotated[int, typer.Option(min=1, help="Runs per task.")]
TurnsOption = Annotated[int, typer.Option(min=1, help="How often each side does all runs; medians are used.")]


@app.command()
def loop(
    encoder: EncoderOption = "minilm-l6",
    size: SizeOption = 100,
    repeats: Annotated[int, typer.Option(min=1, help="Alternating measurements; the fastest of each is used.")] = 3,
) -> None:
    """Compare a plain run's training time with bare passes and updates on the same batches (target: 1.10)."""
    from runners.benchmarks.loop import overhead

    ours, bare = overhead(encoder, TASK, size, repeats)
    console.print(f"training loop {ours:.2f} s, bare passes {bare:.2f} s, ratio {ours / bare:.3f}")


@app.command()
def agwm(
    encoder: Annotated[
        str, typer.Option("--encoder", "-e", help="Alias, Hub id, folder, bert-base-shape or bert-large-shape.")
    ] = "minilm-l6",
    length: Annotated[int, typer.Option(min=2, help="Tokens of every sentence.")] = 64,
    batch: Annotated[int, typer.Option(min=2, help="Sentences in a batch.")] = 16,
    repeats: Annotated[
        int, typer.Option(min=1, help="Measurements, alternating with plain passes; medians are used.")
    ] = 10,
    presets: Annotated[bool, typer.Option(help="Also measure whole runs of all rows of the ablation.")] = True,
    memory: Annotated[bool, typer.Option(help="Also measure peak memory, each in its own process.")] = True,
    between: Annotated[
        int, typer.Option(min=0, help="Time again after this many iterations (of a tiny encoder); 0: skip.")
    ] = 500,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Try everything once on a tiny encoder; saved only with --out."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="CSV file instead of results/tables/bench-agwm.csv; Markdown next to it.")
    ] = None,
) -> None:
    """Measure the weight mixup's search against plain passes and published code: iterations, whole runs, memory."""
    from runners.benchmarks.agwm import Line, measure
    from runners.benchmarks.agwm_tables import TABLE, save
    from runners.benchmarks.workload import QUICK, Workload

    workload, repeats = (QUICK, 1) if quick else (Workload(encoder, length, batch), repeats)
    lines: list[Line] = []
    for line in measure(workload, repeats, presets, memory, between):
        lines.append(line)
        console.print(line.text())
    path = out or (None if quick else TABLE)
    if path:
        save(lines, workload, recorded_command(), path)
        console.print(f"written to {path}")


@app.command("methods")
def methods_command(
    encoder: Annotated[
        str, typer.Option("--encoder", "-e", help="Alias, Hub id, folder, bert-base-shape or bert-large-shape.")
    ] = "minilm-l6",
    length: Annotated[int, typer.Option(min=2, help="Tokens of every sentence.")] = 64,
    batch: Annotated[int, typer.Option(min=2, help="Sentences in a batch.")] = 16,
    repeats: Annotated[int, typer.Option(min=1, help="Updates, alternating with plain ones; means are used.")] = 20,
    methods: Annotated[str, typer.Option(help="Only these methods, comma-separated; saved only with --out.")] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Try everything once on a tiny encoder; saved only with --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="CSV file instead of results/tables/bench-methods.csv; Markdown next to it.")
    ] = None,
) -> None:
    """Time an update of each method relative to plain finetuning, alternating with it (limit: 1.2 x passes)."""
    from amix.training.method import MethodError
    from amix.training.registry import built_in_methods, find_method
    from runners.benchmarks.methods import TABLE, measure, overhead_table, save
    from runners.benchmarks.workload import QUICK, Workload

    workload, repeats = (QUICK, 1) if quick else (Workload(encoder, length, batch), repeats)
    chosen = [find_method(name.strip()) for name in methods.split(",") if name.strip()]
    if unfit := [method.name for method in chosen if method.info.needs_language_model]:
        raise MethodError(f"--methods: {', '.join(unfit)} needs a task's texts, not this benchmark's random sentences")
    found = []
    anywhere = [method for method in built_in_methods().values() if not method.info.needs_language_model]
    for one in measure(chosen or anywhere, workload, repeats):
        found.append(one)
        console.print(one.text())
    path = out or (None if quick or chosen else TABLE)
    if path:
        written = save(overhead_table(found, workload, recorded_command()), path)
        console.print(f"written to {' and '.join(map(str, written))}", soft_wrap=True)


@app.command()
def hypergradient(
    encoder: EncoderOption = "minilm-l6",
    task: Annotated[str, typer.Option("--task", "-t", help="Task whose examples are used.")] = "mini-cola",
    draws: Annotated[int, typer.Option(min=1, help="Number of batch pairs, and of draws of masks.")] = 3,
    steps: Annotated[int, typer.Option(min=0, help="Plain updates of the task weights beforehand.")] = 8,
) -> None:
    """Compare finite differences with the exact implicit term (cosine), under common and independent dropout masks."""
    from runners.benchmarks.hypergradient import agreement

    for line in agreement(encoder, task, draws, steps):
        console.print(line)


@app.command()
def quadratic(
    iterations: Annotated[int, typer.Option(min=2, help="Iterations of each search.")] = 600,
    seed: Annotated[int, typer.Option(help="Seed of the random problem.")] = 0,
    out: OutOption = None,
) -> None:
    """Search a quadratic bi-level problem with every estimator; writes the curve of the norms as PNG and CSV."""
    from runners.benchmarks.quadratic import measure

    for path in measure(iterations, seed, Layout(out).figures("bench")):
        console.print(f"written to {path}", soft_wrap=True)


@app.command()
def embedded() -> None:
    """Measure how difficult the embedded tasks are, and print the table as Markdown (five minutes)."""
    import torch

    from runners.benchmarks.embedded_difficulty import table

    torch.set_num_threads(1)
    typer.echo(table())


@app.command()
def trainer(
    encoder: EncoderOption = "minilm-l6",
    tasks: TasksOption = "sst2,stsb",
    size: SizeOption = 100,
    seeds: SeedsOption = 6,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Worker processes, one thread each.")] = 2,
    turns: TurnsOption = 3,
    glue: GlueOption = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV file instead of results/tables/bench-trainer.csv; Markdown next to it.")
    ] = None,
) -> None:
    """Compare a sweep's wall time and CPU seconds with those of a transformers.Trainer script doing the same runs."""
    from runners.benchmarks.methods import save
    from runners.benchmarks.same_runs import Workload
    from runners.benchmarks.trainer import TABLE, measure, trainer_table

    workload = Workload(encoder, tuple(tasks.split(",")), size, tuple(range(1, seeds + 1)), workers, glue)
    taken = {}
    for name, so_far in measure(workload, turns):
        taken[name] = so_far
        console.print(f"turn {len(so_far.cpu)} of {turns}: {name}: {so_far.cpu[-1]:.0f} CPU s, {so_far.wall[-1]:.0f} s")
    written = save(trainer_table(taken, workload, recorded_command()), out or TABLE)
    console.print(f"written to {' and '.join(map(str, written))}", soft_wrap=True)


@app.command()
def gpu(
    encoder: EncoderOption = "bert-base",
    tasks: TasksOption = "rte,stsb",
    size: SizeOption = 300,
    seeds: SeedsOption = 12,
    turns: TurnsOption = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be run; needs no GPU.")] = False,
    glue: GlueOption = None,
    out: Annotated[
        Path | None, typer.Option(help="CSV file instead of results/tables/bench-gpu.csv; Markdown next to it.")
    ] = None,
) -> None:
    """Compare runs per hour on one GPU: sweeps with one run at a time and with several, and transformers.Trainer."""
    from runners.benchmarks.gpu import TABLE, asked, chosen_gpu, gpu_table, measure, most_at_a_time, planned
    from runners.benchmarks.methods import save
    from runners.benchmarks.same_runs import Workload

    chosen = "0" if dry_run else chosen_gpu()
    workload = Workload(encoder, tuple(tasks.split(",")), size, tuple(range(1, seeds + 1)), 1, glue, "cuda", chosen)
    if dry_run:
        for line in planned(workload, turns):
            console.print(line, soft_wrap=True)
        return
    found = {}
    for name, so_far in measure(workload, turns):
        found[name] = so_far
        console.print(f"turn {len(so_far.taken.wall)} of {turns}: {name}: {so_far.taken.wall[-1]:.0f} s")
    device = asked(chosen, "name") or f"GPU {chosen}"
    written = save(gpu_table(found, workload, device, most_at_a_time(), recorded_command()), out or TABLE)
    console.print(f"written to {' and '.join(map(str, written))}", soft_wrap=True)


@app.command()
def engine(
    runs: Annotated[int, typer.Option(min=1, help="Number of runs.")] = 20_000,
    seconds: Annotated[float, typer.Option(min=0.0, help="Seconds that each run waits.")] = 0.02,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Worker processes.")] = 16,
    kill_every: Annotated[float, typer.Option(min=0.0, help="Seconds between two kills of a worker; 0: none.")] = 10.0,
) -> None:
    """Sweep many runs that only wait while workers are killed at random: overhead, memory, and whether all get done."""
    from runners.benchmarks.engine import measure

    with tempfile.TemporaryDirectory() as folder:
        found = measure(runs, seconds, workers, kill_every, Path(folder), console.print)
    for line in found.lines():
        console.print(line)


@app.command("tables")
def tables_command(
    suite: SuiteOption = "lowres-cpu",
    records: Annotated[str, typer.Option(help="Numbers of records, comma-separated.")] = "10000,100000",
) -> None:
    """Make all tables of many copies of a suite's records: time and memory."""
    from runners.benchmarks.many_records import measured

    for count in records.split(","):
        with tempfile.TemporaryDirectory() as folder:
            console.print(measured(suite, Layout(), int(count), Path(folder)).line())
