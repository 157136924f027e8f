"""A finished model on out-of-domain sets: reading the sets, predictions, scores."""

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
from amix.specs.out_of_domain import ORIGIN, VARIABLE, OtherSet, common_classes, sets_for
from amix.specs.store import id_type
from amix.specs.tasks import Task
from amix.training.evaluation import predict
from amix.training.fit import Fit

Scores = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Prepared:
    """A set for the models of one task: tokenised, with labels [n] and the class of each of the model's outputs.

    labels are numbers of common classes (out_of_domain.common_classes); for regression they are the set's numbers and
    class_of is None.
    """

    other: OtherSet
    data: Encoded
    labels: numpy.ndarray
    class_of: numpy.ndarray | None

    def meet(self, values: numpy.ndarray) -> numpy.ndarray:
        """The task's class ids (or numbers) as those of the labels."""
        return values if self.class_of is None else self.class_of[values.astype(int)]

    def majority(self, train_labels: numpy.ndarray) -> dict[str, float]:
        """What always predicting the train subset's most frequent class (its mean) scores here."""
        regression = self.class_of is None
        return majority_scores(self.other.data.metrics, self.meet(train_labels), self.labels, regression)


def out_of_domain_folder(given: str | Path | None) -> Path | None:
    """The folder of the sets: the one given, else the variable AMIX_OUT_OF_DOMAIN, else None."""
    folder = given or os.environ.get(VARIABLE) or None
    if folder is not None and not Path(folder).is_dir():
        raise DataError(f"the folder '{folder}' does not exist (option --out-of-domain or variable {VARIABLE})")
    return None if folder is None else Path(folder)


def set_rows(other: OtherSet, glue: Path | None, folder: Path | None) -> pandas.DataFrame:
    """All rows of a set, checked as a task's are.

    Raises:
        DataError: A file cannot be used, or a folder is needed; the message says which.
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
    """Those of the named sets that this task is scored on, tokenised; they are kept for later runs."""
    chosen = sets_for(task.name, names)
    glue_path = glue_folder(glue) if any(one.data.origin != ORIGIN for one in chosen) else None
    return tuple(_prepared(task, one, encoder, max_length, glue_path, out_of_domain_folder(folder)) for one in chosen)


@cache
def _prepared(
    task: Task, other: OtherSet, encoder: str | Encoder, max_length: int, glue: Path | None, folder: Path | None
) -> Prepared:
    rows = set_rows(other, glue, folder)
    data = tokenize(other.data, rows, load_tokenizer(encoder), max_length)
    labels = data.labels.numpy()
    if task.regression:
        return Prepared(other, data, labels, None)
    own, its = (numpy.array(classes) for classes in common_classes(task, other))
    return Prepared(other, data, its[labels], own)


def score_sets(sets: tuple[Prepared, ...], model: nn.Module, fit: Fit) -> tuple[Scores, dict[str, numpy.ndarray]]:
    """Scores per set and metric, and predictions and labels as arrays, both in the classes that task and set share."""
    scores: Scores = {}
    arrays = {}
    for one in sets:
        predictions = one.meet(predict(model, one.data, fit).predictions)
        scores[one.other.name] = score(one.other.data.metrics, one.labels, predictions)
        dtype = numpy.dtype(numpy.float32) if one.class_of is None else id_type(int(one.class_of.max()) + 1)
        arrays[f"out_of_domain/{one.other.name}_predictions"] = predictions.astype(dtype)
        arrays[f"out_of_domain/{one.other.name}_labels"] = one.labels.astype(dtype)
    return scores, arrays
