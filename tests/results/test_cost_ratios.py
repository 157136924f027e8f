"""What a method costs relative to the reference: whose times are compared, and how one slow run is survived."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from helpers import synthetic_records
from results.analysis.cells import cost_ratios
from results.loading.frame import load
from results.tabulating import render
from results.tabulating.collect import make_tables


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
