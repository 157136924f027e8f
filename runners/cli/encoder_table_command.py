"""The command that puts suites on different encoders into one table; part of the command encoders."""

from typing import Annotated

import typer

from results.loading.layout import Layout
from runners.cli.options import OutOption, console

app = typer.Typer()


@app.command()
def table(
    suites: Annotated[list[str], typer.Argument(help="Suites that differ only in their encoder, by name.")],
    size: Annotated[str, typer.Option("--size", "-n", help="Training examples, or full (default: the smallest).")] = "",
    out: OutOption = None,
) -> None:
    """Compare methods on several encoders: one table, a suite's encoder per column. Needs no torch."""
    from results.loading.frame import load
    from results.tabulating.collect import write_tables
    from results.tabulating.encoders import encoders_table
    from results.tabulating.render.terminal import terminal

    layout = Layout(out)
    results = [load(suite, layout) for suite in suites]
    made = encoders_table(results, size or results[0].plan.sizes[0])
    console.print(terminal(made))
    for path in write_tables([made], layout.tables(suites[0]).parent):
        console.print(f"written to {path}", soft_wrap=True)
