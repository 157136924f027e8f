"""The verbs for people with texts of their own: compare ways to train on one file, and predict with the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from runners.cli import bench_commands
from runners.cli.check_commands import show
from runners.cli.onnx_option import OnnxOption, check_onnx, write_onnx
from runners.cli.options import DEFAULT_ENCODER, WorkersOption, console, recorded_command

if TYPE_CHECKING:
    from amix.data.data_checks import Finding
    from runners.own_data.compare import Compared

app = typer.Typer()
RUNS_FAILED = 3


@app.command()
def compare(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="File of labelled rows, a saved data set, or hub:owner/name:split.")
    ] = "",
    data: Annotated[str, typer.Option("--data", help="The same file, for bash runners/all.sh --data FILE.")] = "",
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Column of the text; twice for pairs. Default: the only other one."),
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Column of the label; numbers make a regression.")] = "",
    test: Annotated[str, typer.Option("--test", help="A test file; without one, cross-validation.")] = "",
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of text files that are not UTF-8.")] = "",
    encoder: Annotated[str, typer.Option("--encoder", "-e", help="Alias, Hub id or folder.")] = DEFAULT_ENCODER,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0.1, help="About how long it may take; chooses rows and folds.")
    ] = None,
    methods: Annotated[
        str, typer.Option("--methods", help="Rows to compare, with commas; a leading + adds them to the usual ones.")
    ] = "",
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="What is scored, such as macro_f1; the first one counts.")
    ] = None,
    positive: Annotated[str, typer.Option("--positive", help="The class that f1 is of.")] = "",
    numbers: Annotated[bool, typer.Option("--numbers", help="The label is a number, however few its values.")] = False,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Folds of the cross-validation.")] = 5,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=20, help="How often it is repeated.")] = 2,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=3, help="Tokens that are kept of a text (default: the encoder's).")
    ] = None,
    row: Annotated[str, typer.Option("--row", help="Train the model with this row instead of the one found.")] = "",
    workers: WorkersOption = None,
    onnx: OnnxOption = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for model, page and lists.")] = None,
) -> None:
    """Find which way of training works best on your texts, whether that is more than chance, and train the model.

    One file with a text and a label column is enough. Can be stopped at any time; the same command goes on.
    """
    from runners.cli.progress import SweepProgress
    from runners.own_data.compare import Shown, compare
    from runners.own_data.request import Request
    from runners.sweeping.failures import EveryRunFails

    if bool(source) == bool(data):
        raise typer.BadParameter("give one file of labelled rows, as an argument or with --data")
    check_onnx(onnx)
    source = source or data
    name = Path(source).stem if not source.startswith("hub:") else source.split(":")[1].rpartition("/")[2]
    request = Request(
        source=source, out=out or Path(f"{name}-compared"), encoder=encoder, text=tuple(text or ()), label=label,
        test=test, encoding=encoding, methods=methods, metrics=tuple(metric or ()), positive=positive, numbers=numbers,
        minutes=minutes, folds=folds, repeats=repeats, max_length=max_length, workers=workers, row=row,
        command=recorded_command(),
    )  # fmt: skip
    shown = Shown(
        say=lambda words: console.print(words, soft_wrap=True),
        findings=_show_findings,
        told=lambda work, count: SweepProgress(work, count, console),
    )
    try:
        found = compare(request, shown)
        if onnx:
            write_onnx(found.files["model"])
        _show(found)
    except EveryRunFails as error:
        console.print(f"Stopped: every run so far failed, and for one cause: {error}", soft_wrap=True)
        console.print("When the cause is gone, the same command goes on.")
        raise typer.Exit(RUNS_FAILED) from error


def _show_findings(findings: "Sequence[Finding]") -> None:
    """What the check found, but for notes, of which the page has all."""
    notes = [one for one in findings if one.about == "rows"]
    show([*notes, *(one for one in findings if one.severity != "note")])


def _show(found: "Compared") -> None:
    """The table, where everything lies, and the answer last."""
    from results.tabulating.render.terminal import brief

    console.print(brief(found.table, console))
    for name, path in found.files.items():
        console.print(f"{name + ':':<13}{path}", soft_wrap=True)
    console.print(f"{'predict:':<13}python -m runners predict {found.files['model']} new.csv --out predictions.csv")
    console.print()
    for sentence in found.sentences:
        console.print(sentence, soft_wrap=not console.is_terminal)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="Folder of a model, as `compare` or `export` wrote it.")],
    source: Annotated[str, typer.Argument(help="File of rows with the text columns that the model was trained on.")],
    out: Annotated[Path, typer.Option("--out", help="File for the predictions: .csv, .tsv or .jsonl.")],
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of a text file that is not UTF-8.")] = "",
    every_class: Annotated[bool, typer.Option("--all-classes", help="Write every class's probability too.")] = False,
) -> None:
    """Label every row of a file: the columns of the file, the predicted label, and its calibrated probability.

    Rows stream through, so that a file of any length needs the same memory. Numbers of a JSON file come back as texts,
    as they were written.
    """
    from amix.models.saved_model import load_saved
    from runners.own_data.predicting import predict_file

    model = load_saved(folder)
    with console.status(f"reading {source}") as status:
        done = predict_file(
            model, source, out, encoding, every_class, lambda rows: status.update(f"{rows:,} rows predicted")
        )
    said = ", ".join(f"{label} {count:,}" for label, count in sorted(done.counts.items(), key=lambda one: -one[1])[:8])
    console.print(f"{done.rows:,} rows{': ' + said if said else ''}", soft_wrap=True)
    for note in done.notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    if done.empty:
        where = ", ".join(done.places) + ", ..." * (done.empty > len(done.places))
        console.print(f"warning: {done.empty:,} rows have no text and got no prediction ({where})", soft_wrap=True)
    console.print(f"predictions: {out}", soft_wrap=True)


@bench_commands.app.command("own-data")
def own_data(
    source: Annotated[str, typer.Argument(metavar="FILE", help="File of many labelled rows.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the draws, and of kept.csv.")],
    rows: Annotated[int, typer.Option("--rows", min=30, help="Rows that are drawn.")] = 200,
    draws: Annotated[int, typer.Option("--draws", min=1, help="How often.")] = 10,
    methods: Annotated[str, typer.Option("--methods", help="Rows to compare.")] = "",
    encoder: Annotated[str, typer.Option("--encoder", "-e", help="Alias, Hub id or folder.")] = DEFAULT_ENCODER,
    max_length: Annotated[int | None, typer.Option("--max-length", min=3, help="Tokens that are kept.")] = None,
    workers: WorkersOption = None,
) -> None:
    """Whether compare's intervals, temperature and learning curves keep their promise on rows that were not drawn."""
    from runners.benchmarks.own_data import study, write
    from runners.cli.progress import SweepProgress
    from runners.own_data.compare import Shown
    from runners.own_data.request import Request

    request = Request(
        source=source, out=out, encoder=encoder, methods=methods, workers=workers, max_length=max_length,
        command=recorded_command(),
    )  # fmt: skip
    quiet = Shown(
        say=lambda words: None,
        findings=lambda findings: None,
        told=lambda work, count: SweepProgress(work, count, console),
    )
    found = study(
        request, rows, draws, quiet,
        lambda one: console.print(
            f"draw {one.draw}: {one.chosen} {100 * one.score:.1f} ({100 * one.low:.1f} to {100 * one.high:.1f}), "
            f"elsewhere {100 * one.score_elsewhere:.1f}; with {one.doubled_rows} rows {100 * one.promised:.1f} "
            f"({100 * one.promised_low:.1f} to {100 * one.promised_high:.1f}), found {100 * one.score_doubled:.1f}"
        ),
    )  # fmt: skip
    write(found, out / "kept.csv")
    better = sum(one.loss_with_temperature < one.loss_without_temperature for one in found)
    console.print(
        f"of {len(found)} draws the interval held the score elsewhere in {sum(one.score_kept for one in found)}, the "
        f"learning curve's in {sum(one.curve_kept for one in found)}, and the temperature lowered log-loss in "
        f"{better}: {out / 'kept.csv'}",
        soft_wrap=True,
    )
