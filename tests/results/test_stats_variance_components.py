"""Variance components: against statsmodels and by hand, numbers of seeds, simulated coverage, and their table."""

import csv
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pandas
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from amix.specs.seed_sources import SOURCES, Seeds
from helpers import synthetic_records
from paper_figures.make import WITHOUT_TESTS, drawings
from paper_figures.page.report import page
from results.analysis import variance_simulations as simulations
from results.loading.frame import Results, load
from results.loading.layout import ROOT
from results.stats.variance_components import (
    INTERACTION,
    REPEAT,
    REST,
    SUBSET,
    mean_squares,
    seeds_for,
    variance_components,
    variance_of_mean,
    variance_of_paired_mean,
)
from results.tabulating.collect import make_tables
from results.tabulating.variance import crossed_scores, variance_table

COMMITTED = ROOT / "results" / "tables" / "variance-components.csv"
SUBSETS, RESTS = (1, 2, 3), (11, 12)
SCORES = numpy.array([[60.0, 61.0], [70.0, 72.0], [50.0, 49.0]])


@pytest.mark.parametrize("shape", [(4, 3, 1), (3, 5, 2)])
def test_mean_squares_are_those_of_statsmodels(shape: tuple[int, int, int]) -> None:
    scores = numpy.random.default_rng(0).normal(size=shape)
    rows = [(a, b, value) for (a, b, _), value in numpy.ndenumerate(scores)]
    frame = pandas.DataFrame(rows, columns=["a", "b", "y"])
    repeated = shape[2] > 1
    model = ols("y ~ C(a) * C(b)" if repeated else "y ~ C(a) + C(b)", frame).fit()
    table = anova_lm(model)
    lines = {SUBSET: "C(a)", REST: "C(b)", INTERACTION: "C(a):C(b)" if repeated else "Residual"}
    lines |= {REPEAT: "Residual"} if repeated else {}
    result = mean_squares(scores)
    assert set(result) == set(lines)
    for name, line in lines.items():
        assert result[name].value == pytest.approx(table.loc[line, "mean_sq"])
        assert result[name].degrees_of_freedom == table.loc[line, "df"]


def test_components_by_hand() -> None:
    # Rows 0 and 4, columns 0 and 2, nothing else: MS 16, 4 and 0, so variances 16 / 2 and 4 / 2.
    result = variance_components([[0.0, 2.0], [4.0, 6.0]])
    assert {name: one.variance for name, one in result.items()} == pytest.approx({SUBSET: 8, REST: 2, INTERACTION: 0})
    assert {name: one.share for name, one in result.items()} == pytest.approx({SUBSET: 0.8, REST: 0.2, INTERACTION: 0})
    # Columns differ less than the interaction implies: the estimate is zero, not negative.
    other = variance_components([[0.0, 3.0], [6.0, 3.0]])
    assert other[REST].variance == 0
    assert other[INTERACTION].variance == pytest.approx(9.0)
    # Two equal runs in each cell leave no variance for repeats.
    twice = variance_components(numpy.repeat([[[0.0], [2.0]], [[4.0], [6.0]]], 2, axis=2))
    assert twice[REPEAT].variance == 0
    assert twice[SUBSET].variance == pytest.approx(8)


def test_components_are_unbiased_if_none_is_truncated_at_zero() -> None:
    generator = numpy.random.default_rng(1)
    true = {SUBSET: 4.0, REST: 9.0, INTERACTION: 1.0, REPEAT: 0.25}
    result: dict[str, list[float]] = {name: [] for name in true}
    for _ in range(150):
        scores = 2 * generator.standard_normal((12, 1, 1)) + 3 * generator.standard_normal((1, 12, 1))
        scores = scores + generator.standard_normal((12, 12, 1)) + 0.5 * generator.standard_normal((12, 12, 2))
        squares = mean_squares(scores)
        repeat, inner = squares[REPEAT].value, squares[INTERACTION].value
        components = variance_components(scores)
        assert components[INTERACTION].variance == pytest.approx((inner - repeat) / 2)
        for name in true:
            result[name].append(components[name].variance)
    for name, values in result.items():
        error = numpy.std(values) / math.sqrt(len(values))
        assert numpy.mean(values) == pytest.approx(true[name], abs=4 * error)


def test_components_under_shift_scale_and_exchange_of_factors() -> None:
    scores = numpy.random.default_rng(2).normal(size=(4, 6))
    result, other = variance_components(scores), variance_components(7 + 10 * scores)
    transposed = variance_components(scores.T)
    for name, one in result.items():
        assert other[name].variance == pytest.approx(100 * one.variance)
        assert other[name].share == pytest.approx(one.share)
        assert other[name].share_high == pytest.approx(one.share_high)
        assert 0 <= one.low <= one.high
        assert 0 <= one.share_low <= one.share_high <= 1
        wider = variance_components(scores, 0.99)[name]
        assert wider.high > one.high
    assert transposed[REST].variance == pytest.approx(result[SUBSET].variance)
    assert sum(one.share for one in result.values()) == pytest.approx(1)


def test_without_any_spread_there_are_no_shares() -> None:
    result = variance_components(numpy.full((3, 3), 70.0))
    assert all(one.variance == one.high == 0 and math.isnan(one.share) for one in result.values())


def test_the_variance_of_a_mean_is_that_of_simulated_means() -> None:
    generator = numpy.random.default_rng(3)
    variances = {SUBSET: 4.0, REST: 1.0, INTERACTION: 2.0}
    crossed = [
        2 * generator.standard_normal(3).mean()
        + generator.standard_normal(5).mean()
        + math.sqrt(2) * generator.standard_normal((3, 5)).mean()
        for _ in range(4000)
    ]
    expected = variance_of_mean(variances, 3, 5)
    assert expected == pytest.approx(4 / 3 + 1 / 5 + 2 / 15)
    assert numpy.var(crossed) == pytest.approx(expected, rel=5 * math.sqrt(2 / 4000))
    # The same number of runs with every source redrawn is never worse; more seeds of the rest do not help the subset.
    assert variance_of_paired_mean(variances, 15) == pytest.approx(7 / 15)
    assert expected > 7 / 15
    assert variance_of_mean(variances, 3, 10**9) == pytest.approx(4 / 3)
    assert variance_of_mean({REPEAT: 6.0}, 1, 2, runs=3) == pytest.approx(1.0)


def test_the_number_of_seeds_for_a_standard_error() -> None:
    variances = {SUBSET: 4.0, REST: 3.0, INTERACTION: 2.0}
    assert seeds_for(variances, 1.0) == 9
    assert seeds_for(variances, 0.99) == 10
    assert seeds_for(variances, 100.0) == 1
    with pytest.raises(ValueError, match="positive"):
        seeds_for(variances, 0.0)
    with pytest.raises(ValueError, match="numbers of at least 1"):
        variance_of_mean(variances, 0, 3)
    with pytest.raises(ValueError, match="got seed"):
        variance_of_mean({"seed": 1.0}, 1, 3)


def test_incomplete_designs_are_refused() -> None:
    for scores in (numpy.zeros((1, 5)), numpy.zeros(4), numpy.zeros((2, 2, 0))):
        with pytest.raises(ValueError, match="at least 2 subsets x 2 rests"):
            mean_squares(scores)
    with pytest.raises(ValueError, match="every combination"):
        mean_squares([[1.0, numpy.nan], [1.0, 2.0]])


def read(path: Path) -> dict[tuple[str, ...], dict[str, str]]:
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return {(r["data"], r["subsets"], r["rests"], r["shares"], r["source"]): r for r in rows}


def test_the_committed_coverage_agrees_with_the_documentation() -> None:
    rows = read(COMMITTED)
    assert (
        len(rows)
        == len(simulations.DATA) * len((*simulations.DESIGNS, *simulations.ADDED)) * len(simulations.SHARES) * 3
    )
    noise = 3 * math.sqrt(0.95 * 0.05 / 500)
    for (data, *_, source), row in rows.items():
        assert row["data_sets"] == "500"
        if data == "normal":
            assert float(row["variance"]) >= 0.95 - noise - 0.01, row
            assert float(row["share"]) >= 0.95 - noise - 0.01, row
        else:
            assert float(row["share"]) >= 0.85, row
            # Single collapses belong to the interaction, whose variance interval then lacks coverage.
            assert (float(row["variance"]) < 0.9) == (source == INTERACTION), row


def test_rerunning_a_small_part_agrees_with_the_committed_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(simulations, "DESIGNS", ((5, 5),))
    monkeypatch.setattr(simulations, "ADDED", ())
    monkeypatch.setattr(simulations, "SHARES", {"even": simulations.SHARES["even"]})
    simulations.simulate_and_write(tmp_path, data_sets=60, seed=1)
    committed, remade = read(COMMITTED), read(tmp_path / "variance-components.csv")
    assert len(remade) == 2 * 3
    for setting, row in remade.items():
        for column in ("variance", "share"):
            expected = float(committed[setting][column])
            noise = 4 * math.sqrt(max(expected * (1 - expected), 0.03) / 60)
            assert abs(float(row[column]) - expected) <= noise
    with pytest.raises(ValueError, match="at least 1"):
        simulations.simulate(0)


def results(crossed: bool = True, missing: bool = False) -> Any:
    """Two methods on one task; the second's scores are the first's plus independent noise."""
    runs, frame = {}, []
    for label, shift in (("vanilla", 0.0), ("agwm", 1.5)):
        for i, subset in enumerate(SUBSETS):
            for j, rest in enumerate(RESTS):
                key = f"{label}-{subset}-{rest}"
                seeds = {"subset": subset, "head": rest, "order": rest, "dropout": rest, "method": rest}
                runs[key] = SimpleNamespace(seeds=Seeds(**(seeds if crossed else dict.fromkeys(seeds, 10 * i + j))))
                gone = missing and label == "agwm" and (i, j) == (0, 0)
                score = numpy.nan if gone else SCORES[i, j] + shift * (i + j)
                frame.append({"key": key, "label": label, "task": "sst2", "size": "100", "score": score})
    plan = SimpleNamespace(
        tasks={"sst2": SimpleNamespace(name="sst2", title="SST-2")}, labels=["vanilla", "agwm"], runs=runs,
        title="Spread", encoder="minilm-l6", note="", protocol=SimpleNamespace(reference="vanilla"),
    )  # fmt: skip
    return SimpleNamespace(plan=plan, runs=pandas.DataFrame(frame), split="test", selection="last")


def test_scores_are_arranged_by_subset_and_by_the_rest() -> None:
    result = crossed_scores(results(), "100", "sst2", "vanilla")
    assert result is not None
    assert numpy.array_equal(result, SCORES)


def test_every_share_equals_that_of_its_component() -> None:
    table = variance_table(results(), "100")
    assert table is not None
    first = [cell.value for cell in table.rows[0]]
    components = variance_components(SCORES)
    assert first[:2] == ["SST-2", "vanilla"]
    assert first[2] == pytest.approx(SCORES.mean())
    assert first[4] == pytest.approx(100 * components["subset"].share)
    assert first[3] == pytest.approx(sum(one.variance for one in components.values()) ** 0.5)
    assert "3 subsets, each with 2 seeds" in table.caption


def test_without_crossed_seeds_there_is_no_table() -> None:
    assert variance_table(results(crossed=False), "100") is None


def test_a_method_with_a_missing_run_is_left_out() -> None:
    table = variance_table(results(missing=True), "100")
    assert table is not None
    assert [row[1].value for row in table.rows] == ["vanilla"]


def test_rows_of_differences_have_the_components_of_the_differences() -> None:
    table = variance_table(results(), "100")
    assert table is not None
    assert [row[1].value for row in table.rows] == ["vanilla", "agwm", "agwm − vanilla"]
    *_, row = ([cell.value for cell in row] for row in table.rows)
    gaps = numpy.array([[1.5 * (i + j) for j in range(len(RESTS))] for i in range(len(SUBSETS))])
    components = variance_components(gaps)
    assert row[2] == pytest.approx(gaps.mean())
    assert row[4] == pytest.approx(100 * components[SUBSET].share)
    assert row[-1] == seeds_for({name: one.variance for name, one in components.items()}, 1.0)
    # What both share, here nearly all of the spread, is not in the difference.
    assert row[-1] < table.rows[0][-1].value


def crossed_suite(folder: Path) -> Results:
    """Synthetic results whose 6 runs per cell are 3 subsets with 2 seeds of everything else."""
    layout = synthetic_records.write(synthetic_records.Suite(predictions=True, logits=("test", "dev")), folder)
    path = layout.plan("toy")
    content = json.loads(path.read_text())
    for run in content["runs"]:
        subset, rest = divmod(run["seed"] - 1, 2)
        run["seed_sources"] = dict.fromkeys(SOURCES, 11 + rest) | {"subset": 1 + subset}
    path.write_text(json.dumps(content))
    return load("toy", layout)


def test_a_crossed_suite_has_means_and_variances_and_no_test(tmp_path: Path) -> None:
    results = crossed_suite(tmp_path)
    means, variances = make_tables(results)
    assert (means.name, variances.name) == ("means-n100", "variance-n100")
    for row in means.rows:
        for cell, task in zip(row[1:], results.plan.tasks, strict=True):
            own = results.runs[(results.runs["label"] == row[0].value) & (results.runs["task"] == task)]
            assert cell.value == pytest.approx(own["score"].mean())
            assert (cell.spread, cell.marks, cell.rank) == (None, "", 0)
    assert len(variances.rows) == len(results.plan.tasks) * (4 + 3)
    names = {name for name, _ in drawings(results)}
    assert names <= {f"{name}-n100" for name in WITHOUT_TESTS}
    assert "reliability-n100" in names
    html = page(results, [], tmp_path)
    assert "no test between methods holds" in html
    assert "Where does the spread" in html
    assert not re.search(r"sign.flip|significant|p [=&]", html)
