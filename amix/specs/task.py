"""What a task is: its texts, labels and metrics."""

from dataclasses import dataclass

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
