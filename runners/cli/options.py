"""Options that several commands share, and the terminal they print to."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from amix.specs.out_of_domain import VARIABLE
from runners.cli.safe_console import SafeConsole

console = SafeConsole(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
"""Without markup: labels, paths and messages may hold square brackets."""
MOST_LINES = 40
"""Lines of a terminal that the end of a command may take."""
DEFAULT_ENCODER = "minilm-l6"
PUBLISHED_SIZE = 300
"""Training examples for which the committed table of methods gives costs."""

SuiteOption = Annotated[
    str, typer.Option("--suite", "-s", help="Name of one of the project's suites, or a suite file.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", help="Folder for records, tables and figures instead of the project's own.")
]
GlueOption = Annotated[
    Path | None,
    typer.Option(
        "--glue", envvar="AMIX_GLUE", help="Folder with real GLUE, <task>/<split>*.parquet; default: the Hub."
    ),
]
OutOfDomainOption = Annotated[
    Path | None,
    typer.Option(
        "--out-of-domain",
        envvar=VARIABLE,
        help="Folder with out-of-domain sets, <set>/<split>*.parquet, for suites that use them.",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option("--workers", "-w", min=0, help="Worker processes; 0: none (default: one per GPU, or else per core)."),
]
ClusterOption = Annotated[
    str,
    typer.Option("--cluster", help="A cluster file (.yaml), or tls://host:port of a scheduler; default: this machine."),
]
MethodsOption = Annotated[
    str,
    typer.Option(
        "--methods",
        help="Only these rows besides the reference: labels, method names or path/to/file.py:ClassName, "
        "comma-separated. A leading + adds them to the suite's rows.",
    ),
]
SeedsOption = Annotated[str, typer.Option("--seeds", help="Comma-separated seeds, or a preset such as agwm or agwm:6.")]
DryOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would run and how long it would take; run nothing.")
]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="Run failed runs again (they count as finished).")]
SelectionOption = Annotated[
    str | None, typer.Option("--selection", help="last or best_dev; default: the rule that the suite sets.")
]


def lines_of(*texts: str | Text) -> int:
    """How many lines of the terminal these texts take, each on lines of its own."""
    return sum(len(console.render_lines(text, pad=False)) for text in texts)


def typed_command() -> str:
    """The command as the user typed it, for continuing."""
    return _command(sys.argv[1:])


def recorded_command() -> str:
    """The command for records, tables and pages: paths relative to the current folder, others by name alone.

    Records are published: they say what was run, not where its author keeps files.
    """
    return _command([_shortened(argument) for argument in sys.argv[1:]])


def _command(arguments: list[str]) -> str:
    if os.environ.get("AMIX_STARTED_BY") == "all.sh":
        return shlex.join(["bash", "runners/all.sh", *arguments[1:]])
    return shlex.join(["python", "-m", "runners", *arguments])


def _shortened(argument: str) -> str:
    flag, equals, value = argument.rpartition("=") if argument.startswith("-") else ("", "", argument)
    path, here = Path(value), Path.cwd()
    if ".." not in path.parts and not path.is_absolute():
        return argument
    return flag + equals + (str(path.relative_to(here)) if path.is_relative_to(here) else path.name)


OnnxOption = Annotated[
    bool, typer.Option("--onnx", help="Also write model.onnx (pip install onnx onnxscript onnxruntime).")
]


def check_onnx(wanted: bool) -> None:
    """Check before anything is trained that the packages for ONNX are installed.

    Raises:
        OnnxError: a package is missing; the message gives the command that installs it.
    """
    if wanted:
        from amix.models.onnx_export import check_packages

        check_packages()


def write_onnx(folder: Path) -> None:
    """Write a saved model as ONNX and print where."""
    from amix.models.onnx_export import save_onnx
    from amix.models.saved_model import load_saved

    console.print(f"onnx:  {save_onnx(load_saved(folder), folder)}", soft_wrap=True)
