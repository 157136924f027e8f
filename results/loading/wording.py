"""Words and numbers as they appear in tables, figures and on the page."""

import math
from collections.abc import Iterable
from pathlib import PurePath

from amix.specs.run_plan import FULL, RunPlan
from amix.specs.task import EVALUATE

METRICS = {
    "matthews": "Matthews", "accuracy": "accuracy", "f1": "F1", "spearman": "Spearman", "pearson": "Pearson",
    "macro_f1": "macro F1", "weighted_f1": "weighted F1", "balanced_accuracy": "balanced accuracy",
    "roc_auc": "ROC AUC", "average_precision": "average precision", "mae": "MAE", "rmse": "RMSE",
}  # fmt: skip
OF_ONE_CLASS = ("f1",)
OWN_UNIT = ("mae", "rmse")
"""Metrics in the unit of the label, which are not multiplied by 100."""
ENDPOINTS = {"score": "each task's score", "log_loss": "log-loss", "brier": "Brier score", "ece": "calibration error"}
SELECTIONS = {"last": "the last step", "best_dev": "the epoch best on dev"}


def metric_words(metric: str, positive: str = "") -> str:
    """The metric's name for readers, followed by the positive class if it is of one class and that has a name."""
    name = METRICS.get(metric) or PurePath(metric.removeprefix(EVALUATE)).stem
    return f"{name} ({positive})" if positive and metric in OF_ONE_CLASS else name


def score_words(metric: str, value: float | None) -> str:
    """A score for the terminal: times 100, except for errors in the label's unit; 'undefined' if there is none."""
    if value is None:
        return "undefined"
    return f"{value:.4g}" if metric in OWN_UNIT else f"{100 * value:.1f}"


def selection_words(selection: str) -> str:
    """The selection rule in words."""
    return SELECTIONS.get(selection, selection)


def endpoint_words(endpoint: str) -> str:
    """An endpoint of a protocol in words."""
    return ENDPOINTS.get(endpoint, endpoint)


def listed(items: Iterable[object]) -> str:
    """Items as a list in words: 'a', 'a and b', 'a, b and c'."""
    *first, last = map(str, items)
    return f"{', '.join(first)} and {last}" if first else last


def size_words(size: str) -> str:
    """The size of the training subset in words."""
    if size == FULL:
        return "the full train split"
    smallest, _, largest = size.partition("-")
    return f"N = {smallest} {f'to {largest} ' if largest else ''}training examples"


def titles(plan: RunPlan) -> str:
    """The tasks' titles, separated by commas."""
    return ", ".join(task.title for task in plan.tasks.values())


def signed(value: float) -> str:
    """A difference with its sign, one decimal."""
    return "unknown" if math.isnan(value) else format(value, "+.1f").replace("-", "−")


def duration(seconds: float) -> str:
    """A duration in seconds for readers: 40 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def p_text(p: float) -> str:
    """A p-value, never zero: 'p = 0.012', 'p < 0.0001'."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p_digits(p)}"


def p_digits(p: float) -> str:
    """A p-value to two digits, or to three where two would hide that it is above 0.05: '0.012', '0.0504'."""
    two = f"{p:.2g}"
    return two if float(two) > 0.05 or p <= 0.05 else f"{p:.3g}"
