"""The task table: columns, label names, metrics and splits. A task is one row here or one YAML file of yours.

Imports no torch, so that plans and tables can be made without it.
"""

import difflib
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

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

    Errors: TaskError with the nearest names for an unknown task, or with the file and field for a wrong description.
    """
    if name.endswith((".yaml", ".yml")):
        return read_task((folder or Path()) / name)
    if name in TASKS:
        return TASKS[name]
    near = difflib.get_close_matches(name, TASKS, n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(TASKS)}"
    raise TaskError(f"unknown task '{name}'; {hint} A task of your own is a YAML file (see README).")


def read_task(path: Path) -> Task:
    """A task from a YAML file with the fields name, train, test, text, label, labels and metrics.

    labels is left out for regression; train and test are CSV, TSV, JSONL or Parquet files, relative to the YAML file.
    """
    try:
        # Every value as it is written: labels such as no, yes, 01 would become truth values and numbers.
        content = yaml.load(path.read_text(), yaml.BaseLoader)
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise TaskError(f"{path}: is not valid YAML ({error})") from error
    if not isinstance(content, dict):
        raise TaskError(f"{path}: a task file holds fields such as 'name:' and 'train:'")
    if content.get("labels") in ("", "null", "~"):
        del content["labels"]
    required, optional = {"name", "train", "test", "text"}, {"title", "label", "labels", "metrics"}
    missing, unknown = sorted(required - set(content)), sorted(set(content) - required - optional)
    if missing or unknown:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing) + [f"unknown: {', '.join(unknown)}"] * bool(unknown)
        raise TaskError(f"{path}: {'; '.join(parts)} (fields: {', '.join(sorted(required | optional))})")
    return Task(
        name=str(content["name"]),
        title=str(content.get("title", content["name"])),
        text=_names(content["text"]),
        labels=_names(content["labels"]) if content.get("labels") else None,
        metrics=_metrics(path, content),
        origin="files",
        folder=str(path.resolve().parent),
        train=str(content["train"]),
        test=str(content["test"]),
        label=str(content.get("label", "label")),
    )


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


def _names(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in (value if isinstance(value, list) else [value]))


def _metrics(path: Path, content: dict[str, Any]) -> tuple[str, ...]:
    default = ["accuracy"] if content.get("labels") else ["spearman", "pearson"]
    metrics = _names(content.get("metrics", default))
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise TaskError(f"{path}: unknown metric {', '.join(unknown)}; known: {', '.join(METRICS)}")
    labels = content.get("labels")
    fitting = ("accuracy", *(("matthews", "f1") if len(labels) == 2 else ("matthews",))) if labels else CORRELATIONS
    unfit = [metric for metric in metrics if metric not in fitting]
    if unfit:
        kind = f"{len(labels)} labels" if labels else "a number as label"
        raise TaskError(f"{path}: {', '.join(unfit)} is not defined for {kind}; use {', '.join(fitting)}")
    return metrics
