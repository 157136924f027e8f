"""The command check: inspects people's own data files before anything trains."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from runners.cli.options import console

if TYPE_CHECKING:
    from amix.data.data_checks import Finding

app = typer.Typer()
MOST_SHOWN = 12
STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}


@app.command()
def check(
    source: Annotated[
        str, typer.Argument(help="A file of rows, the YAML file of a task, a saved data set, or hub:owner/name:split.")
    ],
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Column of the text; give it twice for pairs. Default: the only other column."),
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Column of the label.")] = "",
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of a text file that is not UTF-8.")] = "",
    test: Annotated[str, typer.Option("--test", help="A test file, to be compared with the training file.")] = "",
    encoder: Annotated[
        str, typer.Option("--encoder", "-e", help="Also count the texts that this encoder truncates.")
    ] = "",
    max_length: Annotated[int, typer.Option("--max-length", min=3, help="Tokens kept of each text.")] = 128,
) -> None:
    """Check your own data: rows, classes, repeated texts, test rows in train, missing values. Trains nothing."""
    from amix.data.data_checks import ERROR, NOTE, Finding, by_severity
    from amix.specs.data_errors import DataError
    from amix.specs.task import TaskError

    try:
        findings = _findings(source, tuple(text or ()), label, encoding, test, encoder, max_length)
    except (DataError, TaskError) as error:
        findings = [Finding(ERROR, "reading", str(error))]
    show(by_severity(findings))
    counts = {kind: sum(finding.severity == kind for finding in findings) for kind in STYLES}
    summary = ", ".join(
        f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items() if count or kind != NOTE
    )
    console.print(f"{source}: {summary}", soft_wrap=True, markup=False, highlight=False)
    if counts[ERROR]:
        raise typer.Exit(1)


def _findings(
    source: str, text: tuple[str, ...], label: str, encoding: str, test: str, encoder: str, max_length: int
) -> "list[Finding]":
    from dataclasses import replace

    from amix.data.one_file import task_of_file
    from amix.data.splits import own_findings
    from amix.specs.task import TaskError
    from amix.specs.tasks import find_task

    if Path(source).suffix in (".yaml", ".yml"):
        task = find_task(source)
        if text or label or test:
            raise TaskError(
                f"{source}: a task file names its columns and files itself; leave out --text, --label, --test"
            )
        task = replace(task, encoding=encoding or task.encoding)
    else:
        task = task_of_file(source, text, label, encoding, test)
    if not encoder:
        return own_findings(task)
    from amix.models.loading import load_tokenizer

    return own_findings(task, load_tokenizer(encoder), encoder, max_length)


def show(findings: "Iterable[Finding]") -> None:
    """Print each finding on one line, severity first; control characters that come from files are escaped."""
    for finding in findings:
        text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in finding.said)
        console.print(Text.assemble((f"{finding.severity}: ", STYLES[finding.severity]), text), soft_wrap=True)


def show_warnings(by_task: "Mapping[str, Sequence[Finding]]") -> None:
    """Print the warnings about people's own data, task by task."""
    for task, warnings in by_task.items():
        console.print(f"Warnings about the data of task {task}:")
        show(warnings[:MOST_SHOWN])
        if len(warnings) > MOST_SHOWN:
            console.print(f"and {len(warnings) - MOST_SHOWN} more warnings, all of which are in the records")
