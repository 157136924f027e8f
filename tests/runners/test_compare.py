"""From one file to an answer, a model and predictions: what `compare` and `predict` promise."""

import csv
import json
import os
import shutil
import subprocess
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from typer.testing import CliRunner, Result

from amix.data.metrics import task_scores
from amix.data.one_file import task_of_file
from amix.data.rows import load_rows
from amix.models.model_folder import ModelFolderError, read_description
from amix.models.saved_model import load_saved
from amix.specs.data_errors import DataError
from amix.specs.tasks import TaskError, find_task
from helpers.toy_suite import save_encoder
from results.loading.layout import ROOT
from runners.benchmarks.own_data import study
from runners.cli import app
from runners.own_data.budget import Choice, choose
from runners.own_data.column_names import free_names
from runners.own_data.compare import Shown, _choose
from runners.own_data.engine import Engine, Outcome, rows_of
from runners.own_data.folds import Unit, cross_validation, fold_positions
from runners.own_data.out_of_fold import out_of_fold
from runners.own_data.request import CompareError, Request
from runners.planning.suite import SuiteError

WORDS = {"good": ("lovely", "splendid", "great"), "bad": ("awful", "broken", "useless")}
SHARE = """
import datasets
import evaluate


class Share(evaluate.Metric):
    def _info(self):
        whole = datasets.Value("int64")
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="",
            features=datasets.Features({"predictions": whole, "references": whole}),
        )

    def _compute(self, predictions, references):
        return {"share": sum(one == other for one, other in zip(predictions, references)) / len(references)}
"""


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app.app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def write_rows(path: Path, count: int, seed: int) -> Path:
    """Messages that a few words decide, one in twelve labelled wrongly; a number that follows the words; an id."""
    generator = numpy.random.default_rng(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "message", "label", "price"])
        for row in range(count):
            label = ("good", "bad")[int(generator.integers(2))]
            word = WORDS[label][int(generator.integers(3))]
            price = 50_000 + 300_000 * (label == "good") + int(generator.integers(20_000))
            given = label if row % 12 else ("good", "bad")[label == "good"]
            writer.writerow([f"a{row:03d}", f"the {word} thing, no. {seed}{row}", given, price])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("own")
    save_encoder(made / "tiny")
    write_rows(made / "data.csv", 48, 1)
    write_rows(made / "new.csv", 30, 2)
    return made


COMMON = ("--text", "message", "--max-length", "24", "--workers", "0", "--folds", "3", "--repeats", "1")


@pytest.fixture(scope="module")
def compared(folder: Path) -> Result:
    """A comparison by cross-validation."""
    return call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", folder / "out",
                "--methods", "tfidf_logistic,frozen_logistic")  # fmt: skip


def test_it_ends_with_the_answer_and_says_where_everything_lies(folder: Path, compared: Result) -> None:
    assert compared.exit_code == 0, compared.output
    assert "trainings to do" in compared.output
    last = compared.output.strip().splitlines()[-4:]
    assert any(line.startswith("On your texts tfidf_logistic scores highest: accuracy") for line in last)
    assert any("100 more labels: about" in line for line in last)
    for name in ("scores.csv", "scores.md", "out-of-fold.csv", "doubtful-labels.csv", "uncertain-rows.csv",
                 "learning-curves.csv", "report.html", "model/prediction.json"):  # fmt: skip
        assert (folder / "out" / name).is_file(), name


def test_every_row_is_predicted_once_by_a_model_that_did_not_see_it(folder: Path, compared: Result) -> None:
    table = pandas.read_csv(folder / "out" / "out-of-fold.csv")
    rows = pandas.read_csv(folder / "data.csv")
    assert table["message"].tolist() == rows["message"].tolist()
    assert table["given"].tolist() == rows["label"].tolist()
    assert table["place"].tolist() == [f"line {number}" for number in range(2, 50)]
    assert table["probability"].between(0.5, 1).all()
    accuracy = (table["given"] == table["predicted"]).mean()
    scores = pandas.read_csv(folder / "out" / "scores.csv", comment="#")
    (row,) = (place for place, name in enumerate(scores.iloc[:, 0]) if name.startswith("tfidf_logistic"))
    (column,) = (name for name in scores.columns if name.startswith("accuracy"))
    assert scores[column][row] == pytest.approx(100 * accuracy, abs=0.06)


def test_wrong_labels_are_among_the_doubtful_ones(folder: Path, compared: Result) -> None:
    doubtful = pandas.read_csv(folder / "out" / "doubtful-labels.csv")
    wrong = {f"line {row + 2}" for row in range(0, 48, 12)}
    assert len(wrong & set(doubtful["place"])) >= 3
    assert doubtful["probability of given"].is_monotonic_increasing
    assert pandas.read_csv(folder / "out" / "uncertain-rows.csv")["probability"].is_monotonic_increasing


def test_the_same_command_does_nothing_again(folder: Path, compared: Result) -> None:
    weights, records = folder / "out" / "model", folder / "out" / "work" / "records" / "compare"
    before = {path: path.stat().st_mtime_ns for path in (*records.glob("*.npz"), *weights.glob("*.safetensors"))}
    assert before
    again = call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", folder / "out",
                 "--methods", "tfidf_logistic,frozen_logistic")  # fmt: skip
    assert again.exit_code == 0, again.output
    assert "trainings to do" not in again.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.output.strip().splitlines()[-1] == compared.output.strip().splitlines()[-1]
    card = (folder / "out" / "model" / "README.md").read_text()
    assert "trust_remote_code=True" in card.partition("## Loading")[2]
    assert not (folder / "out" / "model.new").exists()


def test_the_card_says_what_a_user_must_know(folder: Path, compared: Result) -> None:
    card = (folder / "out" / "model" / "README.md").read_text()
    for words in (
        "On your texts tfidf_logistic",
        "48 rows",
        "temperature",
        "transformers 5",
        "Limits",
        "first 24 tokens",
    ):
        assert words in card
    description = read_description(folder / "out" / "model")
    assert (description.text, description.label, description.labels) == (["message"], "label", ["bad", "good"])
    assert description.temperature != 1.0
    page = (folder / "out" / "report.html").read_text()
    assert "On your texts tfidf_logistic" in page
    assert "<svg" in page
    assert "://" not in page.partition("<svg")[0]


def test_predictions_keep_order_and_columns_and_are_calibrated(folder: Path, compared: Result) -> None:
    result = call("predict", folder / "out" / "model", folder / "new.csv", "--out", folder / "p.csv", "--all-classes")
    assert result.exit_code == 0, result.output
    assert "30 rows" in result.output
    rows, given = pandas.read_csv(folder / "p.csv"), pandas.read_csv(folder / "new.csv")
    assert list(rows.columns) == [
        *given.columns,
        "predicted_label",
        "probability",
        "probability_bad",
        "probability_good",
    ]
    assert rows[list(given.columns)].equals(given)
    saved = load_saved(folder / "out" / "model")
    logits = saved.logits([(text,) for text in given["message"]])
    shares = numpy.exp(logits / saved.description.temperature)
    shares /= shares.sum(axis=1, keepdims=True)
    numpy.testing.assert_allclose(rows[["probability_bad", "probability_good"]], shares, atol=2e-6)
    assert rows["predicted_label"].tolist() == [["bad", "good"][one] for one in logits.argmax(axis=1)]
    assert (rows["predicted_label"] == given["label"]).mean() > 0.7


def test_with_a_test_file_the_model_predicts_what_the_run_did(folder: Path) -> None:
    out = folder / "tested"
    result = call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", out, "--test",
                  folder / "new.csv", "--methods", "frozen_logistic,vanilla", "--row", "vanilla")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "vanilla is trained, as you asked" in result.output or "vanilla is chosen" in result.output
    records = {
        path: json.loads(path.read_text()) for path in (out / "work" / "records" / "compare").glob("?" * 64 + ".json")
    }
    wanted = {"method": "vanilla", "task": "whole", "seed": 1, "n_train": None}
    (path,) = [path for path, one in records.items() if wanted.items() <= one["spec"].items()]
    with numpy.load(path.with_suffix(".npz")) as arrays:
        expected = arrays["test_logits"]
    texts = [(text,) for text in pandas.read_csv(folder / "new.csv")["message"]]
    numpy.testing.assert_allclose(load_saved(out / "model").logits(texts), expected, atol=1e-5)


def test_a_numeric_label_makes_a_regression_on_its_own_scale(folder: Path) -> None:
    out = folder / "prices"
    result = call("compare", folder / "data.csv", *COMMON, "--label", "price", "--encoder", folder / "tiny",
                  "--out", out, "--methods", "tfidf_logistic")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Spearman" in result.output
    assert "mean of the labels" in result.output
    card, description = (out / "model" / "README.md").read_text(), read_description(out / "model")
    assert description.spread > 1000
    assert f"price = output * {description.spread!r} + {description.center!r}" in card
    assert "gives every text a number" in card
    call("predict", out / "model", folder / "new.csv", "--out", out / "p.jsonl")
    rows = [json.loads(line) for line in (out / "p.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"a{number:03d}" for number in range(30)]
    found = numpy.array([row["predicted_price"] for row in rows])
    assert numpy.corrcoef(found, [float(row["price"]) for row in rows])[0, 1] > 0.8
    assert 40_000 < found.min() < found.max() < 400_000
    saved = load_saved(out / "model")
    texts = [(text,) for text in pandas.read_csv(folder / "new.csv")["message"]]
    assert found.tolist() == saved.numbers(saved.logits(texts)).tolist(), "no digit is cut"


def predicted(folder: Path, rows: list[dict[str, Any]], name: str = "odd.csv") -> Result:
    pandas.DataFrame(rows).to_csv(folder / name, index=False)
    return call("predict", folder / "out" / "model", folder / name, "--out", folder / "odd-p.csv")


def test_rows_without_text_get_no_prediction_and_are_told(folder: Path, compared: Result) -> None:
    result = predicted(folder, [{"message": "the lovely thing"}, {"message": "  "}, {"message": "the awful thing"}])
    assert result.exit_code == 0, result.output
    assert "1 rows have no text and got no prediction (line 3)" in result.output
    assert pandas.read_csv(folder / "odd-p.csv")["predicted_label"].isna().tolist() == [False, True, False]


def test_a_column_that_is_there_already_is_not_written_over(folder: Path, compared: Result) -> None:
    assert predicted(folder, [{"message": "the lovely thing", "probability": 7}]).exit_code == 0
    assert list(pandas.read_csv(folder / "odd-p.csv").columns) == [
        "message", "probability", "predicted_label", "probability_2"
    ]  # fmt: skip


def test_columns_that_are_added_get_a_name_each() -> None:
    assert free_names(["probability", "probability_2"], ["text", "probability"]) == ["probability_2", "probability_2_2"]


def test_how_the_file_was_read_is_told(folder: Path, compared: Result) -> None:
    (folder / "quotes.tsv").write_text('id\tmessage\n1\t"lovely thing\n2\tthe awful 12" thing\n')
    result = call("predict", folder / "out" / "model", folder / "quotes.tsv", "--out", folder / "quotes-p.csv")
    assert result.exit_code == 0, result.output
    assert "quotes are read as text" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{model}", "{other}", "--out", "{out}.csv"), r"no column 'message'.*trained on the column 'message'"),
        (("{model}", "{data}", "--out", "{out}.xlsx"), r"written as \.csv, \.tsv, \.jsonl"),
        (("{model}", "{data}", "--out", "{data}"), "is the file that is read"),
        (("{model}", "missing.csv", "--out", "{out}.csv"), r"missing\.csv: cannot be read"),
        (("{tiny}", "{data}", "--out", "{out}.csv"), r"has no prediction\.json: give a folder that"),
        (("nowhere", "{data}", "--out", "{out}.csv"), "nowhere is no folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_predicted_is_one_line(
    folder: Path, compared: Result, arguments: tuple[str, ...], said: str
) -> None:
    (folder / "other.csv").write_text("massage,label\nhello there,good\n")
    names = {"model": folder / "out" / "model", "other": folder / "other.csv", "data": folder / "data.csv",
             "out": folder / "none", "tiny": folder / "tiny"}  # fmt: skip
    result = call("predict", *(argument.format(**names) for argument in arguments))
    assert result.exit_code != 0
    with pytest.raises((DataError, ModelFolderError), match=said):
        raise result.exception or AssertionError
    assert "\n" not in str(result.exception)
    assert not list(folder.glob("none*"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "prediction.json").write_text("{"), "save the model again"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"cut"), "cannot be loaded"),
        (lambda folder: (folder / "prediction.json").write_text(
            read_description(folder).model_copy(update={"addition": "evil.module"}).model_dump_json()),
         "from outside this project"),
    ],
)  # fmt: skip
def test_a_damaged_model_is_one_line(folder: Path, compared: Result, tmp_path: Path, damage: Any, said: str) -> None:
    for path in (folder / "out" / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damage(tmp_path)
    with pytest.raises(ModelFolderError, match=said):
        load_saved(tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (("--methods", "vanila"), SuiteError, "did you mean vanilla"),
        (("--metric", "f2"), TaskError, "unknown metric 'f2'"),
        (("--metric", "spearman"), TaskError, "not defined for 2 labels"),
        (("--label", "lable"), DataError, "no column 'lable'"),
        (("--row", "mixout"), CompareError, "--row: 'mixout' is none of"),
        (("--folds", "40"), CompareError, "--folds is 2 to 24"),
        (("--test", "missing.csv"), DataError, "cannot be read"),
    ],
)
def test_what_cannot_be_compared_is_one_line_before_anything_trains(
    folder: Path, tmp_path: Path, options: tuple[str, ...], error: type[Exception], said: str
) -> None:
    result = call("compare", folder / "data.csv", "--text", "message", "--max-length", "24", "--encoder",
                  folder / "tiny", "--out", tmp_path / "out", *options)  # fmt: skip
    assert isinstance(result.exception, error), result.exception
    assert said in str(result.exception)
    assert not list(tmp_path.glob("out/**/*.json"))


def test_one_file_is_asked_for(folder: Path, tmp_path: Path) -> None:
    assert "give one file of labelled rows" in call("compare").output
    (folder / "few.csv").write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(10)))
    assert "needs 30 or more" in str(call("compare", "--data", folder / "few.csv", "--out", tmp_path / "out").exception)
    assert not (tmp_path / "out").exists(), "a request that cannot be answered leaves no folder"


def test_folds_are_stratified_cover_every_row_and_keep_equal_texts_together(folder: Path) -> None:
    task = task_of_file(folder / "data.csv", ("message",))
    rows = load_rows(task, task.train)
    rows = pandas.concat([rows, rows.iloc[:6].assign(message=rows["message"].iloc[:6].str.upper())], ignore_index=True)
    found = list(fold_positions(rows, task, 5, 2))
    assert [repeat for repeat, _ in found] == [0] * 5 + [1] * 5
    for repeat in (0, 1):
        tests = [test for number, test in found if number == repeat]
        assert sorted(numpy.concatenate(tests).tolist()) == list(range(len(rows)))
        for test in tests:
            assert all((row in test) == (row + 48 in test) for row in range(6))
            assert 0.25 < rows["label"].to_numpy()[test].mean() < 0.75
    assert any(not numpy.array_equal(one, other) for (_, one), (_, other) in zip(found[:5], found[5:], strict=True))


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        ([f"text {row}" for row in range(30)], list("abcdef") * 5, "6 is too many for 30 different texts and 5 rows"),
        ([f"text {row % 4}" for row in range(30)], ["a", "b"] * 15, "6 is too many for 4 different texts"),
        ([f"text {row}" for row in range(10)], [float(row) for row in range(10)], "2 rows of the largest of 5 parts"),
    ],
)
def test_folds_that_the_rows_do_not_allow_are_one_line(texts: list[str], labels: list[Any], said: str) -> None:
    numbers = isinstance(labels[0], float)
    task = replace(find_task("mini-cola"), labels=None if numbers else tuple(sorted(set(labels))))
    rows = pandas.DataFrame(
        {"sentence": texts, "label": labels if numbers else pandas.factorize(pandas.Series(labels))[0]}
    )
    with pytest.raises(CompareError, match=said) as caught:
        list(fold_positions(rows, task, 6, 1))
    assert "\n" not in str(caught.value)


def test_a_metric_beside_the_file_is_found_by_the_runs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_bytes((folder / "data.csv").read_bytes())
    (tmp_path / "share.py").write_text(SHARE)
    request = Request(str(tmp_path / "data.csv"), tmp_path / "out", "", ("message",), metrics=("evaluate:share.py",))
    task = request.task()
    (unit, *_) = cross_validation(task, load_rows(task, task.train), 3, 1, tmp_path / "elsewhere")
    labels = numpy.array([0, 1, 1, 0])
    scores = task_scores(unit.task, labels, numpy.array([0, 1, 0, 0]))
    assert scores[task.metrics[0]] == 0.75, "the runs' scores have the name that the comparison looks for"


def test_texts_in_columns_called_like_added_ones_stay(folder: Path) -> None:
    task = replace(find_task("mini-rte"), text=("given", "probability"))
    rows = pandas.DataFrame(
        {"given": ["a", "b"], "probability": ["c", "d"], "label": [0, 1], "place": ["line 2", "line 3"]}
    )
    outcomes = [Outcome({}, numpy.array([[1.0, 0.0], [0.0, 1.0]], numpy.float32), numpy.array([0, 1]), 1.0, "ok", {})]
    table = out_of_fold(task, rows, [Unit(task, Path(), 1, numpy.arange(2), 2)], outcomes).table
    assert table.iloc[:, 1:3].to_numpy().tolist() == [["a", "c"], ["b", "d"]]
    assert table["given"].tolist() == list(task.labels or ())


def plans(folder: Path, out: Path, minutes: float, **changed: Any) -> tuple[Request, Engine, list[Unit]]:
    """A request of one row in one repeat or two, with what it is planned with."""
    request = replace(
        Request(str(folder / "data.csv"), out, str(folder / "tiny"), ("message",), methods="tfidf_logistic,vanilla",
                minutes=minutes, folds=3, max_length=24, workers=0), **changed,
    )  # fmt: skip
    task = request.task()
    units = cross_validation(task, load_rows(task, task.train), 3, 2, out / "work" / "data")
    return request, Engine(request, rows_of(request.methods), lambda work, count: nullcontext(work)), units


@pytest.mark.parametrize("changed", [{"max_length": 16}, {"workers": 2}, {"encoder": "minilm-l6"}])
def test_a_choice_is_kept_for_the_same_request_only(folder: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    shown = Shown(lambda words: None, lambda findings: None, lambda work, count: nullcontext(work))
    request, engine, units = plans(folder, tmp_path, 1.0)
    narrow = _choose(request, engine, units, 1e3, shown)
    assert narrow.labels == ("tfidf_logistic",)
    assert _choose(request, engine, units, 1e-9, shown).labels == narrow.labels
    other = plans(folder, tmp_path, 1.0, **changed)
    assert len(_choose(*other, 1e-9, shown).labels) == 2


def test_what_is_done_counts_with_the_seconds_that_it_took(
    folder: Path, compared: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder / "out", tmp_path / "out")
    counted: dict[str, float] = {}

    def seen(per_unit: dict[str, float], *rest: Any) -> Choice:
        counted.update(per_unit)
        return choose(per_unit, *rest)

    monkeypatch.setattr("runners.own_data.compare.choose", seen)
    again = call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", tmp_path / "out",
                 "--methods", "tfidf_logistic,frozen_logistic")  # fmt: skip
    assert again.exit_code == 0, again.output
    files = (tmp_path / "out" / "work" / "records" / "compare").glob("?" * 64 + ".json")
    records = [json.loads(path.read_text()) for path in files]
    first = {
        one["spec"]["method"]: one["cost"]["total_seconds"]
        for one in records
        if one["spec"]["task"] == "r1f1" and one["spec"]["n_train"] is None
    }
    assert min(counted.values()) > 0
    assert sorted(counted.values()) == sorted(first.values())


def test_a_row_that_is_asked_for_and_left_out_is_one_line(folder: Path, tmp_path: Path) -> None:
    result = call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", tmp_path / "out",
                  "--methods", "tfidf_logistic,vanilla", "--minutes", "0.1", "--row", "vanilla")  # fmt: skip
    assert isinstance(result.exception, CompareError), result.output
    assert "--row: 'vanilla' is left out; give more --minutes" in str(result.exception)


def test_folds_hold_the_very_rows_of_the_file(folder: Path, tmp_path: Path) -> None:
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


def test_the_study_of_what_compare_promises(folder: Path, tmp_path: Path) -> None:
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
    ("rows", "said"), [(24, "has 48 rows; draws of 24 need more than 48"), (20, "20 rows has none of 'rare'")]
)
def test_a_study_that_cannot_be_made_is_one_line(folder: Path, tmp_path: Path, rows: int, said: str) -> None:
    frame = pandas.read_csv(folder / "data.csv")[["message", "label"]]
    if rows == 20:
        frame.loc[:0, "label"] = "rare"
    frame.to_csv(tmp_path / "data.csv", index=False)
    request = Request(str(tmp_path / "data.csv"), tmp_path / "study", str(folder / "tiny"), ("message",))
    shown = Shown(lambda words: None, lambda findings: None, lambda work, count: nullcontext(work))
    with pytest.raises(CompareError, match=said):
        study(request, rows, 10, shown, lambda one: None)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--data", "my texts.csv", "--minutes", "5"), "-P -m runners compare --data my texts.csv --minutes 5"),
        (("--minutes", "5", "--data=x.csv"), "-P -m runners compare --minutes 5 --data=x.csv"),
        (("--suite", "quick"), "-P -m runners all --suite quick"),
        ((), "-P -m runners all"),
    ],
)
def test_all_sh_compares_where_data_is_given(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\n[ "$1" = -c ] || echo "$@"\n')
    python.chmod(0o755)
    (tmp_path / "requirements-installed.txt").write_bytes((ROOT / "requirements.txt").read_bytes())
    done = subprocess.run(
        ["bash", str(ROOT / "runners" / "all.sh"), *arguments], env=os.environ | {"AMIX_VENV": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == expected
