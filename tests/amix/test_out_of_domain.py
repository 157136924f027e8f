"""Out-of-domain sets: shared labels, sets from a folder, scores in records and tables, unchanged keys."""

import json
import os
from pathlib import Path

import numpy
import pandas
import pytest

from amix.data.rows import DataError
from amix.runs.context import RunContext
from amix.runs.execute import execute
from amix.runs.out_of_domain_scores import prepared_sets, set_rows
from amix.specs.out_of_domain import SETS, VARIABLE, common_classes, find_set, sets_for
from amix.specs.run_plan import read_plan
from amix.specs.run_spec import OUT_OF_DOMAIN, RunSpec
from amix.specs.store import Store, digest
from amix.specs.task import TaskError
from amix.specs.tasks import TASKS
from amix.training.settings import full_settings, make_config
from baselines.vanilla import Vanilla
from helpers import synthetic_records
from helpers.toy_suite import save_encoder
from results.loading.frame import load
from results.loading.layout import Layout
from results.loading.record_checks import rejection_reason
from results.tabulating.collect import make_tables
from runners.planning.plan import make_plan
from runners.planning.suite import SuiteError, read_suite
from runners.sweeping.state import SweepState
from runners.sweeping.worker import Worker

FOLDER = os.environ.get(VARIABLE)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "tiny-bert")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a toy SNLI and a toy SciTail, whose labels are ids as on the Hub."""
    path = tmp_path_factory.mktemp("sets")
    sentences = ["a man sleeps", "a man is awake", "two dogs run", "a woman reads a book"]
    pairs = [(premise, hypothesis) for premise in sentences for hypothesis in sentences]
    for name, classes in (("snli", 3), ("scitail", 2)):
        (path / name).mkdir()
        rows = [(premise, hypothesis, number % classes) for number, (premise, hypothesis) in enumerate(pairs)]
        frame = pandas.DataFrame(rows, columns=["premise", "hypothesis", "label"])
        frame.to_parquet(path / name / "test.parquet")
    return path


@pytest.mark.parametrize(
    ("task", "other", "own", "its"),
    [
        ("mnli", "snli", (0, 1, 2), (0, 1, 2)),
        ("mnli", "scitail", (0, 1, 1), (0, 1)),
        ("mnli", "hans", (0, 1, 1), (0, 1)),
        ("mnli", "rte", (0, 1, 1), (0, 1)),
        ("rte", "mnli", (0, 1), (0, 1, 1)),
        ("rte", "snli", (0, 1), (0, 1, 1)),
        ("rte", "sick", (0, 1), (0, 1, 1)),
        ("rte", "scitail", (0, 1), (0, 1)),
        ("rte", "hans", (0, 1), (0, 1)),
        ("qqp", "paws_qqp", (0, 1), (0, 1)),
        ("cola", "cola_out_of_domain", (0, 1), (0, 1)),
    ],
)
def test_classes_of_task_and_set_meet(task: str, other: str, own: tuple[int, ...], its: tuple[int, ...]) -> None:
    assert common_classes(TASKS[task], SETS[other]) == (own, its)


def test_every_task_of_a_set_has_labels_that_meet() -> None:
    for one in SETS.values():
        for task in one.tasks:
            if TASKS[task].regression:
                assert one.data.regression
            else:
                own, its = common_classes(TASKS[task], one)
                assert len(own) == TASKS[task].outputs
                assert set(own) == set(range(max(its) + 1))


def test_labels_that_do_not_meet_are_refused() -> None:
    with pytest.raises(TaskError, match="do not match"):
        common_classes(TASKS["sst2"], SETS["snli"])
    with pytest.raises(TaskError, match="did you mean scitail"):
        find_set("scitale")


def test_predictions_are_compared_in_the_classes_that_both_have(encoder: Path, folder: Path) -> None:
    (one,) = prepared_sets(TASKS["rte"], ("snli",), str(encoder), 32, None, str(folder))
    raw = set_rows(SETS["snli"], None, folder)["label"].to_numpy()
    assert one.labels.tolist() == [0 if label == 0 else 1 for label in raw]
    assert one.to_common_classes(numpy.array([1, 0])).tolist() == [1, 0]
    (mnli,) = prepared_sets(TASKS["mnli"], ("scitail",), str(encoder), 32, None, str(folder))
    assert mnli.to_common_classes(numpy.array([0, 1, 2])).tolist() == [0, 1, 1]
    assert mnli.majority(numpy.array([2, 2, 1, 0, 0])) == {"accuracy": pytest.approx(0.5)}


def test_a_set_without_its_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--out-of-domain DIR or AMIX_OUT_OF_DOMAIN=DIR"):
        set_rows(SETS["snli"], None, None)
    (tmp_path / "sick").mkdir()
    with pytest.raises(DataError, match="has no folder 'snli'.*it holds: sick"):
        set_rows(SETS["snli"], None, tmp_path)


def spec_of(task: str) -> RunSpec:
    settings = full_settings(Vanilla, {})
    make_config(Vanilla, settings)
    return RunSpec(task, 24, 1, "vanilla", "tiny", settings, training={"epochs": 2, "batch_size": 8, "max_length": 32})


def test_a_run_is_scored_on_the_sets_of_its_task_and_is_the_same_run(encoder: Path, folder: Path) -> None:
    plain, _ = execute(spec_of("mini-rte"), RunContext(encoder=str(encoder), selection="best_dev"))
    asked = RunContext(
        encoder=str(encoder), selection="best_dev", out_of_domain=("snli", "paws_qqp"), out_of_domain_folder=str(folder)
    )
    record, arrays = execute(spec_of("mini-rte"), asked)
    assert record["status"] == "ok", record["error"]
    assert record["key"] == plain["key"]
    for rule in ("last", "best_dev"):
        assert list(record["scores"][rule][OUT_OF_DOMAIN]) == ["snli"]
        without = {name: value for name, value in record["scores"][rule].items() if name != OUT_OF_DOMAIN}
        assert without == plain["scores"][rule]
    predictions, labels = (arrays[f"out_of_domain/snli_{what}"] for what in ("predictions", "labels"))
    assert record["scores"]["last"][OUT_OF_DOMAIN]["snli"]["accuracy"] == pytest.approx((predictions == labels).mean())
    assert record["data"][OUT_OF_DOMAIN]["snli"]["n"] == 16
    assert OUT_OF_DOMAIN not in plain["data"]
    assert OUT_OF_DOMAIN not in plain["scores"]["last"]


def suite_file(path: Path, encoder: Path, more: str) -> Path:
    file = path / "tiny.yaml"
    file.write_text(
        f"encoder: {encoder}\ntasks: [mini-rte]\nsizes: [24]\nseeds: [1]\nmethods: [vanilla, mixout]\n"
        f"training: {{epochs: 1, batch_size: 8, max_length: 32}}\n{more}"
    )
    return file


def test_a_suite_that_asks_for_sets_has_the_keys_that_it_had(encoder: Path, tmp_path: Path) -> None:
    before = make_plan(read_suite(suite_file(tmp_path, encoder, "")))
    after = make_plan(read_suite(suite_file(tmp_path, encoder, "out_of_domain: [snli, scitail]\n")))
    assert [run.spec.key for run in before.runs] == [run.spec.key for run in after.runs]
    assert before.run_plan.out_of_domain == ()
    assert [one.name for one in after.run_plan.out_of_domain] == ["snli", "scitail"]
    with pytest.raises(SuiteError, match="no task of this suite is scored on paws_qqp; it is for qqp"):
        read_suite(suite_file(tmp_path, encoder, "out_of_domain: [paws_qqp]\n"))


def test_a_run_done_before_its_suite_asked_is_done_again(encoder: Path, folder: Path, tmp_path: Path) -> None:

    layout = Layout(tmp_path / "out")
    before = make_plan(read_suite(suite_file(tmp_path, encoder, "")))
    store = Store(layout.records / "tiny")
    assert Worker.of(before, store, "", None)(before.runs[0]).status == "ok"
    assert set(SweepState.read(before, layout).done) == {before.runs[0].spec.key}
    after = make_plan(read_suite(suite_file(tmp_path, encoder, "out_of_domain: [snli]\n")))
    assert SweepState.read(after, layout).done == {}
    assert Worker.of(after, store, "", None, folder)(after.runs[0]).status == "ok"
    assert set(SweepState.read(after, layout).done) == {after.runs[0].spec.key}


SYNTHETIC = synthetic_records.Suite(
    tasks=("rte", "sst2"), seeds=tuple(range(1, 8)), gains={"agwm": 8.0}, others={"snli": ("rte",)},
    outcomes={("mixout", "rte", 2): "failed", ("lora", "rte", 1): "oom"},
)  # fmt: skip


def test_the_table_holds_means_gains_and_tests_per_set(tmp_path: Path) -> None:
    results = load("toy", synthetic_records.write(SYNTHETIC, tmp_path))
    table = {one.name: one for one in make_tables(results)}["out-of-domain-n100"]
    assert [column.group for column in table.columns[1:]] == ["RTE → SNLI"] * 2
    rows = {row[0].value: row for row in table.rows}
    scores = {
        label: [synthetic_records.other_score(SYNTHETIC, "snli", label, "rte", 100, seed) for seed in SYNTHETIC.seeds]
        for label in SYNTHETIC.methods
    }
    assert rows["vanilla"][1].value == pytest.approx(numpy.mean(scores["vanilla"]))
    assert rows["agwm"][1].spread == pytest.approx(numpy.std(scores["agwm"], ddof=1))
    assert rows["agwm"][2].value == pytest.approx(numpy.mean(scores["agwm"]) - numpy.mean(scores["vanilla"]))
    assert rows["agwm"][2].marks == "*"
    failed = [40.0 if seed == 2 else score for seed, score in zip(SYNTHETIC.seeds, scores["mixout"], strict=True)]
    assert rows["mixout"][1].value == pytest.approx(numpy.mean(failed))
    assert rows["lora"][1].count == 6
    assert rows["lora"][1].notes == ("1 of 7 runs without a score on this set",)
    assert rows["Majority class"][1].value == pytest.approx(40.0)


def test_a_suite_without_out_of_domain_scores_has_no_such_table(tmp_path: Path) -> None:
    results = load("toy", synthetic_records.write(synthetic_records.Suite(), tmp_path))
    assert not [table for table in make_tables(results) if table.name.startswith("out-of-domain")]


@pytest.mark.parametrize("wrong", [1.5, "high", None, {}])
def test_a_record_with_a_wrong_out_of_domain_score_is_left_out(wrong: object) -> None:
    plan = read_plan(synthetic_records.plan(SYNTHETIC), "toy")
    record = synthetic_records.record(SYNTHETIC, "vanilla", "rte", 100, 1)
    assert rejection_reason(record | {"digest": digest(record)}, plan) is None
    record["scores"]["last"][OUT_OF_DOMAIN]["snli"]["accuracy"] = wrong
    record = json.loads(json.dumps(record))
    message = rejection_reason(record | {"digest": digest(record)}, plan)
    assert message is not None
    assert "snli score accuracy" in message


@pytest.mark.skipif(not FOLDER, reason=f"{VARIABLE} names no folder with out-of-domain sets")
def test_every_set_of_the_given_folder_can_be_read() -> None:
    there = [one for one in SETS.values() if FOLDER and (Path(FOLDER) / one.data.folder).is_dir()]
    assert there
    for one in there:
        if one.data.origin == OUT_OF_DOMAIN:
            rows = set_rows(one, None, Path(str(FOLDER)))
            assert len(rows) > 50
            assert one.data.regression or rows["label"].nunique() > 1
    assert sets_for("rte", ("snli", "paws_qqp")) == (SETS["snli"],)
