"""The command line, python -m runners: its commands, and how it ends.

Modules that import torch are imported inside the commands that need them: tables, figures and pages are made without
it.
"""

import sys

import typer
from rich.markup import escape

from runners.cli import (
    bench_commands,
    check_commands,
    cluster_commands,
    encoder_commands,
    encoder_table_command,
    list_commands,
    own_data_commands,
    publish_command,
    results_commands,
    run_commands,
    schema_command,
    simulate_command,
    sweep_commands,
)
from runners.cli.exit_codes import INTERRUPTED
from runners.cli.options import typed_command
from runners.cli.safe_console import SafeConsole
from runners.sweeping import interrupts

PROJECT = ("amix", "baselines", "runners", "results", "paper_figures")
app = typer.Typer(
    help="Compare finetuning methods on low-resource tasks: plan, sweep, tables, figures, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(sweep_commands.app)
app.add_typer(results_commands.app)
app.add_typer(run_commands.app)
app.add_typer(list_commands.app)
app.add_typer(publish_command.app)
app.add_typer(check_commands.app)
app.add_typer(schema_command.app)
app.add_typer(simulate_command.app)
app.add_typer(own_data_commands.app)
encoder_commands.app.add_typer(encoder_table_command.app)
app.add_typer(encoder_commands.app, name="encoders")
app.add_typer(bench_commands.app, name="bench")
app.add_typer(cluster_commands.app, name="cluster")


def main() -> None:
    """Run the command line; an error that the project foresees is one sentence, not a traceback."""
    interrupts.listen()
    try:
        app()
    except SystemExit:
        if not interrupts.came():
            raise
        # Said below what the command line library says, which is one word.
        said = f"Stopped. Files are written whole or not at all; the same command goes on:\n  {typed_command()}"
        SafeConsole(stderr=True).print(said, highlight=False, soft_wrap=True, markup=False)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not _foreseen(error):
            raise
        said = f"[red]error:[/red] {escape(_in_one_line(error))}"
        SafeConsole(stderr=True).print(said, highlight=False, soft_wrap=True)
        sys.exit(2)


def _foreseen(error: Exception) -> bool:
    return _own(error) or isinstance(error, OSError | UnicodeError)


def _own(error: Exception) -> bool:
    return isinstance(error, ValueError | RuntimeError) and type(error).__module__.split(".")[0] in PROJECT


def _in_one_line(error: Exception) -> str:
    """What went wrong; of an error of the system its words and the file."""
    if isinstance(error, OSError) and error.strerror:
        said = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        return f"{said} (what is written already stays; the same command goes on once this is mended)"
    return str(error) if _own(error) else " ".join(str(error).split()) or type(error).__name__
