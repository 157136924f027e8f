"""The verb check: what stands in people's own files, looked at as data, before anything trains."""

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
        typer.Option("--text", help="Column of the text; twice for pairs. Default: the only other one."),
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Column of the label.")] = "",
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of a text file that is not UTF-8.")] = "",
    test: Annotated[str, typer.Option("--test", help="A test file, to be held against the other.")] = "",
    encoder: Annotated[str, typer.Option("--encoder", "-e", help="Also count the texts that this encoder cuts.")] = "",
    max_length: Annotated[int, typer.Option("--max-length", min=3, help="Tokens that are kept of a text.")] = 128,
) -> None:
    """Look at your own data: rows, classes, repeated texts, test rows in train, what is missing. Trains nothing."""
    from amix.data.data_checks import ERROR, NOTE, Finding, by_severity
    from amix.specs.data_errors import DataError
    from amix.specs.tasks import TaskError

    try:
        findings = _findings(source, tuple(text or ()), label, encoding, test, encoder, max_length)
    except (DataError, TaskError) as error:
        findings = [Finding(ERROR, "reading", str(error))]
    show(by_severity(findings))
    counts = {kind: sum(one.severity == kind for one in findings) for kind in STYLES}
    said = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items() if count or kind != NOTE)
    console.print(f"{source}: {said}", soft_wrap=True, markup=False, highlight=False)
    if counts[ERROR]:
        raise typer.Exit(1)


def _findings(
    source: str, text: tuple[str, ...], label: str, encoding: str, test: str, encoder: str, max_length: int
) -> "list[Finding]":
    from dataclasses import replace

    from amix.data.one_file import task_of_file
    from amix.data.splits import own_findings
    from amix.specs.tasks import TaskError, find_task

    if Path(source).suffix in (".yaml", ".yml"):
        task = find_task(source)
        if text or label or test:
            raise TaskError(
                f"{source}: a task file names its columns and files itself; leave --text, --label, --test out"
            )
        task = replace(task, encoding=encoding or task.encoding)
    else:
        task = task_of_file(source, text, label, encoding, test)
    if not encoder:
        return own_findings(task)
    from amix.models.loading import load_tokenizer

    return own_findings(task, load_tokenizer(encoder), encoder, max_length)


def show(findings: "Iterable[Finding]") -> None:
    """One line each, the severity first; what comes from files is shown without control characters."""
    for one in findings:
        said = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in one.said)
        console.print(Text.assemble((f"{one.severity}: ", STYLES[one.severity]), said), soft_wrap=True)


def show_warnings(found: "Mapping[str, Sequence[Finding]]") -> None:
    """Show what a sweep's look at people's own data warns of, task by task."""
    for task, warnings in found.items():
        console.print(f"Task {task}, looked at as data:")
        show(warnings[:MOST_SHOWN])
        if len(warnings) > MOST_SHOWN:
            console.print(f"and {len(warnings) - MOST_SHOWN} more warnings, which are in the records")
