"""How often tests find a difference between equal methods, which decided this suite's choice of test.

    python -m runners simulate paired-tests

Simulates paired comparisons of two methods with the same distribution of scores and counts rejections at a nominal 5 %:
with normal scores, and with one run in ten collapsing to the majority class.
"""

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy
from rich.console import Console
from rich.progress import track
from rich.table import Table

from results.stats.inputs import Matrix, Vector
from results.stats.paired import sign_flip, t_test, wilcoxon

ALPHA = 0.05
SEEDS = (5, 10, 20)
COLLAPSE = {"normal": 0.0, "failed runs": 0.1}
"""Share of collapsed runs, of either method, in each kind of data."""
SD, GAP = 1.5, 15.0
"""In points: the sd over seeds of runs that train, and how far below their mean a collapsed run ends."""
RESAMPLES = 2000
BATCH = 50
DATA_SETS = 4000
"""Simulated comparisons per setting in the committed file."""


@dataclass(frozen=True)
class Rate:
    """False-positive rate of one test in one setting, with its Monte-Carlo standard error."""

    test: str
    data: str
    n: int
    data_sets: int
    rate: float
    standard_error: float


def percentile_intervals(differences: Matrix, generator: numpy.random.Generator, level: float = 0.95) -> Matrix:
    """(data sets, 2) percentile bootstrap intervals of the mean of each row of (data sets, n) differences."""
    count, n = differences.shape
    ends = numpy.empty((count, 2))
    for start in range(0, count, BATCH):
        rows = differences[start : start + BATCH]
        drawn = generator.integers(0, n, (len(rows), RESAMPLES, n))
        means = numpy.take_along_axis(rows[:, None], drawn, axis=2).mean(axis=2)
        ends[start : start + BATCH] = numpy.quantile(means, ((1 - level) / 2, (1 + level) / 2), axis=1).T
    return ends


def differences_of_equals(collapse: float, n: int, data_sets: int, generator: numpy.random.Generator) -> Matrix:
    """(data_sets, n) paired differences, in points, of two methods with the same distribution of scores."""
    scores = generator.normal(0.0, SD, (2, data_sets, n))
    scores[generator.random(scores.shape) < collapse] -= GAP
    difference: Matrix = scores[0] - scores[1]
    return difference


def _each(p_value: Callable[[Vector], float]) -> Callable[[Matrix, numpy.random.Generator], float]:
    def rate(differences: Matrix, generator: numpy.random.Generator) -> float:
        return float(numpy.mean([p_value(row) <= ALPHA for row in differences]))

    return rate


def _percentile(differences: Matrix, generator: numpy.random.Generator) -> float:
    low, high = percentile_intervals(differences, generator, 1 - ALPHA).T
    return float(((low > 0) | (high < 0)).mean())


TESTS: dict[str, Callable[[Matrix, numpy.random.Generator], float]] = {
    "sign flip": _each(lambda row: sign_flip(row).p),
    "Wilcoxon": _each(lambda row: wilcoxon(row).p),
    "paired t": _each(t_test),
    "percentile bootstrap": _percentile,
}


def simulate(data_sets: int, seed: int = 0, show: bool = False) -> list[Rate]:
    """False-positive rates of all tests in all settings.

    Args:
        data_sets: Simulated data sets per setting.
        seed: Determines everything drawn.
        show: Whether to show a progress bar on the terminal.

    Raises:
        ValueError: Without data sets.
    """
    if data_sets < 1:
        raise ValueError(f"data_sets: at least 1 needed, got {data_sets}")
    settings = [(data, n) for data in COLLAPSE for n in SEEDS]
    rates = []
    for index, (data, n) in enumerate(track(settings, "Simulating", console=Console(stderr=True), disable=not show)):
        generator = numpy.random.default_rng((seed, index))
        differences = differences_of_equals(COLLAPSE[data], n, data_sets, generator)
        for test, rejects in TESTS.items():
            rate = rejects(differences, generator)
            rates.append(Rate(test, data, n, data_sets, rate, math.sqrt(rate * (1 - rate) / data_sets)))
    return rates


def write_csv(rates: list[Rate], path: Path) -> None:
    """One line per rate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("test", "data", "n", "data_sets", "false_positive_rate", "standard_error"))
        for rate in rates:
            numbers = f"{rate.rate:.4f}", f"{rate.standard_error:.4f}"
            writer.writerow((rate.test, rate.data, rate.n, rate.data_sets, *numbers))


def _table(rates: list[Rate]) -> Table:
    settings = [(data, n) for data in COLLAPSE for n in SEEDS]
    table = Table(title=f"False-positive rates at a nominal {ALPHA:.0%}, {rates[0].data_sets} data sets each")
    table.add_column("test")
    for data, n in settings:
        table.add_column(f"{data}\nn = {n}", justify="right")
    by_setting = {(rate.test, rate.data, rate.n): rate.rate for rate in rates}
    for test in TESTS:
        table.add_row(test, *(f"{by_setting[test, data, n]:.3f}" for data, n in settings))
    return table


def simulate_and_write(folder: Path, data_sets: int = DATA_SETS, seed: int = 0) -> list[Path]:
    """Simulate with a progress bar, print the rates as a table and write them to paired-tests.csv in the folder."""
    rates = simulate(data_sets, seed, show=True)
    path = folder / "paired-tests.csv"
    write_csv(rates, path)
    Console().print(_table(rates))
    return [path]
