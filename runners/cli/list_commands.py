"""The verb that lists the methods, and keeps their table in results/tables and in README."""

from typing import Annotated

import typer

from results.loading.layout import Layout
from runners.cli.options import OutOption, console
from runners.cli.run_commands import DEFAULT_ENCODER, EncoderOption

app = typer.Typer()

DEFAULT_SIZE = 300


@app.command()
def methods(
    encoder: EncoderOption = DEFAULT_ENCODER,
    size: Annotated[
        int, typer.Option("--size", "-n", min=1, help="Training examples; costs depend on them.")
    ] = DEFAULT_SIZE,
    external: Annotated[
        list[str] | None, typer.Option("--methods", help="A method of your own too, as path/to/file.py:ClassName.")
    ] = None,
    out: OutOption = None,
) -> None:
    """List every method: paper, year, family, passes, trained share, and agreement with the official code.

    Without options the table is also written to results/tables/methods.md and into README; with --out there alone.
    """
    from amix.training.registry import built_in_methods, load_external
    from results.tabulating.collect import write_tables
    from results.tabulating.methods import NAME
    from results.tabulating.readme import README, fills, put
    from results.tabulating.render.markdown import markdown
    from results.tabulating.render.terminal import terminal
    from runners.cli.listings import methods_table

    table = methods_table([*built_in_methods().values(), *map(load_external, external or [])], encoder, size)
    console.print(terminal(table))
    as_published = (encoder, size, external or []) == (DEFAULT_ENCODER, DEFAULT_SIZE, [])
    if out or as_published:
        write_tables([table], Layout(out).tables(NAME).parent)
    if as_published and out is None and fills(README, NAME):
        put(README, NAME, markdown(table).strip())
