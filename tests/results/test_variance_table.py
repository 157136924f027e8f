"""The table of a crossed design exists only for one, and shows the shares of its components."""

from types import SimpleNamespace
from typing import Any

import numpy
import pandas
import pytest

from amix.specs.seed_sources import Seeds
from results.stats.variance_components import variance_components
from results.tabulating.variance import crossed_scores, variance_table

SUBSETS, RESTS = (1, 2, 3), (11, 12)
SCORES = numpy.array([[60.0, 61.0], [70.0, 72.0], [50.0, 49.0]])


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
        title="Spread", encoder="minilm-l6", note="",
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
