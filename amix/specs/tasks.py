"""The task table: columns, label names, metrics and splits. A task is one row here, or your own YAML file.

Imports no torch, so plans and tables do not need it.
"""

from pathlib import Path

from amix.specs.data_errors import shown
from amix.specs.suggestions import nearest
from amix.specs.task import Task, TaskError
from amix.specs.task_file import read_task_file

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
FIVE_WAY = ("very negative", "negative", "neutral", "positive", "very positive")
FEW_SHOT = (
    Task(
        "cr", "CR", ("text",), ("negative", "positive"), ("accuracy",),
        folder="cr", test="test", hub="SetFit/SentEval-CR",
    ),
    Task("sst5", "SST-5", ("text",), FIVE_WAY, ("accuracy",), folder="sst5", test="test", hub="SetFit/sst5"),
)  # fmt: skip
"""Read as GLUE's tasks are: from its folder, else from the Hub."""
TASKS: dict[str, Task] = {task.name: task for task in (*GLUE, *EMBEDDED, *FEW_SHOT)}
OFFICIAL_ROWS = {
    "cola": (8551, 1043), "rte": (2490, 277), "mrpc": (3668, 408), "stsb": (5749, 1500), "sst2": (67349, 872),
    "qnli": (104743, 5463), "qqp": (363846, 40430), "mnli": (392702, 9815), "mnli-mismatched": (392702, 9832),
    "wnli": (635, 71), "sst5": (8544, 2210),
}  # fmt: skip
"""Rows in the train and test splits of nyu-mll/glue (as counted by the Hub), to detect incomplete folders."""


def find_task(name: str, folder: Path | None = None) -> Task:
    """Return the task of this name, or the one that a YAML file describes (name ends in .yaml; relative to folder).

    Raises:
        TaskError: The task is unknown (the message suggests the nearest names), or described wrongly (the message names
            file and field).
    """
    if name.endswith((".yaml", ".yml")):
        return read_task((folder or Path()) / name)
    if name in TASKS:
        return TASKS[name]
    known = nearest(name, TASKS)
    raise TaskError(f"unknown task '{name}'; {known} (a task of your own is a .yaml file: see runners/README.md)")


def read_task(path: Path) -> Task:
    """Read a task from a YAML file; amix.specs.task_file.TaskFile documents its fields.

    Raises:
        TaskError: One line with the file, the field, its value and what to do.
    """
    task = read_task_file(path)
    if task.name in TASKS:
        raise TaskError(f"{path}: name: {shown(task.name)} is a task of this project; choose another name")
    return task
