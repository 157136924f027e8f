"""The commands for people with texts of their own: compare methods on one file, and predict with the model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from amix.specs.wording import counted
from runners.cli import bench_commands
from runners.cli.check_commands import show
from runners.cli.exit_codes import RUNS_FAILED
from runners.cli.options import (
    DEFAULT_ENCODER,
    MOST_LINES,
    ClusterOption,
    OnnxOption,
    WorkersOption,
    check_onnx,
    console,
    lines_of,
    recorded_command,
    write_onnx,
)

if TYPE_CHECKING:
    from amix.data.data_checks import Finding
    from runners.own_data.compare import Compared

app = typer.Typer()


@app.command()
def compare(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="File of labelled rows, a saved data set, or hub:owner/name:split.")
    ] = "",
    data: Annotated[str, typer.Option("--data", help="The same file, for bash runners/all.sh --data FILE.")] = "",
    text: Annotated[
        list[str] | None,
        typer.Option("--text", help="Column of the text; give it twice for pairs. Default: the only other column."),
    ] = None,
    label: Annotated[str, typer.Option("--label", help="Column of the label; numbers make a regression.")] = "",
    test: Annotated[str, typer.Option("--test", help="A test file; without one, cross-validation.")] = "",
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of text files that are not UTF-8.")] = "",
    encoder: Annotated[str, typer.Option("--encoder", "-e", help="Alias, Hub id or folder.")] = DEFAULT_ENCODER,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0.1, help="About how long it may take; rows and folds are chosen to fit."),
    ] = None,
    methods: Annotated[
        str,
        typer.Option("--methods", help="Rows to compare, comma-separated; a leading + adds them to the default ones."),
    ] = "",
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A metric such as macro_f1; may be repeated, the first one decides."),
    ] = None,
    positive: Annotated[str, typer.Option("--positive", help="The class for which f1 is computed.")] = "",
    numbers: Annotated[
        bool, typer.Option("--numbers", help="Treat the label as a number, however few values it has.")
    ] = False,
    folds: Annotated[int, typer.Option("--folds", min=2, help="Folds of the cross-validation.")] = 5,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, max=20, help="How often the cross-validation is repeated.")
    ] = 2,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=3, help="Tokens kept of each text (default: the encoder's).")
    ] = None,
    row: Annotated[str, typer.Option("--row", help="Train the model with this row instead of the best one.")] = "",
    workers: WorkersOption = None,
    cluster: ClusterOption = "",
    onnx: OnnxOption = False,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the model, the page and the lists.")] = None,
) -> None:
    """Find out which method works best on your texts, whether that is more than chance, and train the model.

    One file with a text and a label column is enough. Can be stopped at any time; the same command resumes.
    """
    from runners.cli.progress import SweepProgress
    from runners.own_data.compare import Shown, compare
    from runners.own_data.request import Request
    from runners.sweeping.failures import EveryRunFails
    from runners.sweeping.place import place_of

    if bool(source) == bool(data):
        raise typer.BadParameter("give one file of labelled rows, as an argument or with --data")
    check_onnx(onnx)
    place_of(workers, cluster)  # What is wrong with it is said before the data are read.
    source = source or data
    name = Path(source).stem if not source.startswith("hub:") else source.split(":")[1].rpartition("/")[2]
    request = Request(
        source=source, out=out or Path(f"{name}-compared"), encoder=encoder, text=tuple(text or ()), label=label,
        test=test, encoding=encoding, methods=methods, metrics=tuple(metric or ()), positive=positive, numbers=numbers,
        minutes=minutes, folds=folds, repeats=repeats, max_length=max_length, workers=workers, cluster=cluster,
        row=row,        command=recorded_command(),
    )  # fmt: skip
    shown = Shown(
        say=lambda words: console.print(words, soft_wrap=True),
        findings=_show_findings,
        progress=lambda work, count: SweepProgress(work, count, console),
    )
    try:
        compared = compare(request, shown)
        if onnx:
            write_onnx(compared.files["model"])
        _show(compared)
    except EveryRunFails as error:
        console.print(f"Stopped: every run so far failed for the same reason: {error}", soft_wrap=True)
        console.print("Remove the cause and repeat the command to continue.")
        raise typer.Exit(RUNS_FAILED) from error


def _show_findings(findings: "Sequence[Finding]") -> None:
    """Print what the check found, without most notes, which are all on the page."""
    about_rows = [finding for finding in findings if finding.about == "rows"]
    show([*about_rows, *(finding for finding in findings if finding.severity != "note")])


def _show(compared: "Compared") -> None:
    """Print the table, where the files are, and last the answer."""
    from results.tabulating.render.terminal import brief
    from runners.own_data.page import CHOSEN

    places = [f"{name + ':':<13}{path}" for name, path in compared.files.items()]
    places.append(f"{'predict:':<13}python -m runners predict {compared.files['model']} new.csv --out predictions.csv")
    left = MOST_LINES - lines_of(*places, "", *compared.sentences)
    console.print(brief(compared.table, console, left, keep=(compared.standings.chosen.label + CHOSEN,)))
    for place in places:
        console.print(place, soft_wrap=True)
    console.print()
    for sentence in compared.sentences:
        console.print(sentence, soft_wrap=not console.is_terminal)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="Folder of a model written by `compare` or `export`.")],
    source: Annotated[
        str, typer.Argument(help="File of rows with the same text columns that the model was trained on.")
    ],
    out: Annotated[Path, typer.Option("--out", help="File for the predictions: .csv, .tsv or .jsonl.")],
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of a text file that is not UTF-8.")] = "",
    every_class: Annotated[bool, typer.Option("--all-classes", help="Write every class's probability too.")] = False,
) -> None:
    """Label every row of a file; writes its columns, the predicted label, and its probability.

    Probabilities are calibrated by the temperature in the model's folder; without one, a note says so.

    Rows are streamed, so that a file of any length needs the same memory. Numbers in a JSON file are written back as
    texts, exactly as they stood.
    """
    from amix.models.saved_model import load_saved
    from runners.own_data.predicting import predict_file

    model = load_saved(folder)
    with console.status(f"reading {source}") as status:
        done = predict_file(
            model, source, out, encoding, every_class, lambda rows: status.update(f"{_rows(rows)} predicted")
        )
    most_frequent = sorted(done.counts.items(), key=lambda item: -item[1])[:8]
    labels = ", ".join(f"{label} {count:,}" for label, count in most_frequent)
    console.print(f"{_rows(done.rows)}{': ' + labels if labels else ''}", soft_wrap=True)
    for note in done.notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    if done.empty:
        where = ", ".join(done.places) + ", ..." * (done.empty > len(done.places))
        have = "has" if done.empty == 1 else "have"
        console.print(f"warning: {_rows(done.empty)} {have} no text and got no prediction ({where})", soft_wrap=True)
    console.print(f"predictions: {out}", soft_wrap=True)


def _rows(number: int) -> str:
    return counted(f"{number:,}", "row")


@bench_commands.app.command("own-data")
def own_data(
    source: Annotated[str, typer.Argument(metavar="FILE", help="File of many labelled rows.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the draws and for kept.csv.")],
    rows: Annotated[int, typer.Option("--rows", min=30, help="Rows in each draw.")] = 200,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Number of draws.")] = 10,
    methods: Annotated[str, typer.Option("--methods", help="Rows to compare.")] = "",
    encoder: Annotated[str, typer.Option("--encoder", "-e", help="Alias, Hub id or folder.")] = DEFAULT_ENCODER,
    max_length: Annotated[int | None, typer.Option("--max-length", min=3, help="Tokens kept of each text.")] = None,
    workers: WorkersOption = None,
) -> None:
    """Check compare's intervals, temperature and learning curves against rows that were not drawn."""
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
        progress=lambda work, count: SweepProgress(work, count, console),
    )
    results = study(
        request, rows, draws, quiet,
        lambda draw: console.print(
            f"draw {draw.draw}: {draw.chosen} {100 * draw.score:.1f} ({100 * draw.low:.1f} to {100 * draw.high:.1f}), "
            f"on other rows {100 * draw.score_elsewhere:.1f}; predicted for {draw.doubled_rows} rows "
            f"{100 * draw.promised:.1f} ({100 * draw.promised_low:.1f} to {100 * draw.promised_high:.1f}), "
            f"measured {100 * draw.score_doubled:.1f}"
        ),
    )  # fmt: skip
    write(results, out / "kept.csv")
    better = sum(draw.loss_with_temperature < draw.loss_without_temperature for draw in results)
    console.print(
        f"of {len(results)} draws, the interval held the score on other rows in "
        f"{sum(draw.score_kept for draw in results)}, the learning curve's interval in "
        f"{sum(draw.curve_kept for draw in results)}, and the temperature lowered log-loss in {better}: "
        f"{out / 'kept.csv'}",
        soft_wrap=True,
    )
