"""What a bad input is, and the good files around it."""

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Content = bytes | str | Callable[[Path], None] | None
"""A file's content, what makes it from its path, or None where a file of the good folder is taken away."""
GOOD, BAD, FILLERS = (
    ("fine", "lovely", "great", "happy"),
    ("awful", "sad", "poor", "dull"),
    ("cat", "tree", "river", "house", "bird"),
)
LABELS = ["negative", "positive"]
ENCODER = "enc"
"""A tiny encoder that lies beside every case."""

RUN = (
    "run", "-t", "toy.yaml", "-m", "vanilla", "--seed", "1", "-n", "12", "-e", "enc", "--training", "max_length=16",
    "--out", "out",
)  # fmt: skip
"""One run with the good files."""


@dataclass(frozen=True)
class BadInput:
    """One input that must end in one line.

    Attributes:
        line: which line of the list of known faults it belongs to, "" for more of the same kinds.
        name: its own name.
        command: what is typed after `python -m runners`.
        says: what the message must hold: the file or the option, the field, and what to do.
        files: what lies in the folder beside the good files, or in their place.
        env: variables of the environment.
        apart: whether it is done in a process of its own.
        limits: of that process, as the shell's ulimit takes them.
        runs: whether only a run can show what is wrong, which then leaves its record and says more than one line.
    """

    line: str
    name: str
    command: tuple[str, ...]
    says: tuple[str, ...]
    files: Mapping[str, Content] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    apart: bool = False
    limits: str = ""
    runs: bool = False


def rows_of(count: int, skipped: int = 0) -> list[tuple[str, str]]:
    """Texts of words that the tiny encoder knows, no two alike, with their labels; the first ones are left out."""
    wording = itertools.product(range(4), FILLERS, FILLERS, FILLERS)
    found = []
    for row, (word, *others) in enumerate(itertools.islice(wording, skipped + count)):
        good = row % 2 == 1
        found.append((" ".join(((GOOD if good else BAD)[word], *others)), LABELS[good]))
    return found[skipped:]


def csv_text(rows: Iterable[Iterable[Any]], header: Iterable[str] = ("text", "label"), separator: str = ",") -> str:
    """A table as a CSV file's content."""
    file = io.StringIO()
    writer = csv.writer(file, delimiter=separator, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


TASK: dict[str, Any] = {
    "name": "toy", "train": "train.csv", "test": "test.csv", "text": "text", "labels": LABELS,
}  # fmt: skip
SUITE: dict[str, Any] = {
    "name": "own", "encoder": ENCODER, "tasks": ["toy.yaml"], "sizes": [12], "seeds": [1], "methods": ["vanilla"],
    "training": {"epochs": 1, "max_length": 16},
}  # fmt: skip
TRAIN, TEST = rows_of(48), rows_of(60, 48)


def as_yaml(content: Any) -> str:
    """YAML as people write it: texts with their letters, in the order given."""
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def good_files() -> dict[str, Content]:
    """A suite, a task and its two files, with which everything works."""
    return {
        "own.yaml": as_yaml(SUITE), "toy.yaml": as_yaml(TASK), "train.csv": csv_text(TRAIN), "test.csv": csv_text(TEST),
    }  # fmt: skip


def suite_with(**changes: Any) -> str:
    """The good suite's file with other fields."""
    return as_yaml(SUITE | changes)


def task_with(**changes: Any) -> str:
    """The good task's file with other fields; None takes one away."""
    return as_yaml({name: value for name, value in (TASK | changes).items() if value is not None})


PLAN, SWEEP, ALL = (("plan",), ("sweep", "-w", "0"), ("all", "-w", "0"))


def on_suite(verb: tuple[str, ...], *options: str) -> tuple[str, ...]:
    """A command on the folder's suite that would write into `out`."""
    return (*verb, "--suite", "own.yaml", "--out", "out", *options)


def in_turn(number: int) -> tuple[str, ...]:
    """One of the commands that plan a suite: what is wrong with its file stops each of them."""
    return on_suite((PLAN, PLAN, SWEEP, ALL)[number % 4])


LINES: dict[str, tuple[str, ...]] = {
    "encoder trained at random": (
        "weights renamed", "layers missing", "width of the configuration", "no tokenizer file", "weights missing",
        "weights unexpected", "weights of wrong shape", "empty vocabulary", "layers below one",
    ),
    "mistake that fails every run": (
        "clip_norm text", "weight_decay null", "betas empty", "epochs fraction", "batch_size fraction",
        "max_length infinite", "adam_epsilon negative", "lr not a number", "processes fraction", "rank negative",
        "text empty", "text is the label", "encoder without config", "encoder without weights", "weights cut off",
        "weights unsafe", "few positions", "no processes", "every run failed",
    ),
    "key twice": ("seeds", "methods", "training", "method label", "labels of a task"),
    "traceback": (
        "suite not UTF-8", "task not UTF-8", "tuned not UTF-8", "tuned is a folder", "tuned bad YAML",
        "tuned without found", "protocol a list", "protocol a text", "focus a number", "methods empty", "steps text",
        "steps infinite", "betas number", "epochs not a number", "date", "metrics empty", "comma in every row",
        "binary Parquet", "out a file", "disk full", "out read-only", "out too long", "seeds superscript",
        "seeds long digits", "set bad YAML", "training bad YAML", "processes empty", "processes text", "rank text",
        "plugin syntax", "plugin raises", "config a list", "folder named json", "dangling link",
    ),
    "plugin ends Python": ("exit at import", "exit in its loss"),
    "data that mean nothing": (
        "train is test", "one class", "column twice", "NUL", "list as text", "object as text", "JSON key twice",
        "ids and names", "steps zero", "steps negative", "lr true", "epochs true", "batch_size true",
        "weight_decay negative", "clip_norm negative", "clip_norm zero", "margin infinite", "sizes repeated",
        "splits fraction", "name of a known task",
    ),
    "words of Python": ("lr text", "plugin without its file", "GLUE a file"),
}  # fmt: skip
"""Known faults that bad inputs have to cover, by kind; a case names one as `kind: name`."""


def every_line() -> set[str]:
    """Return all known faults as cases name them."""
    return {f"{kind}: {name}" for kind, names in LINES.items() for name in names}
