"""A user's file of labelled messages, and a tiny encoder in the same folder."""

import csv
from pathlib import Path

import numpy
from typer.testing import CliRunner, Result

from helpers.toy_suite import save_encoder
from runners.cli import app

WORDS = {"good": ("lovely", "splendid", "great"), "bad": ("awful", "broken", "useless")}


EVALUATE = """
import datasets
import evaluate
from sklearn.metrics import cohen_kappa_score


class Own(evaluate.Metric):
    def _info(self):
        whole = datasets.Value("int64")
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="",
            features=datasets.Features({"predictions": whole, "references": whole}),
        )

    def _compute(self, predictions, references):
        value = float(cohen_kappa_score(references, predictions))
        return RETURNED
"""


def evaluate_module(returned: str) -> str:
    """A user's own module of evaluate; returned: an expression in predictions, references and kappa, its `value`."""
    return EVALUATE.replace("RETURNED", returned)


def call(*arguments: str | Path) -> Result:
    """Run a command and return its result."""
    return CliRunner().invoke(app.app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def write_rows(path: Path, count: int, seed: int) -> Path:
    """Write messages whose label depends on a few words, one in twelve mislabelled, with a matching price and an id."""
    generator = numpy.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "message", "label", "price"])
        for row in range(count):
            label = ("good", "bad")[int(generator.integers(2))]
            word = WORDS[label][int(generator.integers(3))]
            price = 50_000 + 300_000 * (label == "good") + int(generator.integers(20_000))
            given = label if row % 12 else ("good", "bad")[label == "good"]
            writer.writerow([f"a{row:03d}", f"the {word} thing, no. {seed}{row}", given, price])
    return path


def own_texts(folder: Path) -> Path:
    """Write data.csv, new.csv and the encoder `tiny` into the folder and return it."""
    save_encoder(folder / "tiny")
    write_rows(folder / "data.csv", 48, 1)
    write_rows(folder / "new.csv", 30, 2)
    return folder
