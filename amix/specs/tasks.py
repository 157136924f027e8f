"""The task table: columns, label names, metrics and splits. A task is one row here or one YAML file of yours.

Imports no torch, so that plans and tables can be made without it.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator

from amix.specs.spec_model import OneOrMore, SpecModel, problem, refuse_repeated, safe_name
from amix.specs.suggestions import nearest
from amix.specs.yaml_files import YamlError, read_yaml

CORRELATIONS = ("spearman", "pearson")
METRICS = ("matthews", "accuracy", "f1", *CORRELATIONS)


class TaskError(ValueError):
    """A task that does not exist or is described wrongly."""


@dataclass(frozen=True)
class Task:
    """One data set with its protocol.

    text names one or two columns. labels are the names of the classes in the order of their ids, None for regression.
    The first metric is the primary one. origin says where rows come from: `glue` (a folder in the layout of
    nyu-mll/glue, or the Hub), `embedded` (written for this project) or `files` (your own train and test file).
    """

    name: str
    title: str
    text: tuple[str, ...]
    labels: tuple[str, ...] | None
    metrics: tuple[str, ...]
    origin: str = "glue"
    folder: str = ""
    train: str = "train"
    test: str = "validation"
    label: str = "label"

    @property
    def regression(self) -> bool:
        """Whether the label is a number to be predicted rather than a class."""
        return self.labels is None

    @property
    def outputs(self) -> int:
        """Number of outputs of the head."""
        return 1 if self.labels is None else len(self.labels)


ACCEPTABLE = ("unacceptable", "acceptable")
ENTAILED = ("entailment", "not_entailment")
EQUIVALENT = ("not_equivalent", "equivalent")
PAIR = ("sentence1", "sentence2")
THREE_WAY = ("entailment", "neutral", "contradiction")

GLUE = (
    Task("cola", "CoLA", ("sentence",), ACCEPTABLE, ("matthews", "accuracy"), folder="cola"),
    Task("rte", "RTE", PAIR, ENTAILED, ("accuracy",), folder="rte"),
    Task("mrpc", "MRPC", PAIR, EQUIVALENT, ("f1", "accuracy"), folder="mrpc"),
    Task("stsb", "STS-B", PAIR, None, ("spearman", "pearson"), folder="stsb"),
    Task("sst2", "SST-2", ("sentence",), ("negative", "positive"), ("accuracy",), folder="sst2"),
    Task("qnli", "QNLI", ("question", "sentence"), ENTAILED, ("accuracy",), folder="qnli"),
    Task("qqp", "QQP", ("question1", "question2"), ("not_duplicate", "duplicate"), ("f1", "accuracy"), folder="qqp"),
    Task(
        "mnli", "MNLI-m", ("premise", "hypothesis"), THREE_WAY, ("accuracy",),
        folder="mnli", test="validation_matched",
    ),
    Task(
        "mnli-mismatched", "MNLI-mm", ("premise", "hypothesis"), THREE_WAY, ("accuracy",),
        folder="mnli", test="validation_mismatched",
    ),
    Task("wnli", "WNLI", PAIR, ("not_entailment", "entailment"), ("accuracy",), folder="wnli"),
)  # fmt: skip
EMBEDDED = (
    Task("mini-cola", "mini-CoLA", ("sentence",), ACCEPTABLE, ("matthews", "accuracy"), "embedded", "mini-cola"),
    Task("mini-rte", "mini-RTE", PAIR, ENTAILED, ("accuracy",), "embedded", "mini-rte"),
    Task("mini-mrpc", "mini-MRPC", PAIR, EQUIVALENT, ("f1", "accuracy"), "embedded", "mini-mrpc"),
    Task("mini-stsb", "mini-STS-B", PAIR, None, ("spearman", "pearson"), "embedded", "mini-stsb"),
)
TASKS: dict[str, Task] = {task.name: task for task in (*GLUE, *EMBEDDED)}
OFFICIAL_ROWS = {
    "cola": (8551, 1043), "rte": (2490, 277), "mrpc": (3668, 408), "stsb": (5749, 1500), "sst2": (67349, 872),
    "qnli": (104743, 5463), "qqp": (363846, 40430), "mnli": (392702, 9815), "mnli-mismatched": (392702, 9832),
    "wnli": (635, 71),
}  # fmt: skip
"""Rows of nyu-mll/glue's train and test split (as the Hub counts them), so that a folder with fewer is noticed."""


def find_task(name: str, folder: Path | None = None) -> Task:
    """The task of this name, or the one that a YAML file describes (name ends in .yaml; relative to folder).

    Raises:
        TaskError: an unknown task, with the nearest names, or a wrong description, with its file and field.
    """
    if name.endswith((".yaml", ".yml")):
        return read_task((folder or Path()) / name)
    if name in TASKS:
        return TASKS[name]
    raise TaskError(f"unknown task '{name}'; {nearest(name, TASKS)} A task of your own is a YAML file (see README).")


def _labels(value: object) -> object:
    """The words that YAML has for nothing; labels are texts, so that no other value is looked for."""
    return None if value in ("", "null", "~") else value


class TaskFile(SpecModel):
    """A task of your own, as its YAML file describes it. Every value is the text that stands there."""

    name: Annotated[str, AfterValidator(safe_name)]
    """What suites, records and tables call it."""
    train: Annotated[str, Field(min_length=1)]
    """CSV, TSV, JSONL or Parquet file that training subsets are drawn from, relative to this file."""
    test: Annotated[str, Field(min_length=1)]
    """File of the same kind that is tested on."""
    text: Annotated[OneOrMore[str], Field(max_length=2), AfterValidator(refuse_repeated)]
    """The column with the text, or the two columns of a pair."""
    title: str = ""
    """Head of the task's column in tables; the name where there is none."""
    label: str = "label"
    """The column with the label."""
    labels: Annotated[
        Annotated[OneOrMore[str], Field(min_length=2), AfterValidator(refuse_repeated)] | None, BeforeValidator(_labels)
    ] = None
    """Names of the classes, as they stand in the files; left out where the label is a number to be predicted."""
    metrics: Annotated[OneOrMore[str], AfterValidator(refuse_repeated)] = Field(default=(), validate_default=False)
    """Metrics, the primary one first: accuracy, f1, matthews for classes; spearman, pearson for numbers."""

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [metric for metric in metrics if metric not in METRICS]
        if unknown:
            raise ValueError(f"unknown metric {', '.join(unknown)}; {nearest(unknown[0], METRICS)}")
        return metrics

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name in TASKS:
            raise ValueError(f"name: '{self.name}' is a task of the project; give yours a name of its own")
        if self.label in self.text:
            raise ValueError(f"text: '{self.label}' is the column of the label")
        unfit = [metric for metric in self.metrics if metric not in self._fitting_metrics]
        if unfit:
            kind = f"{len(self.labels)} labels" if self.labels else "a number as label"
            use = ", ".join(self._fitting_metrics)
            raise ValueError(f"metrics: {', '.join(unfit)} is not defined for {kind}; use {use}")
        return self

    @property
    def _fitting_metrics(self) -> tuple[str, ...]:
        if self.labels is None:
            return CORRELATIONS
        return ("accuracy", "matthews", "f1") if len(self.labels) == 2 else ("accuracy", "matthews")

    def task(self, folder: Path) -> Task:
        """The task, its files being in this folder."""
        return Task(
            name=self.name,
            title=self.title or self.name,
            text=self.text,
            labels=self.labels,
            metrics=self.metrics or (CORRELATIONS if self.labels is None else ("accuracy",)),
            origin="files",
            folder=str(folder.resolve()),
            train=self.train,
            test=self.test,
            label=self.label,
        )


def read_task(path: Path) -> Task:
    """A task from a YAML file (see TaskFile).

    Raises:
        TaskError: what is wrong with it, in one line: file, field, what stands there.
    """
    try:
        content = read_yaml(path, texts_only=True)
        if not isinstance(content, dict):
            raise TaskError(f"{path}: a task file holds fields such as 'name:' and 'train:'")
        return TaskFile.model_validate(content).task(path.parent)
    except YamlError as error:
        raise TaskError(str(error)) from error
    except ValidationError as error:
        raise TaskError(f"{path}: {problem(error)}") from error


def task_source(task: Task) -> str:
    """sha256 over the files of a task of your own, so that edited data is run again; "" for the project's tasks."""
    if task.origin != "files":
        return ""
    digest = hashlib.sha256(repr(replace(task, folder="")).encode())
    for name in (task.train, task.test):
        path = Path(task.folder) / name
        if not path.is_file():
            raise TaskError(f"task {task.name}: {path} does not exist")
        digest.update(path.read_bytes())
    return digest.hexdigest()
