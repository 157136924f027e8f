"""Metrics of the library evaluate: by a name from its Hub collection, or as a user's own module.

Task files name them `evaluate:NAME`, where NAME is a metric's name, or the folder or .py file of a module, relative to
the task file. A local module needs no connection.
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
from amix.specs.task import EVALUATE, Task

Array = numpy.ndarray


def evaluate_score(metric: str, labels: Array, predictions: Array, folder: Path) -> float:
    """Compute a metric of evaluate.

    Args:
        metric: `evaluate:NAME`.
        labels: Class ids or numbers, shape [n].
        predictions: The model's class ids or numbers, shape [n].
        folder: The folder of the task file, to which a local module is relative.

    Returns:
        The module's only number, else the one under its own name; nan if it is not finite.

    Raises:
        DataError: The module cannot be loaded, needs more than predictions and references, or returns several numbers
            under other names.
    """
    try:
        results = _module(metric, folder).compute(predictions=predictions.tolist(), references=labels.tolist())
    except DataError:
        raise
    except Exception as error:  # A module can raise anything.
        raise DataError(
            f"metric '{metric}': it cannot be computed from predictions and labels alone ({type(error).__name__}: "
            f"{_first_line(error)})"
        ) from error
    return _only_number(metric, results)


def check_evaluate_metrics(task: Task) -> None:
    """Load a task's metrics of evaluate, and try them on four made-up labels before anything is run.

    Raises:
        DataError: See evaluate_score; or the primary metric, which is reported in points, is outside [-1, 1], or not
            higher for right predictions than for wrong ones.
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
            f"metric '{metric}': the first metric must be better when higher; this one gives {right:g} for right "
            f"predictions and {wrong:g} for wrong ones: put a built-in metric before it"
        )
    for value in (right, wrong):
        if first and abs(value) > 1:
            raise DataError(
                f"metric '{metric}': the first metric is reported in points, 100 times a number between -1 and 1; "
                f"this one gave {value:g}: put a built-in metric before it"
            )


def module_file(metric: str, folder: Path) -> Path | None:
    """Return the file of a local module; None if the name is one of the Hub's."""
    path = folder / metric.removeprefix(EVALUATE)
    if path.is_dir():
        return path / f"{path.name}.py"
    return path if path.suffix == ".py" else None


def found_from_anywhere(metric: str, folder: Path) -> str:
    """Return the metric, with the absolute path if it is a local module, relative to this folder."""
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


def _only_number(metric: str, results: dict[str, Any] | None) -> float:
    numbers = {key: value for key, value in (results or {}).items() if isinstance(value, Real)}
    name = Path(metric.removeprefix(EVALUATE)).stem
    if len(numbers) == 1:
        value = next(iter(numbers.values()))
    elif name in numbers:
        value = numbers[name]
    else:
        names = ", ".join(map(str, results or {})) or "nothing"
        raise DataError(f"metric '{metric}': it gives {names}; one number is needed, or one named {name}")
    return float(value) if math.isfinite(value) else math.nan


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0]
