"""The simulations behind the choice of test: a short run and the committed one agree with the protocol's rates."""

import csv
from pathlib import Path

import numpy
import pytest

from results.stats import simulations

# False-positive rates of the protocol, from 1500 to 2000 other data sets each.
PROTOCOL = {
    ("sign flip", "normal"): (0.0, 0.053, 0.036),
    ("sign flip", "failed runs"): (0.0, 0.044, 0.052),
    ("Wilcoxon", "normal"): (0.0, 0.052, 0.036),
    ("Wilcoxon", "failed runs"): (0.0, 0.037, 0.050),
    ("paired t", "normal"): (0.048, 0.055, 0.036),
    ("paired t", "failed runs"): (0.025, 0.018, 0.043),
    ("percentile bootstrap", "normal"): (0.166, 0.105, 0.064),
    ("percentile bootstrap", "failed runs"): (0.172, 0.123, 0.107),
}
PROTOCOL_DATA_SETS = 1500
COMMITTED = Path(simulations.__file__).parents[1] / "tables" / "paired-tests.csv"


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def within_monte_carlo_error(rate: float, data_sets: int, expected: float) -> bool:
    variance = expected * (1 - expected)
    return abs(rate - expected) <= 4 * numpy.sqrt(variance / data_sets + variance / PROTOCOL_DATA_SETS)


def expected_rate(test: str, data: str, n: int) -> float:
    return PROTOCOL[test, data][simulations.SEEDS.index(n)]


def test_a_short_run_agrees_with_the_rates_of_the_protocol(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = simulations.simulate_and_write(tmp_path / "new", 150)
    rows = read(path)
    assert len(rows) == len(simulations.TESTS) * len(simulations.COLLAPSE) * len(simulations.SEEDS)
    for row in rows:
        expected = expected_rate(row["test"], row["data"], int(row["n"]))
        assert within_monte_carlo_error(float(row["false_positive_rate"]), 150, expected), row
    printed = capsys.readouterr()
    assert "sign flip" in printed.out
    assert "150 data sets" in printed.out


def test_the_committed_rates_agree_with_the_protocol() -> None:
    rows = read(COMMITTED)
    result = {(row["test"], row["data"], int(row["n"])): row for row in rows}
    assert len(result) == len(PROTOCOL) * len(simulations.SEEDS)
    for setting, row in result.items():
        rate, data_sets = float(row["false_positive_rate"]), int(row["data_sets"])
        assert data_sets >= 4000
        assert within_monte_carlo_error(rate, data_sets, expected_rate(*setting)), row


def test_the_rates_are_reproducible_from_the_seed() -> None:
    assert simulations.simulate(20, seed=1) == simulations.simulate(20, seed=1)
    assert simulations.simulate(20, seed=1) != simulations.simulate(20, seed=2)


def test_simulating_no_data_sets_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        simulations.simulate(0)
