"""Scores of a finished model: of its last weights and, if the selection asks for them, of the best epoch's."""

from typing import Any

import numpy
from torch import nn

from amix.data.encoded import Encoded
from amix.data.metrics import Scores, task_scores
from amix.data.splits import Splits
from amix.runs.out_of_domain_scores import Prepared, score_sets
from amix.specs.run_spec import OUT_OF_DOMAIN
from amix.specs.store import id_type
from amix.specs.task import Task
from amix.training.evaluation import Predictions, predict
from amix.training.fit import Fit
from amix.training.method import Method

Record = dict[str, Any]
Arrays = dict[str, numpy.ndarray]


def scored(splits: Splits, dev_only: bool) -> dict[str, Encoded]:
    """Return the splits that are scored at the end."""
    candidates = {"test": splits.test, "dev": splits.dev}
    return {name: data for name, data in candidates.items() if len(data) and not (dev_only and name == "test")}


def evaluate(
    method: Method,
    model: nn.Module,
    fit: Fit,
    data: dict[str, Encoded],
    sets: tuple[Prepared, ...],
    record: Record,
) -> Arrays:
    """Score the last weights and, if asked, the best-dev weights; predicts each split and set once for each."""
    evaluated = method.for_evaluation(model, fit)
    last = {name: predict(evaluated, split, fit) for name, split in data.items()}
    scores: dict[str, Any] = {name: _score(fit.task, data[name], last[name]) for name in data}
    others, arrays = score_sets(sets, evaluated, fit)
    if sets:
        scores[OUT_OF_DOMAIN] = others
    record["scores"] = {"last": scores, "best_dev": _best_scores(evaluated, fit, data, sets, scores)}
    return arrays_of(fit.task, last, data) | arrays


def _score(task: Task, data: Encoded, predictions: Predictions) -> Scores:
    return task_scores(task, data.labels.numpy(), predictions.predictions, predictions.logits)


def _best_scores(
    evaluated: nn.Module, fit: Fit, data: dict[str, Encoded], sets: tuple[Prepared, ...], last: dict[str, Any]
) -> dict[str, Any]:
    """Return the scores of the best epoch: its number and dev score, and all others only if the selection is best_dev.

    If the best epoch is the last one, the others would cost nothing, but then only some runs of a suite would have
    them.
    """
    epochs = [point["epoch"] for point in fit.curve if point["stage"] == "main"]
    epoch = fit.best.epoch or None
    was_last = not fit.best.dev or epoch == epochs[-1]
    if was_last and fit.best.keep_state:
        return {**last, "epoch": epoch}
    dev = last.get("dev") if was_last else fit.best.dev
    scores: dict[str, Any] = {"epoch": epoch} | ({"dev": dev} if dev else {})
    if fit.best.keep_state and "test" in data:
        last_state = {name: tensor.detach().clone() for name, tensor in evaluated.state_dict().items()}
        evaluated.load_state_dict(fit.best.state)
        scores["test"] = _score(fit.task, data["test"], predict(evaluated, data["test"], fit))
        if sets:
            scores[OUT_OF_DOMAIN] = score_sets(sets, evaluated, fit)[0]
        evaluated.load_state_dict(last_state)
    return scores


def arrays_of(task: Task, last: dict[str, Predictions], data: dict[str, Encoded]) -> Arrays:
    """Return predictions, labels and logits of each split, in the smallest types that hold them."""
    dtype = numpy.dtype(numpy.float32) if task.regression else id_type(task.outputs)
    arrays = {}
    for name, split in data.items():
        arrays[f"{name}_predictions"] = last[name].predictions.astype(dtype)
        arrays[f"{name}_labels"] = split.labels.numpy().astype(dtype)
        arrays[f"{name}_logits"] = last[name].logits.astype(numpy.float32)
    return arrays
