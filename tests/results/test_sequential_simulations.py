"""The simulations of the sequential test: a small part is rerun, and the committed file must show certain facts."""

import csv
import math
from pathlib import Path

import numpy
import pytest

from results.analysis import sequential_simulations as simulations
from results.analysis.sequential_simulations import ALPHA, FIXED, MAXIMUM, PEEKING, RULES, SEQUENTIAL, SETTINGS
from results.loading.layout import ROOT

COMMITTED = ROOT / "results" / "tables" / "sequential.csv"
Row = dict[str, str]


def read(path: Path) -> dict[tuple[str, str, int, int, float], Row]:
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return {(r["rule"], r["data"], int(r["tasks"]), int(r["methods"]), float(r["gain"])): r for r in rows}


@pytest.fixture(scope="module")
def committed() -> dict[tuple[str, str, int, int, float], Row]:
    return read(COMMITTED)


def test_the_committed_file_has_every_rule_in_every_setting(
    committed: dict[tuple[str, str, int, int, float], Row],
) -> None:
    assert sorted(committed) == sorted((rule, *setting) for rule in RULES for setting in SETTINGS)
    assert {row["data_sets"] for row in committed.values()} == {"4000"}


def test_the_family_wise_error_stays_below_alpha(committed: dict[tuple[str, str, int, int, float], Row]) -> None:
    allowed = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / 4000)
    errors = {setting: float(row["error"]) for setting, row in committed.items()}
    assert max(error for setting, error in errors.items() if setting[0] in (SEQUENTIAL, FIXED)) <= allowed
    # Testing at every look at the full level errs far more often, which the simulation detects.
    assert max(error for setting, error in errors.items() if setting[0] == PEEKING) > 0.09
    # One flip for all methods needs jointly symmetric differences; a shared reference that collapses violates this.
    assert errors[MAXIMUM, "failed runs", 3, 10, 0.0] > allowed


def test_the_sequential_test_costs_little_power_and_saves_seeds(
    committed: dict[tuple[str, str, int, int, float], Row],
) -> None:
    better = {setting[1:]: row for setting, row in committed.items() if setting[0] == SEQUENTIAL and setting[4] > 0}
    for setting, row in better.items():
        assert float(row["power"]) >= float(committed[FIXED, *setting]["power"]) - 0.12, setting
        assert float(row["seeds_better"]) <= 10
    strongest = better["normal", 3, simulations.COMPETING, 1.5]
    assert float(strongest["power"]) > 0.99
    assert float(strongest["seeds_better"]) < 7


def test_rerunning_a_small_part_agrees_with_the_committed_file(
    committed: dict[tuple[str, str, int, int, float], Row], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    chosen = [("failed runs", 1, 3, 0.0), ("normal", 1, 5, 2.5), ("heavy tails", 3, 2, 0.0)]
    monkeypatch.setattr(simulations, "SETTINGS", chosen)
    simulations.simulate_and_write(tmp_path, data_sets=150, seed=1)
    remade = read(tmp_path / "sequential.csv")
    assert len(remade) == len(chosen) * len(RULES)
    for setting, row in remade.items():
        for column in ("error", *(["power"] if setting[4] else [])):
            expected = float(committed[setting][column])
            noise = 4 * math.sqrt(max(expected * (1 - expected), 0.01) * (1 / 150 + 1 / 4000))
            assert abs(float(row[column]) - expected) <= noise, (setting, column)
    assert "Probability of rejecting" in (tmp_path / "sequential.md").read_text(encoding="utf-8")


def test_the_committed_page_is_made_from_the_committed_numbers() -> None:
    counted, measured = ("tasks", "methods"), ("error", "error_se", "power", "power_se", "seeds", "seeds_better")
    outcomes = [
        simulations.Outcome(
            row["rule"],
            row["data"],
            *(int(row[name]) for name in counted),
            float(row["gain"]),
            int(row["data_sets"]),
            *(float(row[name] or "nan") for name in measured),
        )
        for row in read(COMMITTED).values()
    ]
    page = COMMITTED.with_suffix(".md").read_text(encoding="utf-8")
    assert page.splitlines() == list(simulations._markdown(outcomes))


def test_simulated_scores_have_the_stated_distributions() -> None:
    generator = numpy.random.default_rng(0)
    normal, failed = (simulations.scores(data, (20_000,), generator) for data in ("normal", "failed runs"))
    assert normal.std() == pytest.approx(simulations.SD, rel=0.03)
    assert (failed < -simulations.GAP / 2).mean() == pytest.approx(simulations.COLLAPSED, abs=0.01)
    with pytest.raises(ValueError, match="at least 1"):
        simulations.simulate(0)
