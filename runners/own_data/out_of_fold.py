"""Predictions for every row by models that were not trained on it, and the doubtful and uncertain rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
import pandas
from numpy.typing import NDArray

from amix.data.table_files import PLACE
from amix.data.temperature import fit_temperature, log_loss
from amix.specs.task import Task
from results.stats.calibration import probabilities
from runners.own_data.column_names import free_names
from runners.own_data.engine import Outcome
from runners.own_data.folds import Unit
from runners.own_data.request import CompareError

LISTED = 20
GIVEN, PREDICTED, PROBABILITY, OF_GIVEN = "given", "predicted", "probability", "probability of given"


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of all rows, each by the models of the folds that held it out (one per repeat).

    Attributes:
        table: place of the row in the file, its texts, given and predicted label, and for classes the calibrated
            probability of both (means over the repeats).
        temperature: divides logits before they become probabilities, fitted on these predictions; 1 for numbers.
        loss_before: log-loss without the temperature; nan for numbers.
        loss_after: log-loss with it, slightly too low because it is on the same predictions.
    """

    table: pandas.DataFrame
    temperature: float
    loss_before: float
    loss_after: float

    def doubtful(self) -> pandas.DataFrame:
        """The rows with the most doubtful labels: another label is predicted, and the given one is least probable.

        For numbers, the rows furthest from their prediction. Northcutt et al. (2021) also find label errors by the
        out-of-fold probability of the given label.
        """
        if OF_GIVEN in self.table:
            other = self.table[self.table[GIVEN] != self.table[PREDICTED]]
            return other.sort_values(OF_GIVEN, kind="stable").head(LISTED)
        distance = (self.table[GIVEN] - self.table[PREDICTED]).abs()
        return self.table.loc[distance.sort_values(ascending=False, kind="stable").index].head(LISTED)

    def uncertain(self) -> pandas.DataFrame:
        """The rows whose predicted class is least probable; empty for numbers."""
        if PROBABILITY not in self.table:
            return self.table.head(0)
        return self.table.sort_values(PROBABILITY, kind="stable").head(LISTED)


def out_of_fold(task: Task, rows: pandas.DataFrame, units: Sequence[Unit], outcomes: Sequence[Outcome]) -> OutOfFold:
    """Combine the predictions of one row's runs on all folds.

    Args:
        task: the task.
        rows: rows of the file, in order.
        units: folds that cover every row, once per repeat.
        outcomes: outcomes of the runs on them; test rows of runs without a model may be left without a prediction.

    Raises:
        CompareError: no run left a model.
    """
    pairs = [(unit.test, one) for unit, one in zip(units, outcomes, strict=True) if one.logits is not None]
    if not pairs:
        raise CompareError("all training runs on the folds failed or diverged; choose another row with --row")
    places = numpy.concatenate([test for test, _ in pairs if test is not None])
    labels = rows["label"].to_numpy()
    shown = free_names(task.text, (PLACE, GIVEN, PREDICTED, PROBABILITY, OF_GIVEN))
    texts = {name: rows[column].to_numpy() for name, column in zip(shown, task.text, strict=True)}
    table = pandas.DataFrame({PLACE: rows[PLACE].to_numpy()} | texts)
    if task.labels is None:
        numbers = numpy.concatenate([numpy.asarray(one.predictions, dtype=float) for _, one in pairs])
        predicted = _means(numbers[:, None], places, len(rows))[:, 0]
        table[GIVEN], table[PREDICTED] = labels, predicted
        return OutOfFold(table, 1.0, float("nan"), float("nan"))
    logits = numpy.concatenate([one.logits for _, one in pairs if one.logits is not None]).astype(float)
    truth = labels[places]
    temperature = fit_temperature(logits, truth)
    shares = _means(probabilities(logits, temperature), places, len(rows))
    known = numpy.asarray(numpy.isfinite(shares).all(axis=1))
    chosen = numpy.where(known[:, None], shares, 0.0).argmax(axis=1)
    names = numpy.array(task.labels, dtype=object)
    table[GIVEN] = names[labels]
    table[PREDICTED] = numpy.where(known, names[chosen], "")
    table[PROBABILITY] = shares[numpy.arange(len(rows)), chosen]
    table[OF_GIVEN] = shares[numpy.arange(len(rows)), labels]
    return OutOfFold(table, temperature, log_loss(logits, truth), log_loss(logits, truth, temperature))


def _means(values: NDArray[numpy.float64], places: NDArray[numpy.int64], count: int) -> NDArray[numpy.float64]:
    """Means (count, k) over the predictions (predictions, k) for each row; nan for a row without one."""
    sums, counts = numpy.zeros((count, values.shape[1])), numpy.zeros((count, 1))
    numpy.add.at(sums, places, values)
    numpy.add.at(counts, places, 1.0)
    with numpy.errstate(invalid="ignore"):
        means: NDArray[numpy.float64] = sums / counts
    return means
