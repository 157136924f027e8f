"""The task table: columns, label names, metrics and splits. A task is one row here, or your own YAML file.

Imports no torch, so plans and tables do not need it.
"""

from dataclasses import dataclass
from pathlib import Path

from amix.specs.suggestions import nearest

CORRELATIONS = ("spearman", "pearson")
ERRORS = ("mae", "rmse")
"""Metrics on the label's own scale; lower is better."""
NUMBER_METRICS = (*CORRELATIONS, *ERRORS)
CLASS_METRICS = ("accuracy", "matthews", "macro_f1", "weighted_f1", "balanced_accuracy", "roc_auc", "average_precision")
POSITIVE_METRICS = ("f1",)
"""Metrics of one class against all others."""
METRICS = ("matthews", "accuracy", "f1", *CORRELATIONS, *CLASS_METRICS[2:], *ERRORS)
EVALUATE = "evaluate:"
"""Prefix of the library evaluate's metrics (amix.data.evaluate_metrics)."""
LESS_IS_BETTER = (
    *ERRORS,
    *(EVALUATE + name for name in ("mae", "mse", "rmse", "mape", "smape", "mase", "brier_score")),
)
"""Metrics that cannot be the primary one."""


class TaskError(ValueError):
    """A task does not exist or is described wrongly."""


@dataclass(frozen=True)
class Task:
    """One data set, with its splits and metrics.

    Attributes:
        name: Its name in suites and records.
        title: Its heading in tables.
        text: One or two columns.
        labels: Names of the classes in the order of their ids; None for regression.
        metrics: The primary one first.
        origin: Where rows come from: `glue` (a folder in the layout of nyu-mll/glue, or the Hub), `embedded` (written
            for this project) or `files` (users' own files).
        folder: The folder of its files.
        train: The train split or file.
        test: The test split or file.
        label: The column with the label.
        validation: A user's own dev file; "" for none.
        positive: The class that f1 is computed for; "" for the second.
        encoding: Encoding of text files that are not UTF-8.
        hub: The data set of the Hub if that is not GLUE.
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
    validation: str = ""
    positive: str = ""
    encoding: str = ""
    hub: str = ""

    @property
    def positive_class(self) -> int:
        """The id of the class that f1 is computed for: the named one, else the second."""
        return self.labels.index(self.positive) if self.labels and self.positive else 1

    @property
    def regression(self) -> bool:
        """Whether the label is a number rather than a class."""
        return self.labels is None

    @property
    def outputs(self) -> int:
        """The number of outputs of the head."""
        return 1 if self.labels is None else len(self.labels)


LATER = ("validation", "positive", "encoding", "hub")
"""Fields added later, which older task descriptions lack."""
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
    raise TaskError(f"unknown task '{name}'; {nearest(name, TASKS)} Your own task is a YAML file (see README).")


def read_task(path: Path) -> Task:
    """Read a task from a YAML file; amix.specs.task_file.TaskFile documents its fields.

    Raises:
        TaskError: One line with the file, the field, its value and what to do.
    """
    from amix.specs.task_file import read_task_file  # It imports this module.

    return read_task_file(path)
