"""The benchmark of the mixup's search on a tiny encoder: what it counts, compares and writes, not how fast it is."""

import csv
import subprocess
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

from amix.agwm.method import AGWM, AGWMConfig
from amix.mixup.weight_mixup import WeightMixup
from amix.specs.recipe import Recipe
from helpers import warm_processes
from runners.benchmarks import agwm_tables
from runners.benchmarks.agwm import ESTIMATORS, IterationTimes, Line, measure, run_cost
from runners.benchmarks.agwm_memory import measure_memory
from runners.benchmarks.agwm_tables import save
from runners.benchmarks.published_model import BACKWARD_PASSES, FORWARD_PASSES, PublishedSearch, TwoBranchLinear
from runners.benchmarks.workload import QUICK as TINY
from runners.benchmarks.workload import Measured, beside_plain
from runners.cli import app


def test_the_published_iteration_makes_its_passes_and_moves_both_levels() -> None:
    fit, model = TINY.fit(), TINY.model()
    batch = next(fit.batches(0))
    search = PublishedSearch(model, fit, batch, batch)
    before = [p.detach().clone() for p in (*search.lower, *search.attention)]
    for _ in range(2):  # The attention starts at 1 and may at first only be pushed against this bound.
        search()
    assert (search.forward_passes, search.backward_passes) == (2 * FORWARD_PASSES, 2 * BACKWARD_PASSES)
    moved = [not torch.equal(p, old) for p, old in zip((*search.lower, *search.attention), before, strict=True)]
    assert sum(moved[: len(search.lower)]) > 0.9 * len(search.lower)
    assert any(moved[len(search.lower) :])


def test_two_branches_compute_the_same_as_the_mixed_weight() -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(6, 5).double()
    layer = TwoBranchLinear(linear)
    mixup = WeightMixup(linear, modules=[""])
    (mixed,) = mixup.mixed
    with torch.no_grad():
        for ours, theirs in ((mixed.a1, layer.a1), (mixed.a2, layer.a2)):
            ours.copy_(theirs.uniform_(0.2, 0.9))
        layer.pretrained.add_(0.5)
        mixed.pretrained.copy_(layer.pretrained)
    x = torch.randn(3, 6, dtype=torch.float64)
    expected = layer(x)
    mixup.write()
    torch.testing.assert_close(functional.linear(x, mixed.effective, linear.bias), expected)


def test_all_lines_are_measured_and_written(tmp_path: Path) -> None:
    lines = list(measure(TINY, repeats=1, memory=False, between=2))
    named = {(line.group, line.name): line for line in lines}
    assert len(named) == len(lines)
    assert {name for group, name in named if group == "speed-up over published"} == {
        "central",
        "forward",
        "first_order",
    }
    assert {name.split(",")[0] for group, name in named if group == "flatness"} == set(ESTIMATORS)
    runs = {name: line for (group, name), line in named.items() if group == "whole run"}
    assert runs["vanilla"].measured == 1.0
    assert runs["central"].passes == pytest.approx(1 + 5 * 180 * 4 / 225)
    assert {"agwm_official", "rank 4", "soup", "published (model)"} <= set(runs)
    assert runs["published (model)"].passes == pytest.approx(1 + 5 * 183 * 5.5 / 225)
    path, readable = save(lines, TINY, "python -m runners bench agwm", tmp_path / "bench.csv")
    text = readable.read_text()
    assert all(f"| {line.name.replace('_', chr(92) + '_')} |" in text for line in lines)
    assert "at most 4.3" in text
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["name"] for row in rows] == [line.name for line in lines]
    assert {row["command"] for row in rows} == {"python -m runners bench agwm"}
    assert all(row["torch"] == torch.__version__.split("+")[0] or row["torch"] == torch.__version__ for row in rows)


def test_a_quick_try_writes_only_what_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed, asked = tmp_path / "committed.csv", tmp_path / "asked.csv"
    monkeypatch.setattr(agwm_tables, "TABLE", committed)
    monkeypatch.setattr("runners.benchmarks.agwm.measure", lambda *_: [Line("whole run", "vanilla", 1.0, "x")])
    for options in ((), ("--out", str(asked))):
        done = CliRunner().invoke(app.app, ["bench", "agwm", "--quick", *options])
        assert done.exit_code == 0, done.output
    assert asked.exists()
    assert not committed.exists()
    CliRunner().invoke(app.app, ["bench", "agwm"])
    assert committed.exists(), "without --quick the table is made anew"


def test_a_whole_run_is_the_sum_of_its_updates() -> None:
    class Fixed(IterationTimes):
        def search(self, settings: AGWMConfig) -> Measured:
            return Measured(0.0, 1.0, 1.25 if settings.attention == "fixed" else 4.0)

    recipe = Recipe()
    cost = run_cost(AGWM(AGWMConfig()), Fixed(TINY, 1), recipe)
    assert cost == 5 * 45 * 4.0 + 57 * 1.25


def test_limits_are_printed_with_the_measurements() -> None:
    most, least = Line("iteration", "a", 4.2, "passes", 4.0), Line("speed-up", "b", 4.2, "times", 4.0, least=True)
    assert most.text() == "iteration: a: 4.20 passes (limit: at most 4, MISSED)"
    assert least.text() == "speed-up: b: 4.20 times (limit: at least 4, kept)"
    assert Line("whole run", "c", 2.0, "plain runs", passes=1.5).text().endswith("plain runs, 1.50 times the passes")


def test_an_attention_step_every_few_updates_is_measured_over_all_of_them() -> None:
    times = IterationTimes(TINY, repeats=3)
    fast = AGWMConfig(estimator="forward", point="before", attention_every=3)
    iteration = times.search(fast)
    (whole,) = times.known.values()
    assert iteration.ratio == pytest.approx(whole.ratio / 3)


def test_ratios_are_taken_between_neighbouring_measurements() -> None:
    calls: list[str] = []
    beside_plain(lambda: calls.append("step"), lambda: calls.append("plain"), repeats=3)
    assert calls == ["plain", "step"] * 5


def test_memory_is_measured_in_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = measure_memory(TINY, None)
    assert 0 < plain < 2**30
    monkeypatch.setattr(subprocess, "run", warm_processes.run)
    assert measure_memory(TINY, ESTIMATORS["central"]) < 2**30, "without the libraries"


def test_a_process_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", warm_processes.run)
    with pytest.raises(RuntimeError, match="the memory failed: ValueError: estimator 'unknown' is unknown"):
        measure_memory(TINY, {"estimator": "unknown"})
