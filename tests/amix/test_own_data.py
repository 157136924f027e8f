"""From users' own files to a record: regression on the label's scale, own dev files, class weights, findings."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from amix.data.one_file import task_of_file
from amix.data.rows import load_rows
from amix.data.splits import drawn_findings, load_splits, own_findings
from amix.models.loading import load_tokenizer
from amix.runs.context import RunContext
from amix.runs.execute import execute
from amix.runs.scoring import Record
from amix.specs.data_errors import DataError
from amix.specs.recipe import Recipe
from amix.specs.run_spec import RunSpec
from amix.specs.tasks import find_task
from amix.training.fit import balanced_weights
from amix.training.registry import find_method, source_hash
from amix.training.settings import full_settings
from helpers.toy_suite import save_encoder
from runners.planning.plan import make_plan
from runners.planning.suite import SuiteError, find_suite

WORDS = {"good": ("lovely", "splendid", "great"), "bad": ("awful", "broken", "useless")}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


def save_files(folder: Path, prices: bool = False, rows: int = 70, **fields: str) -> Path:
    """Train, dev and test file of a task that a few words determine, and its description."""
    for number, name in enumerate(("train", "dev", "test")):
        generator = numpy.random.default_rng(number)
        lines = ["text,label"]
        for row in range(rows):
            label = ("good", "bad")[int(generator.integers(2))]
            word = WORDS[label][int(generator.integers(3))]
            price = 50_000 + 300_000 * (label == "good") + int(generator.integers(20_000))
            lines.append(f"the {word} thing {rows * number + row},{price if prices else label}")
        (folder / f"{name}.csv").write_text("\n".join(lines))
    written = {"name": "own", "train": "train.csv", "test": "test.csv", "text": "text"} | fields
    if not prices:
        written.setdefault("labels", "[bad, good]")
    path = folder / "own.yaml"
    path.write_text("".join(f"{name}: {value}\n" for name, value in written.items()))
    return path


def run(
    task_file: Path, encoder: Path, method: str = "vanilla", n: int = 36, export: Path | None = None, **training: Any
) -> tuple[Record, Any]:
    recipe = Recipe().with_changes({"lr": 5e-3, "epochs": 6, "max_length": 16} | training)
    known = find_method(method)
    spec = RunSpec(
        "own", n, 3, method, "tiny", method_config=full_settings(known, {}), method_source=source_hash(known),
        training=recipe.as_dict(),
    )  # fmt: skip
    folder = str(export) if export else None
    context = RunContext(encoder=str(encoder), task_files={spec.task: str(task_file)}, export=folder)
    record, arrays = execute(spec, context)
    assert record["status"] == "ok", record["error"]
    return record, arrays


@pytest.mark.parametrize("method", ["vanilla", "frozen_logistic", "tfidf_logistic"])
def test_prices_are_learnt_on_a_standard_scale_and_predicted_on_their_own(
    tmp_path: Path, encoder: Path, method: str
) -> None:
    task_file = save_files(tmp_path, prices=True, metrics="[spearman, mae, rmse]")
    record, arrays = run(task_file, encoder, method, epochs=10, export=tmp_path / "model")
    labels, predictions = arrays["test_labels"], arrays["test_predictions"]
    assert labels.min() >= 50_000
    scores = record["scores"]["last"]["test"]
    assert scores["mae"] == pytest.approx(numpy.abs(labels - predictions).mean(), rel=1e-5)
    assert scores["mae"] < 0.9 * record["data"]["majority"]["mae"]
    assert record["curve"][0]["train_loss"] < 10
    card = (tmp_path / "model" / "README.md").read_text()
    scale = re.search(r"label = output \* ([\d.]+) \+ ([\d.]+)\.", card)
    assert scale is not None
    outputs = arrays["test_logits"][:, 0] * float(scale[1]) + float(scale[2])
    assert outputs == pytest.approx(predictions, rel=1e-4)
    assert "scale of the label" in {one["about"] for one in record["data"]["findings"]}


def test_targets_are_standardised_on_the_train_subset_alone(tmp_path: Path, encoder: Path) -> None:
    task = find_task(str(save_files(tmp_path, prices=True)))
    splits = load_splits(task, 36, 1, load_tokenizer(str(encoder)), "tiny", 16)
    targets = splits.train.targets.double()
    assert float(targets.mean()) == pytest.approx(0, abs=1e-6)
    assert float(targets.std(correction=0)) == pytest.approx(1, abs=1e-6)
    assert splits.test.center == splits.train.center == splits.dev.center
    some = splits.train.select([3, 1])
    assert some.batch(torch.tensor([0]))["labels"] == splits.train.targets[3]
    assert splits.test.unscaled(splits.test.targets.numpy()) == pytest.approx(splits.test.labels.numpy())
    mini = load_splits(find_task("mini-stsb"), 36, 1, load_tokenizer(str(encoder)), "tiny", 16)
    assert mini.train.targets is mini.train.labels


def test_a_dev_file_is_the_dev_set_and_no_train_rows_are_used_for_it(tmp_path: Path, encoder: Path) -> None:
    record, arrays = run(save_files(tmp_path, validation="dev.csv"), encoder, n=70, epochs=1)
    assert (record["data"]["n_train"], record["data"]["n_dev"], record["data"]["n_test"]) == (70, 70, 70)
    assert len(arrays["dev_labels"]) == 70
    task = find_task(str(tmp_path / "own.yaml"))
    (tmp_path / "dev.csv").unlink()
    with pytest.raises(DataError, match=r"dev\.csv: cannot be read"):
        load_splits(replace(task, name="again"), 10, 1, load_tokenizer(str(encoder)), "tiny", 16)


def test_balanced_weights_are_those_of_scikit_learn_and_change_the_run(tmp_path: Path, encoder: Path) -> None:
    labels = numpy.array([0] * 7 + [1] * 2 + [3])
    weights = balanced_weights(torch.from_numpy(labels), 4).numpy()
    expected = compute_class_weight("balanced", classes=numpy.array([0, 1, 3]), y=labels)
    assert weights[[0, 1, 3]] == pytest.approx(expected)
    assert weights[2] == 0
    assert weights[labels].mean() == pytest.approx(1)
    task_file = save_files(tmp_path)
    for method in ("vanilla", "tfidf_logistic"):
        plain, balanced = (run(task_file, encoder, method, class_weights=one, epochs=1)[0] for one in ("", "balanced"))
        assert plain["key"] != balanced["key"]
        assert plain["curve"][-1]["train_loss"] != balanced["curve"][-1]["train_loss"]
    assert "class_weights" not in Recipe().as_dict()
    with pytest.raises(ValueError, match="class_weights: unknown .some.; known: balanced"):
        Recipe(class_weights="some")


def test_class_weights_for_regression_are_refused_in_the_plan(tmp_path: Path, encoder: Path) -> None:
    save_files(tmp_path, prices=True)
    (tmp_path / "suite.yaml").write_text(
        f"encoder: {encoder}\ntasks: [own.yaml]\nsizes: [20]\nseeds: [1]\nmethods: [vanilla]\n"
        "training: {class_weights: balanced}\n"
    )
    with pytest.raises(SuiteError, match="class_weights needs classes"):
        make_plan(find_suite(str(tmp_path / "suite.yaml")))


def test_findings_of_the_files_and_of_the_subset_are_in_the_record(tmp_path: Path, encoder: Path) -> None:
    task_file = save_files(tmp_path, labels="[bad, good, odd]")
    record, _ = run(task_file, encoder, n=12, max_length=5, epochs=1)
    found = {one["about"]: one for one in record["data"]["findings"]}
    assert {one["severity"] for one in found.values()} <= {"error", "warning", "note"}
    assert "'odd'" in found["class missing"]["said"]
    assert found["texts cut"]["severity"] == "warning"
    assert "70 of 70 texts (100%)" in found["texts cut"]["said"]
    task = find_task(str(task_file))
    (drawn,) = [one for one in drawn_findings(task, 12, 3) if one.severity == "warning"]
    assert drawn.said.startswith("seed 3: the train subset of 12 rows has no example of 'odd'")
    assert drawn.as_dict() in record["data"]["findings"]
    assert own_findings(task)


@pytest.mark.parametrize("column", ["idx", "label", "place"])
@pytest.mark.parametrize("other", [None, "text"])
def test_a_text_column_with_the_name_of_an_added_one_is_refused(tmp_path: Path, column: str, other: str | None) -> None:
    rows = "".join(f"a text {row},another,{row % 2}\n" for row in range(6))
    (tmp_path / "data.csv").write_text(f"{column},{other or 'unused'},mood\n{rows}")
    task = task_of_file(tmp_path / "data.csv", (column, other) if other else (column,), "mood")
    with pytest.raises(DataError, match=rf"data\.csv: a text column cannot be called '{column}'.*rename it") as caught:
        load_rows(task, task.train)
    assert "\n" not in str(caught.value)
