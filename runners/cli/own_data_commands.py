"""The verbs for people with texts of their own: compare ways to train on one file, and predict with the model."""

from pathlib import Path
from typing import Annotated

import typer

from runners.cli.options import console

app = typer.Typer()


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="Folder of a model, as `compare` or `export` wrote it.")],
    source: Annotated[str, typer.Argument(help="File of rows with the text columns that the model was trained on.")],
    out: Annotated[Path, typer.Option("--out", help="File for the predictions: .csv, .tsv or .jsonl.")],
    encoding: Annotated[str, typer.Option("--encoding", help="Encoding of a text file that is not UTF-8.")] = "",
    every_class: Annotated[bool, typer.Option("--all-classes", help="Write every class's probability too.")] = False,
) -> None:
    """Label every row of a file: the columns of the file, the predicted label, and its calibrated probability.

    Rows stream through, so that a file of any length needs the same memory.
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
    if done.empty:
        where = ", ".join(done.places) + ", ..." * (done.empty > len(done.places))
        console.print(f"warning: {done.empty:,} rows have no text and got no prediction ({where})", soft_wrap=True)
    console.print(f"predictions: {out}", soft_wrap=True)
