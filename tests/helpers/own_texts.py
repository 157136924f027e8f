"""A user's file of labelled messages, a tiny encoder in the same folder, and a suite on everything a user may bring."""

import csv
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy
import pandas
import yaml
from typer.testing import CliRunner, Result

from amix.specs.store import Store
from helpers.toy_suite import save_encoder
from runners.cli import app
from runners.planning.plan import make_plan
from runners.planning.suite import find_suite
from runners.sweeping.clusters import pool_of
from runners.sweeping.on_cluster import needs_of
from runners.sweeping.remote_pool import RemotePool
from runners.sweeping.survey import Needs
from runners.sweeping.worker import Worker

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


METHOD = """
from dataclasses import dataclass

from amix.training.method import Method
from amix.training.method_info import MethodInfo


class Brought(Method):
    '''Plain finetuning under another name.'''

    @dataclass(frozen=True)
    class Config:
        pass

    name = "brought"
    info = MethodInfo(paper="none", year=2026, kind="test")
"""
OWN = {"name": "own", "train": "../rows/train.csv", "test": "../rows/test.csv", "text": "message"}


def suite_on_own_files(folder: Path) -> Path:
    """Write a suite into the folder, and into its subfolder `inputs` all that it uses and some files that it does not.

    It uses an encoder, a task of two files, a method and, if they are given as options, the folders `glue` and `sets`.
    """
    inputs = folder / "inputs"
    save_encoder(inputs / "encoder")
    for name in ("tasks", "rows", "glue/rte", "glue/wnli", "sets/hans", "encoder/checkpoint-1"):
        (inputs / name).mkdir(parents=True)
    write_rows(inputs / "rows" / "train.csv", 60, 1)
    write_rows(inputs / "rows" / "test.csv", 20, 2)
    (inputs / "tasks" / "own.yaml").write_text(yaml.safe_dump(OWN | {"labels": ["good", "bad"]}))
    for name in ("glue/rte/train", "glue/rte/validation", "glue/wnli/train"):
        _pairs("sentence1", "sentence2").to_parquet(inputs / f"{name}.parquet")
    _pairs("premise", "hypothesis").to_parquet(inputs / "sets" / "hans" / "validation.parquet")
    (inputs / "encoder" / "checkpoint-1" / "optimizer.pt").write_bytes(b"unused")
    (inputs / "brought.py").write_text(METHOD)
    content = {
        "name": "tiny", "title": "Tiny", "note": "for tests", "encoder": str(inputs / "encoder"),
        "tasks": ["inputs/tasks/own.yaml", "rte"], "sizes": [24], "seeds": [1, 2], "out_of_domain": ["hans"],
        "methods": {"vanilla": None, "brought": {"method": f"{inputs / 'brought.py'}:Brought"}},
        "training": {"lr": 5e-3, "epochs": 1, "max_length": 32},
    }  # fmt: skip
    (folder / "suite.yaml").write_text(yaml.safe_dump(content))
    return folder / "suite.yaml"


def needs_of_own_files(folder: Path, **changes: object) -> Needs:
    """The needs of that suite, with these changes to its file, on a worker."""
    suite = suite_on_own_files(folder)
    suite.write_text(yaml.safe_dump(yaml.safe_load(suite.read_text()) | changes))
    plan, inputs = make_plan(find_suite(str(suite))), folder / "inputs"
    worker = Worker.of(plan, Store(folder), "", inputs / "glue", inputs / "sets")
    return needs_of(worker, plan.runs, shared=False)


@contextmanager
def hidden(inputs: Path) -> Iterator[None]:
    """Nobody finds these files for a while, as on a machine that does not share a file system."""
    away = inputs.rename(inputs.with_name("away"))
    try:
        yield
    finally:
        away.rename(inputs)


def pool_that_sees_no(inputs: Path) -> Callable[..., AbstractContextManager[RemotePool]]:
    """A pool whose workers never find these files at the driver's paths, in place of pool_of."""

    @contextmanager
    def opened(*arguments: Any) -> Iterator[RemotePool]:
        with hidden(inputs), pool_of(*arguments) as pool:
            yield pool

    return opened


def _pairs(first: str, second: str) -> pandas.DataFrame:
    """Forty pairs of texts that do or do not share a word."""
    words = [word for group in WORDS.values() for word in group]
    rows = range(40)
    return pandas.DataFrame(
        {
            first: [f"no. {row} is {words[row % 6]}" for row in rows],
            second: [f"it is {words[(row + row % 2) % 6]}, this {row}" for row in rows],
            "label": [row % 2 for row in rows],
            "idx": list(rows),
        }
    )
