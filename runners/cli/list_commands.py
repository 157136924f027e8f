"""The command that lists the methods."""

from typing import Annotated

import typer
from rich.progress import track

from results.loading.layout import Layout
from runners.cli.options import DEFAULT_ENCODER, PUBLISHED_SIZE, OutOption, console
from runners.cli.run_commands import EncoderOption

app = typer.Typer()


@app.command()
def methods(
    encoder: EncoderOption = DEFAULT_ENCODER,
    size: Annotated[
        int, typer.Option("--size", "-n", min=1, help="Training examples, on which costs depend.")
    ] = PUBLISHED_SIZE,
    external: Annotated[
        list[str] | None, typer.Option("--methods", help="Also a method of your own, as path/to/file.py:ClassName.")
    ] = None,
    out: OutOption = None,
) -> None:
    """List every method: paper, year, kind, passes, trained share, and agreement with the official code.

    With --out, the table is also written to a file there.
    """
    from amix.training.registry import built_in_methods, load_external
    from results.tabulating.collect import write_tables
    from results.tabulating.methods import NAME
    from results.tabulating.render.terminal import terminal
    from runners.cli.listings import methods_table

    known = [*built_in_methods().values(), *map(load_external, external or [])]
    # Each method's model is built, to count what it trains.
    shown = track(known, "Counting weights", console=console, transient=True, disable=not console.is_terminal)
    table = methods_table(shown, encoder, size)
    console.print(terminal(table))
    if out is not None:
        write_tables([table], Layout(out).tables(NAME).parent)
