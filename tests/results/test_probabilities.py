"""The table and the figure of probabilities, compared with the measures themselves, with and without dev logits."""

import dataclasses
import io
import math
from pathlib import Path

import numpy
import pandas
import pytest
import scipy.special
import sklearn.metrics

from amix.data.temperature import log_loss
from amix.specs.run_plan import PlanError, read_plan
from helpers import synthetic_records
from helpers.synthetic_records import Suite
from paper_figures.figures.reliability import reliability
from results.analysis.probabilities import loss_differences, run_probabilities, stored_logits
from results.loading.frame import Results, load
from results.loading.layout import Layout
from results.stats.across_tasks import stratified_sign_flip
from results.stats.multiplicity import holm
from results.stats.sequential import Looks
from results.stats.sequential_family import decide
from results.tabulating.probabilities import probabilities_table
from results.tabulating.table import Table

TASKS = ("rte", "sst2", "stsb")
OLD = Suite(tasks=TASKS, predictions=True, logits=("test",), outcomes={("lora", "rte", 2): "failed"})
NEW = Suite(tasks=TASKS, predictions=True, logits=("test", "dev"), endpoints=("score", "log_loss"))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return load("toy", synthetic_records.write(OLD, tmp_path_factory.mktemp("old")))


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return load("toy", synthetic_records.write(NEW, tmp_path_factory.mktemp("new")))


def column(table: Table, header: str, subheader: str = "", group: str = "") -> dict[str, float]:
    (place,) = (
        i for i, c in enumerate(table.columns) if (c.header, c.subheader, c.group) == (header, subheader, group)
    )
    return {str(row[0].value): float(row[place].value or math.nan) for row in table.rows}


def test_without_dev_logits_no_temperature_is_fitted_and_the_table_says_why(old: Results) -> None:
    table = probabilities_table(old, "100")
    assert table is not None
    assert not any("after" in column.subheader + column.group for column in table.columns)
    assert any("have no logits of the dev set" in note for note in table.notes)
    assert any("STS-B" in note for note in table.notes)
    assert "exploratory" in table.caption


def test_means_are_over_seeds_then_tasks_and_leave_the_regression_out(old: Results) -> None:
    table = probabilities_table(old, "100")
    assert table is not None
    frame = run_probabilities(old, "100")
    assert set(frame["task"]) == {"rte", "sst2"}
    losses = {}
    for row in old.runs.to_dict("records"):
        test = stored_logits(old, row["key"], "test")
        if test is not None and row["label"] == "lora":
            losses.setdefault(row["task"], []).append(log_loss(*test))
    assert [len(losses["rte"]), len(losses["sst2"])] == [5, 6]
    expected = numpy.mean([numpy.mean(own) for own in losses.values()])
    assert column(table, "Log-loss", "nats")["lora"] == pytest.approx(expected)
    assert column(table, "n", "seeds") == {"vanilla": 6, "agwm": 6, "mixout": 6, "lora": 5}


def test_differences_are_tested_as_in_the_main_table(old: Results) -> None:
    table = probabilities_table(old, "100")
    assert table is not None
    frame = run_probabilities(old, "100")
    result = loss_differences(old, "100", ["rte", "sst2"])
    wide = {task: part.pivot(index="seed", columns="label", values="log_loss") for task, part in frame.groupby("task")}
    for label, one in result.items():
        gaps = [(wide[task][label] - wide[task]["vanilla"]).dropna().to_numpy() for task in ("rte", "sst2")]
        assert one.p == stratified_sign_flip(gaps).p
        assert one.difference == pytest.approx(numpy.mean([gap.mean() for gap in gaps]))
        assert one.p <= one.p_holm <= 1
    group = "Log-loss − vanilla"
    assert column(table, "Difference", "nats", group)["agwm"] == pytest.approx(result["agwm"].difference)
    assert result["agwm"].difference > 0 > result["lora"].difference


def test_one_temperature_fitted_on_dev_undoes_the_overconfidence(new: Results) -> None:
    table = probabilities_table(new, "100")
    assert table is not None
    assert table.caption.startswith("Declared endpoint of this suite: log-loss. Test split")
    before, after = column(table, "Log-loss", "nats"), column(table, "Log-loss", "after")
    temperatures = column(table, "Temperature", "fitted")
    calibrated = -(0.8 * math.log(0.8) + 0.2 * math.log(0.2))
    for label in new.plan.labels:
        assert temperatures[label] == pytest.approx(synthetic_records.overconfidence(label), rel=0.15)
        assert after[label] == pytest.approx(calibrated, abs=0.03)
    assert before["agwm"] > before["vanilla"] > before["lora"]
    assert column(table, "ECE")["agwm"] > 3 * column(table, "ECE", "after")["agwm"]


def without_dev(layout: Layout, label: str, seeds: tuple[int, ...]) -> Results:
    """The suite after the dev logits of these runs have been deleted."""
    for run in load("toy", layout).plan.runs.values():
        if run.label == label and run.seed in seeds and run.task != "stsb":
            path = layout.records / "toy" / f"{run.key}.npz"
            with numpy.load(path) as stored:
                kept = {name: stored[name] for name in stored.files if not name.startswith("dev")}
            numpy.savez(path, **kept)
    return load("toy", layout)


def test_temperatures_of_some_seeds_are_not_shown_with_scores_of_all(tmp_path: Path) -> None:
    results = without_dev(synthetic_records.write(NEW, tmp_path), "agwm", (1, 2))
    table = probabilities_table(results, "100")
    assert table is not None
    assert math.isnan(column(table, "Log-loss", "after")["agwm"])
    assert not math.isnan(column(table, "Log-loss", "nats")["agwm"])
    assert not math.isnan(column(table, "Log-loss", "after")["lora"])
    after = "Log-loss − vanilla, after"
    assert column(table, "n", "seeds", after)["agwm"] == 4
    assert column(table, "n", "seeds", after)["lora"] == column(table, "n", "seeds")["agwm"] == 6
    scaled = loss_differences(results, "100", ["rte", "sst2"], "log_loss_scaled")["agwm"]
    assert column(table, "Difference", "nats", after)["agwm"] == scaled.difference
    (note,) = (note for note in table.notes if "Without dev logits" in note)
    assert "made before dev logits were kept: seeds 1 and 2 of agwm." in note
    assert not any("Without dev logits" in note for note in notes_of_the_whole_suite(tmp_path / "whole"))


def notes_of_the_whole_suite(folder: Path) -> tuple[str, ...]:
    table = probabilities_table(load("toy", synthetic_records.write(NEW, folder)), "100")
    assert table is not None
    return table.notes


def test_a_temperature_that_only_some_seeds_of_every_method_have_is_used(tmp_path: Path) -> None:
    layout = synthetic_records.write(NEW, tmp_path)
    for label in NEW.methods:
        results = without_dev(layout, label, (1, 2, 3))
    table = probabilities_table(results, "100")
    assert table is not None
    assert math.isnan(column(table, "Log-loss", "after")["lora"])
    assert column(table, "n", "seeds", "Log-loss − vanilla, after")["lora"] == 3


def test_losses_of_added_rows_are_corrected_among_themselves(new: Results) -> None:
    rows = tuple(row.model_copy(update={"exploratory": row.label == "mixout"}) for row in new.plan.methods)
    added = dataclasses.replace(new, plan=new.plan.model_copy(update={"methods": rows}), cache={})
    tasks = ["rte", "sst2"]
    together, apart = (loss_differences(results, "100", tasks) for results in (new, added))
    assert together["mixout"].p_holm > together["mixout"].p
    assert apart["mixout"].p_holm == apart["mixout"].p
    planned = holm([together[label].p for label in ("agwm", "lora")])
    assert [apart[label].p_holm for label in ("agwm", "lora")] == list(planned)
    assert list(apart) == list(together), "in the order of the plan"


def test_losses_are_tested_at_the_declared_looks(tmp_path: Path) -> None:
    late = tuple(("agwm", task, seed) for task in TASKS for seed in (5, 6))
    suite = dataclasses.replace(NEW, looks=(4, 6), left_out=late)
    results = load("toy", synthetic_records.write(suite, tmp_path))
    found, tasks = loss_differences(results, "100", ["rte", "sst2"]), ["rte", "sst2"]
    frame = run_probabilities(results, "100")
    gaps = {}
    for label in ("agwm", "mixout", "lora"):
        wide = [frame[frame["task"] == task].pivot(index="seed", columns="label", values="log_loss") for task in tasks]
        gaps[label] = [(own[label] - own["vanilla"]).dropna().to_numpy() for own in wide]
    decided = decide(gaps, Looks((4, 6)))
    for label, one in decided.items():
        assert (found[label].p, found[label].p_holm) == (one.p, one.p_adjusted)
        assert (found[label].low, found[label].high, found[label].seeds) == (one.low, one.high, one.seeds)
    assert found["agwm"].seeds == 4, "its score was decided at the first look"
    table = probabilities_table(results, "100")
    assert table is not None
    assert "over looks after 4 and 6 seeds" in table.caption
    assert "interval over all looks" in table.caption


@pytest.mark.parametrize(("endpoint", "header"), [("brier", "Brier"), ("ece", "ECE")])
def test_every_declared_endpoint_is_tested(tmp_path: Path, endpoint: str, header: str) -> None:
    suite = dataclasses.replace(NEW, endpoints=("score", endpoint))
    results = load("toy", synthetic_records.write(suite, tmp_path))
    table = probabilities_table(results, "100")
    assert table is not None
    found = loss_differences(results, "100", ["rte", "sst2"], endpoint)
    group = f"{header} − vanilla"
    assert column(table, "Difference", "", group)["agwm"] == found["agwm"].difference > 0
    assert column(table, "p", "Holm", group)["agwm"] == found["agwm"].p_holm
    assert column(table, "n", "seeds", f"{group}, after")["agwm"] == 6
    assert "Log-loss is exploratory." in table.caption


def test_no_table_and_no_figure_without_logits_of_the_scored_split(tmp_path: Path) -> None:
    for number, suite in enumerate((Suite(predictions=True), Suite(split="dev", predictions=True, logits=("test",)))):
        results = load("toy", synthetic_records.write(suite, tmp_path / str(number)))
        assert probabilities_table(results, "100") is None
        assert reliability(results, "100") is None


def test_an_unknown_endpoint_is_refused() -> None:
    with pytest.raises(PlanError, match="protocol: endpoints: unknown 'loss'; did you mean log_loss"):
        read_plan(synthetic_records.plan(Suite(endpoints=("loss",))), "toy")


def test_the_diagram_shows_confidence_against_correctness(old: Results, new: Results) -> None:
    before = reliability(old, "100")
    both = reliability(new, "100")
    assert before is not None
    assert both is not None
    assert set(before.data["state"]) == {"before"}
    assert "not all of these runs have dev logits" in before.caption
    assert set(both.data["state"]) == {"before", "after"}
    assert set(both.data["label"]) == {"vanilla", "agwm"}
    for (_, _, state), bins in both.data.groupby(["task", "label", "state"]):
        assert bins["n"].sum() == 6 * 300
        assert bins["correct"].mean() == pytest.approx(0.8, abs=0.03)
        gap = (bins["confidence"] - bins["correct"]).mean()
        assert abs(gap) < 0.02 if state == "after" else gap > 0.1


def test_the_committed_suite_agrees_with_other_code() -> None:
    results = load("lowres-cpu", Layout())
    table = probabilities_table(results, "100-300")
    assert table is not None
    by_run = pandas.DataFrame(
        {"label": run.label, "task": run.task, "loss": scikit_learns_loss(results.predictions[run.key])}
        for run in results.runs.itertuples()
        if run.task != "stsb"
    )
    expected = by_run.groupby(["label", "task"])["loss"].mean().groupby("label").mean().to_dict()
    found = column(table, "Log-loss", "nats")
    assert len(expected) == 12
    assert {label: found[label] for label in expected} == pytest.approx(expected, abs=1e-6)


def scikit_learns_loss(predictions: bytes | Path) -> float:
    assert isinstance(predictions, bytes)
    arrays = numpy.load(io.BytesIO(predictions))
    probabilities = scipy.special.softmax(arrays["test_logits"].astype(numpy.float64), axis=1)
    return float(sklearn.metrics.log_loss(arrays["test_labels"], probabilities, labels=[0, 1]))
