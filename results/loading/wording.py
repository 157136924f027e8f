"""Words and numbers as tables, figures and the page print them."""

import math

from amix.specs.run_plan import FULL, RunPlan

METRICS = {"matthews": "Matthews", "accuracy": "accuracy", "f1": "F1", "spearman": "Spearman", "pearson": "Pearson"}
SELECTIONS = {"last": "the last step", "best_dev": "the epoch best on dev"}


def metric_words(metric: str) -> str:
    """The metric's name for readers."""
    return METRICS.get(metric, metric)


def selection_words(selection: str) -> str:
    """The selection rule in words."""
    return SELECTIONS.get(selection, selection)


def size_words(size: str) -> str:
    """The size of the training subset in words."""
    if size == FULL:
        return "the full train split"
    smallest, _, largest = size.partition("-")
    return f"N = {smallest} {f'to {largest} ' if largest else ''}training examples"


def titles(plan: RunPlan) -> str:
    """The tasks' titles in a row."""
    return ", ".join(task.title for task in plan.tasks.values())


def signed(value: float) -> str:
    """A difference with its sign, one decimal."""
    return "unknown" if math.isnan(value) else format(value, "+.1f").replace("-", "−")


def p_text(p: float) -> str:
    """A p value to two digits, never as zero: 'p = 0.012', 'p < 0.0001'."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2g}"
