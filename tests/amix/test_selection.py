"""Test scores of the best-dev weights: computed if the protocol selects them, and not required otherwise."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from typer.testing import CliRunner

import amix.runs.scoring
from amix.data.encoded import Encoded
from amix.runs.environment import environment
from amix.runs.scoring import arrays_of
from amix.specs.run_plan import PlanError, read_plan
from amix.specs.store import Store, digest, id_type, pack_arrays
from amix.specs.tasks import find_task
from amix.training.evaluation import Predictions
from helpers import synthetic_records
from helpers.toy_encoders import Bench
from helpers.toy_suite import save_encoder, write_suite
from results.loading.frame import load, pack
from results.loading.layout import Layout
from results.loading.record_checks import rejection_reason
from results.tabulating.collect import collect, make_tables
from runners.cli.app import app
from runners.planning.plan import make_plan
from runners.planning.suite import read_suite
from runners.sweeping.reuse import reusable
from runners.sweeping.state import SweepState
from runners.sweeping.worker import Worker

METHODS = ["vanilla", "mixout", "agwm", "lora", "deni", "frozen_logistic"]


def passes_over_test(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every prediction of a split of the toy test set's size."""
    seen: list[int] = []
    predict = amix.runs.scoring.predict

    def counting(model: Any, data: Any, fit: Any) -> Predictions:
        if len(data) == 120:
            seen.append(len(fit.best.state))
        return predict(model, data, fit)

    monkeypatch.setattr(amix.runs.scoring, "predict", counting)
    return seen


@pytest.mark.parametrize("method", METHODS)
def test_the_second_evaluation_happens_only_on_request_and_changes_nothing_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    seen = passes_over_test(monkeypatch)
    plain, arrays = bench.execute(method, "bert")
    assert seen == [0], "one pass, and no copy of weights kept for another"
    asked, expected = bench.execute(method, "bert", selection="best_dev")
    assert plain["status"] == asked["status"] == "ok", (plain["error"], asked["error"])
    assert plain["scores"]["last"] == asked["scores"]["last"]
    assert plain["curve"] == asked["curve"]
    best, full = plain["scores"]["best_dev"], asked["scores"]["best_dev"]
    assert set(best) == {"dev", "epoch"}
    assert full["test"]
    assert best == {name: full[name] for name in best}
    assert len(seen) == 2 + (full["epoch"] != plain["curve"][-1]["epoch"])
    assert arrays.keys() == expected.keys()
    assert all(numpy.array_equal(arrays[name], expected[name]) for name in arrays)


def test_the_last_weights_are_restored_after_the_second_evaluation(bench: Bench, tmp_path: Path) -> None:
    plain, asked = (bench.execute("vanilla", "bert", selection=rule, export=str(tmp_path / rule)) for rule in
                    ("last", "best_dev"))  # fmt: skip
    assert plain[0]["scores"]["last"] == asked[0]["scores"]["last"]
    weights = [(tmp_path / rule / "model.safetensors").read_bytes() for rule in ("last", "best_dev")]
    assert weights[0] == weights[1]


def test_dev_logits_are_stored_and_give_the_predictions(bench: Bench) -> None:
    _, arrays = bench.short("vanilla", "bert")
    for split in ("dev", "test"):
        assert arrays[f"{split}_logits"].dtype == numpy.float32
        assert numpy.array_equal(arrays[f"{split}_logits"].argmax(axis=1), arrays[f"{split}_predictions"])
        assert arrays[f"{split}_predictions"].dtype == arrays[f"{split}_labels"].dtype == numpy.int8
    _, numbers = bench.execute("vanilla", "bert", "toy-score")
    # Users' regression labels are standardised for training and predicted on their own scale.
    outputs, predictions = numbers["dev_logits"][:, 0], numbers["dev_predictions"]
    assert numpy.allclose(numpy.polyval(numpy.polyfit(outputs, predictions, 1), outputs), predictions, atol=1e-5)


@pytest.mark.parametrize(
    ("classes", "name"), [(2, "int8"), (128, "int8"), (129, "int16"), (151, "int16"), (40_000, "int32")]
)
def test_ids_are_stored_in_the_smallest_sufficient_type(classes: int, name: str) -> None:
    assert id_type(classes) == numpy.dtype(name)
    assert numpy.arange(classes).astype(id_type(classes))[-1] == classes - 1


def test_ids_of_151_classes_are_read_back() -> None:
    task = replace(find_task("mini-cola"), labels=tuple(f"intent {number}" for number in range(151)))
    labels = torch.arange(151)
    logits = numpy.eye(151)[::-1]
    data = Encoded({"input_ids": torch.ones(151, 1)}, torch.ones(151), labels)
    arrays = arrays_of(task, {"test": Predictions(logits, logits.argmax(axis=1))}, {"test": data})
    assert arrays["test_labels"].tolist() == list(range(151))
    assert arrays["test_predictions"].tolist() == list(range(150, -1, -1))


def test_overflowing_stored_ids_are_reported_and_left_out(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(tasks=("rte", "sst2"), methods=("vanilla", "agwm"), predictions=True)
    layout = synthetic_records.write(suite, tmp_path)
    whole = rows_of(layout)
    for seed in suite.seeds:
        for method in suite.methods:
            path = layout.records / "toy" / f"{suite.spec(method, 'rte', 100, seed).key}.json"
            content = json.loads(path.read_text())
            content["data"]["label_names"] = [str(number) for number in range(151)]
            path.write_text(json.dumps(content | {"digest": digest(content)}))
            found = synthetic_records.arrays(suite, method, "rte", seed)
            ids = {name: (values * 150).astype(numpy.uint8).view(numpy.int8) for name, values in found.items()}
            path.with_suffix(".npz").write_bytes(pack_arrays(ids))
    left = rows_of(layout)
    assert whole["agwm"][0] is not None
    assert left["agwm"][:3] == [None] * 3
    assert left["agwm"][3:6] == whole["agwm"][3:6]
    table = next(table for table in make_tables(load("toy", layout)) if table.name == "test-sets-n100")
    count = len(suite.seeds) * len(suite.methods)
    assert f"RTE: {count} runs stored class ids above 127 in 8 bits" in table.notes[0]


def rows_of(layout: Layout) -> dict[Any, list[Any]]:
    table = next(table for table in make_tables(load("toy", layout)) if table.name == "test-sets-n100")
    return {row[0].value: [cell.value for cell in row[1:]] for row in table.rows}


def without_best_test(layout: Layout, keep: int = 0) -> None:
    """Turn all records except the first few into those of a suite that selects by `last`."""
    for path in sorted((layout.records / "toy").glob("*.json"))[keep:]:
        content = json.loads(path.read_text())
        if path.name != "plan.json" and content["scores"]:
            best = content["scores"]["best_dev"]
            content["scores"]["best_dev"] = {"dev": best["dev"], "epoch": best["epoch"]}
            path.write_text(json.dumps(content | {"digest": digest(content)}))


def test_tables_by_the_last_step_need_no_other_scores(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(predictions=True)
    layouts = [synthetic_records.write(suite, tmp_path / name) for name in ("old", "new")]
    without_best_test(layouts[1])
    old, new = (collect("toy", layout) for layout in layouts)
    assert old.problems == new.problems == ()
    assert old.tables == new.tables
    pack("toy", layouts[1])


def test_tables_by_best_dev_leave_out_and_report_runs_without_that_score(tmp_path: Path) -> None:
    suite = synthetic_records.Suite()
    layout = synthetic_records.write(suite, tmp_path)
    without_best_test(layout, keep=4)
    results = load("toy", layout, "best_dev")
    ok = results.runs["status"].eq("ok").sum()
    assert 0 < ok <= 4
    assert len(results.problems) == len(results.runs) - ok
    assert all("holds no best_dev test score" in problem.reason for problem in results.problems)
    without_best_test(layout)
    with pytest.raises(PlanError, match="no record of suite 'toy' holds 'best_dev' test scores: its protocol selects"):
        load("toy", layout, "best_dev")


def test_a_record_without_the_selected_score_is_explained(tmp_path: Path) -> None:
    layout = synthetic_records.write(synthetic_records.Suite(), tmp_path)
    without_best_test(layout)
    plan = read_plan(json.loads(layout.plan("toy").read_text()), "toy")
    path = next(path for path in (layout.records / "toy").glob("*.json") if path.name != "plan.json")
    record = json.loads(path.read_text())
    assert rejection_reason(record, plan) is None
    message = rejection_reason(record, plan.selecting("best_dev"))
    assert message is not None
    assert "it holds no best_dev test score" in message
    assert "only last (made under another selection rule); a sweep does the run again" in message


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "tiny-bert")


def test_a_suite_that_selects_by_best_dev_repeats_the_run(encoder: Path, tmp_path: Path) -> None:
    path = write_suite(tmp_path, encoder, tasks="mini-cola", methods="vanilla")
    layout = Layout(tmp_path / "out")
    plan = make_plan(read_suite(path))
    store = Store(layout.records / "tiny")
    assert Worker.of(plan, store, "", None)(plan.runs[0]).status == "ok"
    key = plan.runs[0].spec.key
    assert set(SweepState.read(plan, layout).done) == {key}
    path.write_text(path.read_text() + "protocol: {selection: best_dev}\n")
    again = make_plan(read_suite(path))
    assert again.runs[0].spec.key == key
    assert again.runs[0].work > plan.runs[0].work
    assert SweepState.read(again, layout).done == {}
    path.write_text(path.read_text().replace("name: tiny", "name: other") + "reuse: [tiny]\n")
    plan.write(layout, "")
    assert reusable(make_plan(read_suite(path)), layout, {}) == {}
    assert Worker.of(again, store, "", None)(again.runs[0]).status == "ok"
    assert set(SweepState.read(again, layout).done) == {key} == set(SweepState.read(plan, layout).done)


@pytest.mark.parametrize(
    ("suite_rule", "option", "scored"),
    [(None, (), False), (None, ("--selection", "best_dev"), True), ("best_dev", (), True), ("last", (), False)],
)
def test_a_single_run_is_scored_as_asked(
    encoder: Path, tmp_path: Path, suite_rule: str | None, option: tuple[str, ...], scored: bool
) -> None:
    part = ["run", "--task", "mini-cola", "--method", "vanilla", "--seed", "1", "--out", str(tmp_path), *option]
    if suite_rule:
        path = write_suite(tmp_path, encoder, methods="vanilla")
        path.write_text(path.read_text() + f"protocol: {{selection: {suite_rule}}}\n")
        part += ["--suite", str(path)]
    else:
        part += ["--encoder", str(encoder), "--size", "24", "--training", "epochs=1", "--training", "max_length=24"]
    result = CliRunner().invoke(app, part, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    store = Store(tmp_path / "records" / ("tiny" if suite_rule else "single"))
    (key,) = store.keys()
    record = store.get(key)
    assert record is not None
    assert ("test" in record["scores"]["best_dev"]) == scored


def test_an_unknown_rule_is_refused(tmp_path: Path) -> None:
    part = ["run", "--task", "mini-cola", "--method", "vanilla", "--seed", "1", "--selection", "best"]
    result = CliRunner().invoke(app, [*part, "--out", str(tmp_path)])
    assert "selection: unknown 'best'; did you mean" in str(result.exception)


def test_the_environment_names_the_matrix_product_libraries() -> None:
    libraries = environment("")["libraries"]
    assert libraries["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    for name, used in (("mkl", torch.backends.mkl.is_available()), ("onednn", torch.backends.mkldnn.is_available())):
        assert (name in libraries) == used
        assert not used or libraries[name] in torch.__config__.show()
