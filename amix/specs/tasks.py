"""The task table: columns, label names, metrics and splits. A task is one row here or one YAML file of yours.

Imports no torch, so that plans and tables can be made without it.
"""

from dataclasses import dataclass
from pathlib import Path

from amix.specs.suggestions import nearest

CORRELATIONS = ("spearman", "pearson")
ERRORS = ("mae", "rmse")
"""Metrics on the label's own scale, of which less is better."""
NUMBER_METRICS = (*CORRELATIONS, *ERRORS)
CLASS_METRICS = ("accuracy", "matthews", "macro_f1", "weighted_f1", "balanced_accuracy", "roc_auc", "average_precision")
POSITIVE_METRICS = ("f1",)
"""Metrics of one class: that of two classes which is meant, or one against all others."""
METRICS = ("matthews", "accuracy", "f1", *CORRELATIONS, *CLASS_METRICS[2:], *ERRORS)
EVALUATE = "evaluate:"
"""Begins a metric of the library evaluate (amix.data.evaluate_metrics)."""
LESS_IS_BETTER = (
    *ERRORS,
    *(EVALUATE + name for name in ("mae", "mse", "rmse", "mape", "smape", "mase", "brier_score")),
)
"""Metrics that cannot be the first one, which counts."""


class TaskError(ValueError):
    """A task that does not exist or is described wrongly."""


@dataclass(frozen=True)
class Task:
    """One data set with its protocol.

    text names one or two columns. labels are the names of the classes in the order of their ids, None for regression.
    The first metric is the primary one. origin says where rows come from: `glue` (a folder in the layout of
    nyu-mll/glue, or the Hub), `embedded` (written for this project) or `files` (your own train and test file).
    validation names a dev file of your own, positive the class that f1 is of (the second where empty), encoding that
    of text files that are not UTF-8, hub the data set of the Hub where that is not GLUE.
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
        """Id of the class that f1 is of: the named one, else the second."""
        return self.labels.index(self.positive) if self.labels and self.positive else 1

    @property
    def regression(self) -> bool:
        """Whether the label is a number to be predicted rather than a class."""
        return self.labels is None

    @property
    def outputs(self) -> int:
        """Number of outputs of the head."""
        return 1 if self.labels is None else len(self.labels)


LATER = ("validation", "positive", "encoding", "hub")
"""Fields that the first descriptions did not have."""
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
"""Rows of the train and test split (as the Hub counts them), so that a folder with fewer is noticed."""


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


def read_task(path: Path) -> Task:
    """A task from a YAML file; amix.specs.task_file.TaskFile says which fields there are.

    Raises:
        TaskError: what is wrong with it, in one line: file, field, what stands there.
    """
    from amix.specs.task_file import read_task_file  # Builds on this module.

    return read_task_file(path)
