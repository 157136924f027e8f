"""The parts of a comparison: folds, the choice of rows for a time budget, column names, and the study of promises."""

import csv
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from amix.data.metrics import task_scores
from amix.data.one_file import task_of_file
from amix.data.rows import load_rows
from amix.models.saved_model import load_saved
from amix.specs.recipe import Recipe
from amix.specs.tasks import find_task
from helpers.own_texts import call, evaluate_module, own_texts, write_rows
from runners.benchmarks.own_data import study
from runners.own_data.column_names import free_names
from runners.own_data.compare import Shown, _choose
from runners.own_data.engine import Engine, Outcome, rows_of
from runners.own_data.folds import Unit, cross_validation, fold_positions
from runners.own_data.out_of_fold import out_of_fold
from runners.own_data.request import CompareError, Request

SHARE = '{"share": sum(one == other for one, other in zip(predictions, references)) / len(references)}'
"""What a user's own metric returns."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_texts(tmp_path_factory.mktemp("own"))


def test_the_row_without_a_model_is_always_there_and_may_be_named() -> None:
    assert [row.label for row in rows_of("majority, tfidf_logistic")] == ["tfidf_logistic"]
    assert rows_of("+majority") == rows_of("")
    with pytest.raises(CompareError, match="every comparison has this row; name one that is trained"):
        rows_of("majority")


def test_folds_are_stratified_cover_every_row_and_keep_equal_texts_together(folder: Path) -> None:
    task = task_of_file(folder / "data.csv", ("message",))
    rows = load_rows(task, task.train)
    rows = pandas.concat([rows, rows.iloc[:6].assign(message=rows["message"].iloc[:6].str.upper())], ignore_index=True)
    folds = list(fold_positions(rows, task, 5, 2))
    assert [repeat for repeat, _ in folds] == [0] * 5 + [1] * 5
    for repeat in (0, 1):
        tests = [test for number, test in folds if number == repeat]
        assert sorted(numpy.concatenate(tests).tolist()) == list(range(len(rows)))
        for test in tests:
            assert all((row in test) == (row + 48 in test) for row in range(6))
            assert 0.25 < rows["label"].to_numpy()[test].mean() < 0.75
    assert any(not numpy.array_equal(one, other) for (_, one), (_, other) in zip(folds[:5], folds[5:], strict=True))


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        ([f"text {row}" for row in range(30)], list("abcdef") * 5, "6 is too many for 30 different texts and 5 rows"),
        ([f"text {row % 4}" for row in range(30)], ["a", "b"] * 15, "6 is too many for 4 different texts"),
        ([f"text {row}" for row in range(10)], [float(row) for row in range(10)], "2 rows of the largest of 5 parts"),
    ],
)
def test_too_many_folds_for_the_rows_are_one_line(texts: list[str], labels: list[Any], message: str) -> None:
    numbers = isinstance(labels[0], float)
    task = replace(find_task("mini-cola"), labels=None if numbers else tuple(sorted(set(labels))))
    rows = pandas.DataFrame(
        {"sentence": texts, "label": labels if numbers else pandas.factorize(pandas.Series(labels))[0]}
    )
    with pytest.raises(CompareError, match=message) as caught:
        list(fold_positions(rows, task, 6, 1))
    assert "\n" not in str(caught.value)


def test_a_metric_in_the_folder_of_the_file_is_found_by_the_runs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes((folder / "data.csv").read_bytes())
    (tmp_path / "share.py").write_text(evaluate_module(SHARE))
    request = Request(str(tmp_path / "data.csv"), tmp_path / "out", "", ("message",), metrics=("evaluate:share.py",))
    task = request.task()
    (unit, *_) = cross_validation(task, load_rows(task, task.train), 3, 1, tmp_path / "elsewhere")
    labels = numpy.array([0, 1, 1, 0])
    scores = task_scores(unit.task, labels, numpy.array([0, 1, 0, 0]))
    assert scores[task.metrics[0]] == 0.75, "the runs' scores have the name that the comparison looks for"


def test_text_columns_with_the_names_of_added_columns_are_kept(folder: Path) -> None:
    task = replace(find_task("mini-rte"), text=("given", "probability"))
    rows = pandas.DataFrame(
        {"given": ["a", "b"], "probability": ["c", "d"], "label": [0, 1], "place": ["line 2", "line 3"]}
    )
    outcomes = [Outcome({}, numpy.array([[1.0, 0.0], [0.0, 1.0]], numpy.float32), numpy.array([0, 1]), 1.0, "ok", {})]
    table = out_of_fold(task, rows, [Unit(task, Path(), 1, numpy.arange(2), 2, 2)], outcomes).table
    assert table.iloc[:, 1:3].to_numpy().tolist() == [["a", "c"], ["b", "d"]]
    assert table["given"].tolist() == list(task.labels or ())


def plans(folder: Path, out: Path, minutes: float, **changed: Any) -> tuple[Request, Engine, list[Unit]]:
    """A request, its engine, and its units: three folds, repeated twice."""
    request = replace(
        Request(str(folder / "data.csv"), out, str(folder / "tiny"), ("message",), methods="tfidf_logistic,vanilla",
                minutes=minutes, folds=3, max_length=24, workers=0), **changed,
    )  # fmt: skip
    task = request.task()
    units = cross_validation(task, load_rows(task, task.train), 3, 2, out / "work" / "data")
    return request, Engine(request, rows_of(request.methods), lambda work, count: nullcontext(work), print), units


@pytest.mark.parametrize("changed", [{"max_length": 16}, {"workers": 2}, {"encoder": "minilm-l6"}])
def test_a_choice_is_kept_only_for_the_same_request(folder: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    shown = Shown(lambda words: None, lambda findings: None, lambda work, count: nullcontext(work))
    request, engine, units = plans(folder, tmp_path, 1.0)
    narrow = _choose(request, engine, units, 1e3, shown)
    assert narrow.labels == ("tfidf_logistic",)
    assert _choose(request, engine, units, 1e-9, shown).labels == narrow.labels
    other = plans(folder, tmp_path, 1.0, **changed)
    assert len(_choose(*other, 1e-9, shown).labels) == 2


def test_expected_seconds_count_the_rows_of_the_folds(folder: Path, tmp_path: Path) -> None:
    _, engine, units = plans(folder, tmp_path, 1.0)
    plan = engine.plan(units, ["vanilla"], (None, 12))
    tasks = {unit.task.name: unit for unit in units}
    for run in plan.runs:
        unit, recipe = tasks[run.spec.task], Recipe().with_changes(run.spec.training)
        trained = recipe.total_steps(run.spec.n_train or unit.train_rows) * recipe.batch_size
        assert run.work == pytest.approx(trained + unit.test_rows / 3)


def test_folds_hold_exactly_the_rows_of_the_file(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.csv"
    texts = ['a "quoted" text', "two\nlines", "NA", "1e5", "; and ,", "ÄÖ €", "null", "#x"] * 5
    with odd.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [("text", "label"), *((f"{text} {n}", ("no", "1")[n % 2]) for n, text in enumerate(texts))]
        )
    task = replace(task_of_file(odd), metrics=("accuracy",))
    rows = load_rows(task, task.train)
    for unit in cross_validation(task, rows, 3, 1, tmp_path / "work"):
        assert unit.test is not None
        test, train = load_rows(unit.task, unit.task.test), load_rows(unit.task, unit.task.train)
        assert test["text"].tolist() == rows["text"].iloc[unit.test].tolist()
        assert test["label"].tolist() == rows["label"].iloc[unit.test].tolist()
        assert sorted([*test["text"], *train["text"]]) == sorted(rows["text"])
        assert unit.train_rows == len(train)


def test_the_study_checks_the_promises_of_compare(folder: Path, tmp_path: Path) -> None:
    write_rows(tmp_path / "many.csv", 140, 5)
    frame = pandas.read_csv(tmp_path / "many.csv")[["message", "label"]]
    frame.to_csv(tmp_path / "many.csv", index=False)
    result = call("bench", "own-data", tmp_path / "many.csv", "--out", tmp_path / "study", "--rows", "40",
                  "--draws", "1", "--methods", "tfidf_logistic", "--encoder", folder / "tiny",
                  "--max-length", "24", "--workers", "0")  # fmt: skip
    assert result.exit_code == 0, result.output
    (kept,) = csv.DictReader((tmp_path / "study" / "kept.csv").read_text().splitlines())
    assert (kept["rows"], kept["doubled_rows"], kept["chosen"]) == ("40", "80", "tfidf_logistic")
    assert float(kept["low"]) <= float(kept["score"]) <= float(kept["high"])
    drawn, others = (
        pandas.read_json(tmp_path / "study" / "draw-1" / f"drawn-{split}.jsonl", lines=True)
        for split in ("train", "test")
    )
    assert len(others) == 60
    assert not set(others["text"]) & set(drawn["text"])
    logits = load_saved(tmp_path / "study" / "draw-1" / "model").logits([(text,) for text in others["text"]])
    accuracy = (numpy.array(["bad", "good"])[logits.argmax(axis=1)] == others["label"]).mean()
    assert float(kept["score_elsewhere"]) == pytest.approx(accuracy, abs=1e-4)


@pytest.mark.parametrize(
    ("rows", "message"), [(24, "has 48 rows; draws of 24 need more than 48"), (20, "20 rows has none of 'rare'")]
)
def test_a_study_that_cannot_be_done_is_one_line(folder: Path, tmp_path: Path, rows: int, message: str) -> None:
    frame = pandas.read_csv(folder / "data.csv")[["message", "label"]]
    if rows == 20:
        frame.loc[:0, "label"] = "rare"
    frame.to_csv(tmp_path / "data.csv", index=False)
    request = Request(str(tmp_path / "data.csv"), tmp_path / "study", str(folder / "tiny"), ("message",))
    shown = Shown(lambda words: None, lambda findings: None, lambda work, count: nullcontext(work))
    with pytest.raises(CompareError, match=message):
        study(request, rows, 10, shown, lambda draw: None)
    assert not (tmp_path / "study").exists()


def test_added_columns_get_unique_names() -> None:
    assert free_names(["probability", "probability_2"], ["text", "probability"]) == ["probability_2", "probability_2_2"]
