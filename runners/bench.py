"""Measurements of the suite itself."""

from typing import Annotated

import typer

from runners.options import console

app = typer.Typer(help="Measure the suite itself.", no_args_is_help=True)
TASK = "mini-cola"


@app.command()
def loop(
    encoder: Annotated[str, typer.Option("--encoder", "-e", help="Alias, Hub id or folder.")] = "minilm-l6",
    size: Annotated[int, typer.Option("--size", "-n", min=1, help="Training examples.")] = 100,
    repeats: Annotated[int, typer.Option(min=1, help="Alternating measurements; the fastest of each counts.")] = 3,
) -> None:
    """Compare a plain run's training time with the bare passes and updates on the same batches (target: 1.10)."""
    from runners.bench_loop import overhead

    ours, bare = overhead(encoder, TASK, size, repeats)
    console.print(f"training loop {ours:.2f} s, bare passes {bare:.2f} s, ratio {ours / bare:.3f}", highlight=False)
