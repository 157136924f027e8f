"""Whether `compare` keeps its promises: many draws of rows from one file, each checked on the rows not drawn.

For every draw: the interval of the chosen row's score against the score of its model on the other rows; the log-loss
there before and after the temperature; and the score that the learning curve predicts for twice as many rows against
that of a model trained on them.
"""

import csv
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy
import pandas

from amix.data.metrics import task_scores
from amix.data.rows import load_rows
from amix.data.temperature import log_loss
from amix.models.saved_model import SavedModel, load_saved
from amix.random_streams import array_generator
from amix.specs.data_errors import quoted
from amix.specs.task import Task
from runners.own_data.compare import MODEL, Shown, compare
from runners.own_data.engine import Engine, rows_of
from runners.own_data.final_model import train_final
from runners.own_data.folds import LABEL, TEXTS, whole_unit, write_task
from runners.own_data.request import CompareError, Request

MOST_TESTED = 2000
"""Most rows to test on, of those that were not drawn."""


@dataclass(frozen=True)
class Kept:
    """One draw: predicted and measured scores of the task's first metric; low and high are ends of 95 % intervals."""

    file: str
    rows: int
    draw: int
    chosen: str
    score: float
    low: float
    high: float
    score_elsewhere: float
    loss_without_temperature: float
    loss_with_temperature: float
    doubled_rows: int
    promised: float
    promised_low: float
    promised_high: float
    score_doubled: float

    @property
    def score_kept(self) -> bool:
        """Whether the score on other rows is in the interval."""
        return self.low <= self.score_elsewhere <= self.high

    @property
    def curve_kept(self) -> bool:
        """Whether the score with twice the rows is in the interval of the learning curve."""
        return self.promised_low <= self.score_doubled <= self.promised_high


def study(request: Request, rows: int, draws: int, shown: Shown, report: Callable[[Kept], None]) -> list[Kept]:
    """Do all draws; each has its own folder under the request's, and finished work is not repeated.

    Args:
        request: the comparison; its source has many rows.
        rows: rows per draw.
        draws: number of draws.
        shown: what is shown of each comparison.
        report: is called with each finished draw.

    Raises:
        CompareError: the file has too few rows, or a draw would lack a class.
    """
    task = request.task()
    table = load_rows(task, task.train)
    if len(table) <= 2 * rows:
        raise CompareError(f"{request.source} has {len(table)} rows; draws of {rows} need more than {2 * rows}")
    orders = [array_generator(draw, "study").permutation(len(table)) for draw in range(draws)]
    for order in orders:
        _refuse_lost_classes(task, table["label"].to_numpy()[order[:rows]])
    results = []
    for draw, order in enumerate(orders):
        results.append(_one_draw(request, task, table.iloc[order], rows, draw, shown))
        report(results[-1])
    return results


def _refuse_lost_classes(task: Task, drawn: numpy.ndarray) -> None:
    """Refuse a draw that lacks a class: its model would number the classes differently than the file."""
    lost = [name for number, name in enumerate(task.labels or ()) if number not in drawn]
    if lost:
        raise CompareError(f"a draw of {len(drawn)} rows has none of {quoted(lost)}; take more --rows")


def _one_draw(request: Request, task: Task, table: pandas.DataFrame, rows: int, draw: int, shown: Shown) -> Kept:
    out = request.out / f"draw-{draw + 1}"
    rest = table.iloc[2 * rows :][:MOST_TESTED]
    drawn = dataclasses.replace(
        request, source=str(out / "drawn-train.jsonl"), out=out, text=TEXTS[: len(task.text)], label=LABEL,
        metrics=task.metrics, numbers=task.regression,
    )  # fmt: skip
    write_task(task, "drawn", {"train": table.iloc[:rows], "test": rest}, out)
    compared = compare(drawn, shown)
    chosen = compared.standings.chosen
    saved = load_saved(out / MODEL)
    logits, labels = _logits(saved, task, rest), rest["label"].to_numpy()
    nan = float("nan")
    before, after = nan, nan
    if not task.regression:
        before, after = log_loss(logits, labels), log_loss(logits, labels, saved.description.temperature)
    engine = Engine(drawn, rows_of(drawn.methods), shown.progress, shown.say)
    unit = whole_unit(task, table.iloc[: 2 * rows], out / "doubled")
    doubled = dataclasses.replace(engine, request=dataclasses.replace(drawn, out=out / "doubled"))
    train_final(doubled, chosen.label, unit, task, compared.predictions, out / "doubled" / MODEL, shown.say)
    predicted = compared.curves.score_at(chosen.label, 2 * rows) if compared.curves else None
    return Kept(
        file=Path(request.source).name,
        rows=rows,
        draw=draw + 1,
        chosen=chosen.label,
        score=chosen.score.mean,
        low=chosen.score.low,
        high=chosen.score.high,
        score_elsewhere=_score(saved, task, logits, labels),
        loss_without_temperature=before,
        loss_with_temperature=after,
        doubled_rows=2 * rows,
        promised=predicted.mean if predicted else nan,
        promised_low=predicted.low if predicted else nan,
        promised_high=predicted.high if predicted else nan,
        score_doubled=_score_of(load_saved(out / "doubled" / MODEL), task, rest),
    )


def _logits(saved: SavedModel, task: Task, rows: pandas.DataFrame) -> numpy.ndarray:
    return saved.logits(list(rows[list(task.text)].itertuples(index=False, name=None)))


def _score_of(saved: SavedModel, task: Task, rows: pandas.DataFrame) -> float:
    return _score(saved, task, _logits(saved, task, rows), rows["label"].to_numpy())


def _score(saved: SavedModel, task: Task, logits: numpy.ndarray, labels: numpy.ndarray) -> float:
    predictions = saved.numbers(logits) if task.regression else logits.argmax(axis=1)
    value = task_scores(task, labels, predictions, logits)[task.metrics[0]]
    return float("nan") if value is None else value


def write(results: list[Kept], path: Path) -> None:
    """Write a CSV file with one line per draw."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([column.name for column in dataclasses.fields(Kept)])
        for result in results:
            writer.writerow(
                [f"{value:.4f}" if isinstance(value, float) else value for value in dataclasses.astuple(result)]
            )
