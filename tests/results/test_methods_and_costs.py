"""The table of methods is complete and up to date in the README; costs relative to the reference, despite slow runs."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from typer.testing import CliRunner

from amix.training.registry import built_in_methods
from helpers import synthetic_records
from results.analysis.cells import cost_ratios
from results.loading.frame import load
from results.loading.layout import ROOT
from results.tabulating import render
from results.tabulating.collect import make_tables
from results.tabulating.methods import NAME
from results.tabulating.readme import markers
from results.tabulating.render.markdown import markdown
from results.tabulating.table import Table
from runners.benchmarks.trained_share import trainable_share
from runners.cli.app import app
from runners.cli.listings import published_methods_table

METHODS = built_in_methods()


@pytest.fixture(scope="module")
def table() -> Table:
    return published_methods_table()


def test_every_method_has_its_row(table: Table) -> None:
    assert [row[0].value for row in table.rows] == list(METHODS)
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_readme_shows_what_the_command_writes(table: Table) -> None:
    opening, closing = markers(NAME)
    shown = (ROOT / "baselines" / "README.md").read_text(encoding="utf-8").partition(opening)[2].partition(closing)[0]
    assert shown.strip() == markdown(table).strip(), "python -m runners publish"


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_called_matched_exactly_if_cases_measure_it(method: str) -> None:
    info = METHODS[method].info
    assert ("matched" in info.parity) == bool(info.cases)


def test_the_trained_share_is_relative_to_the_plain_model() -> None:
    assert trainable_share(METHODS["vanilla"], "minilm-l2", 10) == 1
    assert 0 < trainable_share(METHODS["lora"], "minilm-l2", 10) < 0.02
    assert trainable_share(METHODS["vanilla"], "minilm-l2", 10) == 1, "the model of one method is not another's"


def test_listing_writes_to_the_given_folder_and_nowhere_else(tmp_path: Path) -> None:
    listed = ROOT / "baselines" / "README.md"
    before = listed.read_text(encoding="utf-8")
    arguments = ["methods", "--encoder", "minilm-l2", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "minilm-l2" in (tmp_path / "tables" / "methods.md").read_text()
    assert (tmp_path / "tables" / "methods.csv").exists()
    assert listed.read_text(encoding="utf-8") == before


def test_times_of_another_suites_runs_are_not_compared(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(methods=("vanilla", "mixout"))
    results = load(suite.name, synthetic_records.write(suite, tmp_path))
    runs = results.runs.assign(source=numpy.where(results.runs["label"] == "mixout", "another", suite.name))
    apart = replace(results, runs=runs, cache={})
    size = results.plan.sizes[0]
    assert set(cost_ratios(results, size, "train_seconds")) == {"vanilla", "mixout"}
    assert cost_ratios(apart, size, "train_seconds") == {"vanilla": 1.0}
    assert cost_ratios(apart, size, "passes") == cost_ratios(results, size, "passes")
    text = render.markdown(next(table for table in make_tables(apart) if table.name.startswith("main")))
    assert "run by another suite than vanilla, or on other days, so times cannot be compared" in text


def test_times_of_runs_made_days_apart_are_not_compared(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(methods=("vanilla", "mixout", "r3f"))
    results = load(suite.name, synthetic_records.write(suite, tmp_path))
    size = results.plan.sizes[0]
    late = results.runs["label"].eq("r3f") | (results.runs["label"].eq("mixout") & results.runs["seed"].gt(3))
    busy, records = results.runs.copy(), deepcopy(results.records)
    busy.loc[late, "train_seconds"] *= 7
    for key in busy.loc[late, "key"]:
        records[key]["environment"]["time"] = "2026-11-28T05:00:00+00:00"
    days = replace(results, runs=busy, records=records, cache={})
    ratios = cost_ratios(days, size, "train_seconds")
    assert set(ratios) == {"vanilla", "mixout"}
    assert ratios["mixout"] == pytest.approx(cost_ratios(results, size, "train_seconds")["mixout"], rel=0.02)
    assert cost_ratios(days, size, "passes") == cost_ratios(results, size, "passes")


def test_one_slow_run_does_not_decide_relative_time(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(methods=("vanilla", "mixout"))
    results = load(suite.name, synthetic_records.write(suite, tmp_path))
    size, slow = results.plan.sizes[0], results.runs.index[results.runs["label"] == "vanilla"][0]
    delayed = results.runs.copy()
    delayed.loc[slow, "train_seconds"] *= 12
    found = [
        cost_ratios(replace(results, runs=runs, cache={}), size, "train_seconds")["mixout"]
        for runs in (results.runs, delayed)
    ]
    # Training takes 10 + s and 20 + s seconds, s in 0, 1 and 2 equally often, so the middle ratio is 21 / 11.
    assert found == pytest.approx([21 / 11, 21 / 11], rel=0.02)
    for table in make_tables(results):
        if any(column.header == "Time" for column in table.columns):
            assert "time as the median ratio over the (task, seed) blocks" in table.caption, table.name
