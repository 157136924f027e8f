"""The command line, python -m runners: its commands, and how it reports errors.

Modules that import torch are imported inside the commands that need them, so that tables, figures and pages can be made
without it.
"""

import sys

import typer
from rich.markup import escape

from runners.cli import (
    bench_commands,
    check_commands,
    cluster_commands,
    encoder_commands,
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
app.add_typer(encoder_commands.app, name="encoders")
app.add_typer(bench_commands.app, name="bench")
app.add_typer(cluster_commands.app, name="cluster")


def main() -> None:
    """Run the command line; an expected error is reported in one sentence, without a traceback."""
    interrupts.listen()
    try:
        app()
    except SystemExit:
        if not interrupts.received():
            raise
        # Comes after the command line library's own message, which is a single word.
        message = (
            f"Stopped. Files are written whole or not at all; to continue, repeat the command:\n  {typed_command()}"
        )
        SafeConsole(stderr=True).print(message, highlight=False, soft_wrap=True, markup=False)
        sys.exit(INTERRUPTED)
    except Exception as error:
        if not _is_expected(error):
            raise
        message = f"[red]error:[/red] {escape(_in_one_line(error))}"
        SafeConsole(stderr=True).print(message, highlight=False, soft_wrap=True)
        sys.exit(2)


def _is_expected(error: Exception) -> bool:
    return _is_ours(error) or isinstance(error, OSError | UnicodeError)


def _is_ours(error: Exception) -> bool:
    return isinstance(error, ValueError | RuntimeError) and type(error).__module__.split(".")[0] in PROJECT


def _in_one_line(error: Exception) -> str:
    """What went wrong; for an error of the operating system, its message and the file."""
    if isinstance(error, OSError) and error.strerror:
        message = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        return f"{message} (what has been written is kept; fix this and repeat the command to continue)"
    return str(error) if _is_ours(error) else " ".join(str(error).split()) or type(error).__name__
