"""The standings of the rows: scores with intervals, differences with tests, and the chosen row."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy
from numpy.typing import NDArray
from scipy import special

from amix.data.metrics import task_scores
from amix.specs.task import CORRELATIONS, EVALUATE, Task
from results.stats import holm
from results.stats.cross_validation import Resampled, corrected_t
from runners.own_data.request import CompareError

ALPHA = 0.05
MARGIN = 0.01
"""Scores that differ by at most a point are as good as equal if the test finds no difference."""
DRAWS = 400
Values = NDArray[Any]


def lowest_of(task: Task) -> float:
    """The lowest possible score by the task's first metric."""
    signed = (*CORRELATIONS, "matthews")
    return -1.0 if task.metrics[0] in signed or task.metrics[0].startswith(EVALUATE) else 0.0


def within(score: Resampled, lowest: float) -> Resampled:
    """The score with an interval of possible scores only."""
    return replace(score, low=max(score.low, lowest), high=min(score.high, 1.0))


class Comparer(Protocol):
    """The scores of the rows, compared by a test that suits the way they were obtained."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The rows."""

    @property
    def words(self) -> str:
        """The name of the test, for readers."""

    def score(self, label: str) -> Resampled:
        """Mean score with its interval."""

    def difference(self, label: str, other: str) -> Resampled:
        """Mean of label minus other, with interval and p."""


@dataclass(frozen=True)
class Folds:
    """Scores over the folds of cross-validation.

    Attributes:
        scores: (folds,) per row.
        test_share: n_test / n_train.
        lowest: the lowest possible score.
    """

    scores: Mapping[str, NDArray[numpy.float64]]
    test_share: float
    lowest: float = 0.0

    @property
    def words(self) -> str:
        """The name of the test, for readers."""
        return "corrected resampled t-test over the folds"

    @property
    def labels(self) -> tuple[str, ...]:
        """The rows."""
        return tuple(self.scores)

    def score(self, label: str) -> Resampled:
        """Mean over the folds that have a score, with its interval."""
        return within(self._over(self.scores[label]), self.lowest)

    def difference(self, label: str, other: str) -> Resampled:
        """Mean difference over the folds in which both have a score, with interval and p."""
        return self._over(self.scores[label] - self.scores[other])

    def _over(self, values: NDArray[numpy.float64]) -> Resampled:
        finite = values[numpy.isfinite(values)]
        nan = numpy.nan
        return corrected_t(finite, self.test_share) if finite.size else Resampled(nan, nan, nan, nan, nan, 0)


class OnTestFile:
    """Predictions of several seeds on one test file: a bootstrap of seeds and test rows together (Owen 2007)."""

    def __init__(
        self, task: Task, labels: Values, predictions: Mapping[str, Values],
        logits: Mapping[str, Values],
    ) -> None:  # fmt: skip
        self._labels, self._lowest = tuple(predictions), lowest_of(task)
        self.observed = {name: self._mean(task, labels, predictions[name], logits[name]) for name in self.labels}
        self.drawn: dict[str, list[float]] = {name: [] for name in self.labels}
        generator = numpy.random.default_rng(0)
        for _ in range(DRAWS):
            rows = generator.integers(0, len(labels), len(labels))
            count = len(predictions[self.labels[0]])
            chosen = generator.integers(0, count, count)
            for name in self.labels:
                self.drawn[name].append(
                    self._mean(task, labels[rows], predictions[name][chosen][:, rows], logits[name][chosen][:, rows])
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """The rows."""
        return self._labels

    @property
    def words(self) -> str:
        """The name of the test, for readers."""
        return "two-way bootstrap over seeds and test rows"

    @staticmethod
    def _mean(task: Task, labels: Values, predictions: Values, logits: Values) -> float:
        metric = task.metrics[0]
        scores = [
            task_scores(task, labels, one, outputs)[metric] for one, outputs in zip(predictions, logits, strict=True)
        ]
        return float(numpy.mean([numpy.nan if value is None else value for value in scores]))

    def score(self, label: str) -> Resampled:
        """Mean over the seeds, with an interval for other seeds and other test rows."""
        return within(self._resampled(self.observed[label], numpy.array(self.drawn[label])), self._lowest)

    def difference(self, label: str, other: str) -> Resampled:
        """The same for a difference, with the same seeds and rows drawn for both."""
        drawn = numpy.array(self.drawn[label]) - numpy.array(self.drawn[other])
        return self._resampled(self.observed[label] - self.observed[other], drawn)

    def _resampled(self, observed: float, drawn: NDArray[numpy.float64]) -> Resampled:
        finite = drawn[numpy.isfinite(drawn)]
        error = float(finite.std(ddof=1)) if finite.size > 1 else float("nan")
        half = float(special.ndtri(0.975)) * error
        p = float(2 * special.ndtr(-abs(observed) / error)) if error > 0 else float(observed == 0)
        return Resampled(observed, error, observed - half, observed + half, p, int(finite.size))


@dataclass(frozen=True)
class Standing:
    """One row of the comparison.

    Attributes:
        label: name of the row.
        score: mean score with its interval.
        difference: difference from the best row; None for the best row itself.
        p: corrected p of the difference; None for the best row or if it cannot be tested.
        seconds: median seconds of a training run.
        failed: failed and diverged runs.
        is_model: whether any of its runs left a model.
    """

    label: str
    score: Resampled
    difference: Resampled | None
    p: float | None
    seconds: float
    failed: int = 0
    is_model: bool = True

    @property
    def as_good(self) -> bool:
        """Whether it is no worse than the best row, according to the test and to MARGIN."""
        return self.difference is None or (self.difference.mean >= -MARGIN and (self.p is None or self.p > ALPHA))


@dataclass(frozen=True)
class Standings:
    """All rows in order of cost, the best one, and the chosen one: as asked for, or the cheapest that is as good."""

    rows: tuple[Standing, ...]
    best: Standing
    chosen: Standing
    majority: Standing
    words: str
    asked: bool = False

    def of(self, label: str) -> Standing:
        """The row of this label."""
        return next(row for row in self.rows if row.label == label)

    @property
    def trained(self) -> tuple[Standing, ...]:
        """The rows that are models, best first."""
        rows = [row for row in self.rows if row.is_model]
        return tuple(sorted(rows, key=lambda row: -row.score.mean))

    @property
    def learnt(self) -> bool:
        """Whether the best row is significantly better than the majority class."""
        floor = self.majority
        return floor.difference is not None and floor.difference.mean < 0 and floor.p is not None and floor.p <= ALPHA


def standings(
    comparer: Comparer, seconds: Mapping[str, float], failed: Mapping[str, int], majority: str,
    without_model: Collection[str] = (), asked: str = "",
) -> Standings:  # fmt: skip
    """Compare every row with the best one, with Holm's correction, and choose a row.

    Args:
        comparer: the scores.
        seconds: median seconds of a training run by row, which order the rows by cost.
        failed: failed and diverged runs by row.
        majority: label of the majority class, which costs nothing.
        without_model: rows whose runs all failed or diverged.
        asked: the row to choose; empty for an automatic choice.

    Returns:
        The standings; a row without a model is never the best or the chosen one.

    Raises:
        CompareError: no row, or not the one asked for, left a model with a score.
    """
    scores = {label: comparer.score(label) for label in comparer.labels}
    # Among rows of equal cost the better one comes first, so that no other is called cheaper.
    labels = sorted(scores, key=lambda label: (seconds.get(label, 0.0), -numpy.nan_to_num(scores[label].mean)))
    models = [label for label in labels if label not in (majority, *without_model)]
    if not models or (asked and asked not in models):
        raise CompareError(
            f"{asked or 'every row'}: all training runs failed or diverged; choose other rows with --methods"
        )
    models = [label for label in models if numpy.isfinite(scores[label].mean)]
    if not models or (asked and asked not in models):
        raise CompareError(f"{asked or 'every row'}: the score is undefined; choose another first metric with --metric")
    best = max(models, key=lambda label: scores[label].mean)
    others = [label for label in labels if label != best]
    differences = {label: comparer.difference(label, best) for label in others}
    known = [label for label in others if numpy.isfinite(differences[label].p)]
    corrected = dict(zip(known, holm([differences[label].p for label in known]), strict=True)) if known else {}
    rows = tuple(
        Standing(
            label, scores[label], differences.get(label),
            float(corrected[label]) if label in corrected else None,
            seconds.get(label, 0.0), failed.get(label, 0), label in models,
        )
        for label in labels
    )  # fmt: skip
    of = {row.label: row for row in rows}
    chosen = of[asked] if asked else next(row for row in rows if row.is_model and row.as_good)
    return Standings(rows, of[best], chosen, of[majority], comparer.words, bool(asked))
