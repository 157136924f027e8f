"""The data that every row is trained and tested on: folds of the file, or the file and a test file, with seeds."""

import json
import warnings
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas
import yaml
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from amix.data.data_checks import normalised
from amix.specs.store import write_atomically
from amix.specs.task import Task
from amix.specs.tasks import read_task
from runners.own_data.request import CompareError

Positions = NDArray[numpy.int64]
FIRST_SEED = 1
TEST_SEEDS = 6
"""Seeds to train with if a test file is given."""
STRATA = 5
"""Quantile groups of numeric labels, so that every fold has small and large ones."""
TEXTS, LABEL = ("text", "pair"), "label"
"""Column names in the files written for the runs."""


@dataclass(frozen=True)
class Unit:
    """One training and test set, and the seed of a run on it.

    Attributes:
        task: the task, read from its file.
        file: that file.
        seed: seed of head, batches and dropout; every unit has its own.
        test: positions of the test rows in the data file; None if the test rows are in another file.
        train_rows: number of training rows.
        test_rows: number of test rows.
        repeat: number of the repeat, from 0.
    """

    task: Task
    file: Path
    seed: int
    test: Positions | None
    train_rows: int
    test_rows: int
    repeat: int = 0


def fold_positions(rows: pandas.DataFrame, task: Task, folds: int, repeats: int) -> Iterator[tuple[int, Positions]]:
    """The test positions of every fold of every repeat, stratified by class or by the size of the number.

    Rows with the same text (ignoring case, blanks and punctuation) are in the same fold, so that no model is tested on
    a text that it was trained on.

    Yields:
        The number of the repeat, and the positions of the fold's test rows.

    Raises:
        CompareError: there are more folds than different texts or rows of the largest class.
    """
    texts = list(rows[list(task.text)].itertuples(index=False, name=None))
    groups = pandas.factorize(pandas.Series([" | ".join(normalised(text)) for text in texts]))[0]
    labels = rows["label"].to_numpy()
    strata = labels if task.labels is not None else pandas.qcut(labels, STRATA, labels=False, duplicates="drop")
    distinct, largest = len(numpy.unique(groups)), int(numpy.unique(strata, return_counts=True)[1].max())
    if folds > min(distinct, largest):
        part = "class" if task.labels is not None else f"of {STRATA} parts by size"
        raise CompareError(
            f"--folds {folds} is too many for {distinct} different texts and {largest} rows of the largest {part}; "
            "use fewer folds or add rows"
        )
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=repeat)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # About rare classes, which the data check reports.
            for _, test in splitter.split(numpy.zeros(len(rows)), strata, groups):
                yield repeat, numpy.asarray(test, dtype=numpy.int64)


def cross_validation(task: Task, rows: pandas.DataFrame, folds: int, repeats: int, folder: Path) -> list[Unit]:
    """Write the train and test rows and the task file of every fold, and return the folds as units."""
    units = []
    for number, (repeat, test) in enumerate(fold_positions(rows, task, folds, repeats)):
        train = numpy.setdiff1d(numpy.arange(len(rows)), test)
        name = f"r{repeat + 1}f{number % folds + 1}"
        file = write_task(task, name, {"train": rows.iloc[train], "test": rows.iloc[test]}, folder)
        units.append(Unit(read_task(file), file, FIRST_SEED + number, test, len(train), len(test), repeat))
    return units


def units_on_test_file(task: Task, rows: pandas.DataFrame, test: pandas.DataFrame, folder: Path) -> list[Unit]:
    """The whole file and a test file, once per seed."""
    file = write_task(task, "whole", {"train": rows, "test": test}, folder)
    whole = read_task(file)
    return [Unit(whole, file, FIRST_SEED + seed, None, len(rows), len(test)) for seed in range(TEST_SEEDS)]


def whole_unit(task: Task, rows: pandas.DataFrame, folder: Path) -> Unit:
    """All rows, for the final model; its test rows are a few of them and are never scored."""
    few = numpy.unique(rows["label"].to_numpy(), return_index=True)[1][:2]
    file = write_task(task, "all", {"train": rows, "test": rows.iloc[few]}, folder)
    return Unit(read_task(file), file, FIRST_SEED, None, len(rows), len(few))


def write_task(task: Task, name: str, splits: dict[str, pandas.DataFrame], folder: Path) -> Path:
    """Write rows as JSON Lines, exact and with class names, and a task file next to them; returns the task file."""
    columns = TEXTS[: len(task.text)]
    for split, rows in splits.items():
        lines = [_line(task, row, columns) for row in rows.to_dict("records")]
        write_atomically(folder / f"{name}-{split}.jsonl", "".join(lines).encode())
    content = {
        "name": name, "train": f"{name}-train.jsonl", "test": f"{name}-test.jsonl", "text": list(columns),
        "label": LABEL, "metrics": list(task.metrics), "title": task.title,
    }  # fmt: skip
    if task.labels is not None:
        content["labels"] = list(task.labels)
    if task.positive:
        content["positive"] = task.positive
    path = folder / f"{name}.yaml"
    write_atomically(path, yaml.safe_dump(content, allow_unicode=True, sort_keys=False).encode())
    return path


def _line(task: Task, row: dict[Hashable, Any], columns: tuple[str, ...]) -> str:
    label = float(row["label"]) if task.labels is None else task.labels[int(row["label"])]
    texts = {column: row[name] for column, name in zip(columns, task.text, strict=True)}
    return json.dumps({**texts, LABEL: label}, ensure_ascii=False) + "\n"
