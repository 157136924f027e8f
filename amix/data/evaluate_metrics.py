"""Metrics of the library evaluate beside the built-in ones: by a name of its Hub collection, or a module of one's own.

Written `evaluate:NAME` in a task's file, NAME being that of a metric, or the folder or .py file of a module, seen from
the task's file. A local module needs no connection.
"""

import math
import uuid
from collections.abc import Callable
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

import numpy

from amix.specs.data_errors import DataError
from amix.specs.tasks import EVALUATE, Task

Array = numpy.ndarray


def evaluate_score(metric: str, labels: Array, predictions: Array, folder: Path) -> float:
    """What a metric of evaluate gives.

    Args:
        metric: `evaluate:NAME`.
        labels: shape [n], class ids or numbers.
        predictions: shape [n], the same of the model.
        folder: that of the task's file, from which a local module is named.

    Returns:
        The module's only number, else the one under its own name; nan where it is none.

    Raises:
        DataError: The module cannot be loaded, does not take predictions and references alone, or returns several
            numbers of other names.
    """
    try:
        found = _module(metric, folder).compute(predictions=predictions.tolist(), references=labels.tolist())
    except DataError:
        raise
    except Exception as error:  # A module is anybody's code.
        raise DataError(
            f"metric '{metric}': it cannot be computed from predictions and labels alone ({type(error).__name__}: "
            f"{_first_line(error)})"
        ) from error
    return _only_number(metric, found)


def check_evaluate_metrics(task: Task) -> None:
    """Load the metrics of evaluate that a task names and try them on four made-up labels, before anything is run.

    Raises:
        DataError: As evaluate_score; or the first metric, which is reported in points, is not between -1 and 1, or not
            larger for right predictions than for wrong ones.
    """
    for metric in task.metrics:
        if metric.startswith(EVALUATE):
            _check(metric, task, first=metric == task.metrics[0])


def _check(metric: str, task: Task, first: bool) -> None:
    labels = numpy.array([0.0, 0.5, 1.0, 2.0]) if task.regression else numpy.arange(4) % task.outputs
    right, wrong = (
        evaluate_score(metric, labels, predictions, Path(task.folder))
        for predictions in (labels, numpy.roll(labels, 1))
    )
    if first and not right > wrong:
        raise DataError(
            f"metric '{metric}': the first metric counts, and more must be better; this one gives {right:g} for right "
            f"predictions and {wrong:g} for wrong ones: put a built-in metric before it"
        )
    for value in (right, wrong):
        if first and abs(value) > 1:
            raise DataError(
                f"metric '{metric}': the first metric is reported in points, 100 times a number between -1 and 1; "
                f"this one gave {value:g}: put a built-in metric before it"
            )


def module_file(metric: str, folder: Path) -> Path | None:
    """The file of a local module; None where the name is one of the Hub's."""
    path = folder / metric.removeprefix(EVALUATE)
    if path.is_dir():
        return path / f"{path.name}.py"
    return path if path.suffix == ".py" else None


def found_from_anywhere(metric: str, folder: Path) -> str:
    """The metric; a local module, named from this folder, by its absolute path."""
    if not metric.startswith(EVALUATE) or module_file(metric, folder) is None:
        return metric
    return f"{EVALUATE}{folder.resolve() / metric.removeprefix(EVALUATE)}"


@cache
def _module(metric: str, folder: Path) -> Any:
    load = _load_function(metric)
    file = module_file(metric, folder)
    if file is not None and not file.is_file():
        raise DataError(f"metric '{metric}': there is no file {file}")
    name = str(file) if file else metric.removeprefix(EVALUATE)
    try:
        return load(name, keep_in_memory=True, experiment_id=uuid.uuid4().hex)
    except Exception as error:
        raise DataError(
            f"metric '{metric}': evaluate cannot load it ({type(error).__name__}: {_first_line(error)}); a name needs "
            "a connection, a folder holds a module of its own name"
        ) from error


def _load_function(metric: str) -> Callable[..., Any]:
    try:
        from evaluate import load  # type: ignore[import-untyped]
    except ImportError as error:
        raise DataError(f"metric '{metric}': the package evaluate is not installed (pip install evaluate)") from error
    function: Callable[..., Any] = load
    return function


def _only_number(metric: str, found: dict[str, Any] | None) -> float:
    numbers = {key: value for key, value in (found or {}).items() if isinstance(value, Real)}
    name = Path(metric.removeprefix(EVALUATE)).stem
    if len(numbers) == 1:
        value = next(iter(numbers.values()))
    elif name in numbers:
        value = numbers[name]
    else:
        gave = ", ".join(map(str, found or {})) or "nothing"
        raise DataError(f"metric '{metric}': it gives {gave}; one number is needed, or one named {name}")
    return float(value) if math.isfinite(value) else math.nan


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
