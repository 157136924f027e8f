"""How often the test over cross-validation folds errs, and how often the interval of a score misses the truth.

    python -m runners simulate cross-validation

There are two classes, N(+mu, I) and N(-mu, I); every learner is a ridge regression on features of its own, which are
equally informative, so that all learners are equally good. All are cross-validated on the same folds. Counted at a
nominal 5 %: significant differences between the first two learners, and intervals that miss the true accuracy of the
model trained on all rows, for the first learner and for the one that looked best. In `failed runs` one training in ten
gives a constant answer.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy
from rich.console import Console
from rich.progress import track
from scipy import special

from results.stats.cross_validation import corrected_t
from results.stats.inputs import Matrix, Vector
from results.stats.paired import sign_flip, t_test

ALPHA = 0.05
DATA = {"normal": 0.0, "failed runs": 0.1}
"""Share of trainings that give a constant answer."""
ROWS = (100, 300)
DESIGNS = ((5, 1), (5, 2), (5, 4))
"""Folds and repeats."""
LEARNERS, FEATURES, DISTANCE, RIDGE = 6, 8, 0.35, 1.0
OUTCOMES = ("corrected t", "paired t", "sign flip", "interval misses", "interval of the best misses")
DATA_SETS = 2000
"""Simulated data sets per setting in the committed file."""


@dataclass(frozen=True)
class Rate:
    """How often an outcome occurred in one setting, with its Monte-Carlo standard error."""

    outcome: str
    data: str
    rows: int
    folds: int
    repeats: int
    data_sets: int
    rate: float
    standard_error: float


def solutions(x: Matrix, y: Vector) -> Matrix:
    """Ridge solutions (learners, features + 1) for rows (n, learners, features); the last entry is the intercept."""
    constant = numpy.ones((*x.shape[:2], 1))
    inputs = numpy.concatenate([x, constant], axis=2).transpose(1, 0, 2)
    squares = inputs.transpose(0, 2, 1) @ inputs + RIDGE * numpy.eye(FEATURES + 1)
    weights: Matrix = numpy.linalg.solve(squares, (inputs.transpose(0, 2, 1) @ y)[..., None])[..., 0]
    return weights


def true_accuracy(weights: Matrix) -> Vector:
    """Accuracy (learners,) on new rows, both classes equally frequent."""
    length = numpy.sqrt((weights[:, :-1] ** 2).sum(axis=1))
    length = numpy.where(length > 0, length, 1.0)
    towards, constant = weights[:, :-1].sum(axis=1) * DISTANCE / length, weights[:, -1] / length
    accuracy: Vector = (special.ndtr(towards + constant) + special.ndtr(towards - constant)) / 2
    return accuracy


def collapsed(weights: Matrix, share: float, generator: numpy.random.Generator) -> Matrix:
    """The solutions, with a random share of them replaced by a constant answer."""
    lost = generator.random(len(weights)) < share
    constant = numpy.zeros(weights.shape[1])
    constant[-1] = 1.0
    replaced: Matrix = numpy.where(lost[:, None], constant, weights)
    return replaced


def one_data_set(
    rows: int, folds: int, repeats: int, share: float, generator: numpy.random.Generator
) -> tuple[Matrix, Vector]:
    """Cross-validation scores (folds * repeats, learners), and the true accuracies of models trained on all rows."""
    y = numpy.where(numpy.arange(rows) % 2 == 0, 1.0, -1.0)
    x = generator.normal(size=(rows, LEARNERS, FEATURES)) + DISTANCE * y[:, None, None]
    scores = []
    for _ in range(repeats):
        order = generator.permutation(rows)
        for fold in range(folds):
            test = order[fold::folds]
            train = numpy.setdiff1d(order, test)
            weights = collapsed(solutions(x[train], y[train]), share, generator)
            outputs = (x[test] * weights[:, :-1]).sum(axis=2) + weights[:, -1]
            scores.append((numpy.sign(outputs) == y[test, None]).mean(axis=0))
    final = collapsed(solutions(x, y), share, generator)
    return numpy.array(scores), true_accuracy(final)


def outcomes(scores: Matrix, truth: Vector, folds: int) -> list[bool]:
    """Which of OUTCOMES occurred."""
    share = 1 / (folds - 1)
    differences = scores[:, 0] - scores[:, 1]
    best = int(scores.mean(axis=0).argmax())
    intervals = [(corrected_t(scores[:, learner], share), truth[learner]) for learner in (0, best)]
    missed = [not interval.low <= value <= interval.high for interval, value in intervals]
    tests = corrected_t(differences, share).p, t_test(differences), sign_flip(differences).p
    return [*(p <= ALPHA for p in tests), *missed]


def simulate(data_sets: int, seed: int = 0, show: bool = False) -> list[Rate]:
    """All rates in all settings, over this many data sets each; reproducible from the seed.

    Raises:
        ValueError: Without data sets.
    """
    if data_sets < 1:
        raise ValueError(f"data_sets: at least 1 needed, got {data_sets}")
    settings = [(data, rows, *design) for data in DATA for rows in ROWS for design in DESIGNS]
    rates = []
    for index, (data, rows, folds, repeats) in enumerate(
        track(settings, "Simulating", console=Console(stderr=True), disable=not show)
    ):
        generator = numpy.random.default_rng((seed, index))
        counts = [outcomes(*one_data_set(rows, folds, repeats, DATA[data], generator), folds) for _ in range(data_sets)]
        for outcome, rate in zip(OUTCOMES, numpy.mean(counts, axis=0), strict=True):
            error = math.sqrt(rate * (1 - rate) / data_sets)
            rates.append(Rate(outcome, data, rows, folds, repeats, data_sets, float(rate), error))
    return rates


def write_csv(rates: list[Rate], path: Path) -> None:
    """One line per rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("outcome", "data", "rows", "folds", "repeats", "data_sets", "rate", "standard_error"))
        for rate in rates:
            design = rate.rows, rate.folds, rate.repeats, rate.data_sets
            writer.writerow((rate.outcome, rate.data, *design, f"{rate.rate:.4f}", f"{rate.standard_error:.4f}"))


def simulate_and_write(folder: Path, data_sets: int = DATA_SETS, seed: int = 0) -> list[Path]:
    """Simulate with a progress bar and write the rates to cross-validation.csv in the folder."""
    path = folder / "cross-validation.csv"
    write_csv(simulate(data_sets, seed, show=True), path)
    return [path]
