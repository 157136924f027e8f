"""Scoring a finished model on out-of-domain sets: reading the sets, predictions, scores."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy
import pandas
from torch import nn

from amix.data.encoded import Encoded, tokenize
from amix.data.metrics import majority_scores, score
from amix.data.rows import DataError, glue_folder, load_rows
from amix.models.loading import load_tokenizer
from amix.specs.encoders import Encoder
from amix.specs.out_of_domain import ORIGIN, VARIABLE, OutOfDomainSet, common_classes, sets_for
from amix.specs.store import id_type
from amix.specs.task import Task
from amix.training.evaluation import predict
from amix.training.fit import Fit

Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Prepared:
    """An out-of-domain set, prepared for the models of one task.

    Attributes:
        other: The set's description.
        data: Its tokenised examples.
        labels: Ids of the classes that task and set share (out_of_domain.common_classes), or for regression the set's
            own numbers; shape [n].
        class_of: The shared class of each class of the task, shape [classes]; None for regression.
    """

    other: OutOfDomainSet
    data: Encoded
    labels: numpy.ndarray
    class_of: numpy.ndarray | None

    def to_common_classes(self, values: numpy.ndarray) -> numpy.ndarray:
        """Map the task's class ids to the shared classes; for regression, return the numbers unchanged."""
        return values if self.class_of is None else self.class_of[values.astype(int)]

    def majority(self, train_labels: numpy.ndarray) -> dict[str, float]:
        """Return the scores of always predicting the training subset's most frequent class (for regression, mean)."""
        regression = self.class_of is None
        return majority_scores(self.other.data.metrics, self.to_common_classes(train_labels), self.labels, regression)


def out_of_domain_folder(given: str | Path | None) -> Path | None:
    """Return the folder of the sets: the one given, else that of the variable AMIX_OUT_OF_DOMAIN, else None.

    Raises:
        DataError: The folder does not exist.
    """
    folder = given or os.environ.get(VARIABLE) or None
    if folder is not None and not Path(folder).is_dir():
        raise DataError(f"the folder '{folder}' does not exist (option --out-of-domain or variable {VARIABLE})")
    return None if folder is None else Path(folder)


def set_rows(other: OutOfDomainSet, glue: Path | None, folder: Path | None) -> pandas.DataFrame:
    """Return all rows of a set, checked like those of a task.

    Raises:
        DataError: A file cannot be used, or the folder is missing; the message says which.
    """
    if other.data.origin != ORIGIN:
        return load_rows(other.data, other.data.test, glue)
    if folder is None:
        raise DataError(
            f"the out-of-domain set {other.name} needs a folder with {other.data.folder}/{other.data.test}*.parquet: "
            f"give it with --out-of-domain DIR or {VARIABLE}=DIR"
        )
    return load_rows(other.data, other.data.test, folder)


def prepared_sets(
    task: Task, names: tuple[str, ...], encoder: str | Encoder, max_length: int, glue: str | None, folder: str | None
) -> tuple[Prepared, ...]:
    """Return those of the named sets that this task is scored on, tokenised; cached for later runs."""
    others = sets_for(task.name, names)
    glue_path = glue_folder(glue) if any(other.data.origin != ORIGIN for other in others) else None
    sets_folder = out_of_domain_folder(folder) if others else None
    return tuple(_prepared(task, other, encoder, max_length, glue_path, sets_folder) for other in others)


@cache
def _prepared(
    task: Task, other: OutOfDomainSet, encoder: str | Encoder, max_length: int, glue: Path | None, folder: Path | None
) -> Prepared:
    rows = set_rows(other, glue, folder)
    data = tokenize(other.data, rows, load_tokenizer(encoder), max_length)
    labels = data.labels.numpy()
    if task.regression:
        return Prepared(other, data, labels, None)
    of_task, of_set = (numpy.array(classes) for classes in common_classes(task, other))
    return Prepared(other, data, of_set[labels], of_task)


def score_sets(sets: tuple[Prepared, ...], model: nn.Module, fit: Fit) -> tuple[Scores, dict[str, numpy.ndarray]]:
    """Return scores per set and metric, and predictions and labels, in the classes that task and set share."""
    scores: Scores = {}
    arrays = {}
    for item in sets:
        name = item.other.name
        predictions = item.to_common_classes(predict(model, item.data, fit).predictions)
        scores[name] = score(item.other.data.metrics, item.labels, predictions)
        dtype = numpy.dtype(numpy.float32) if item.class_of is None else id_type(int(item.class_of.max()) + 1)
        arrays[f"out_of_domain/{name}_predictions"] = predictions.astype(dtype)
        arrays[f"out_of_domain/{name}_labels"] = item.labels.astype(dtype)
    return scores, arrays
