"""The promises of `compare` and `predict`: from one file to an answer, a model and predictions."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from typer.testing import Result

from amix.models.model_folder import ModelFolderError, read_description
from amix.models.saved_model import load_saved
from amix.specs.data_errors import DataError
from amix.specs.task import TaskError
from helpers.own_texts import call, own_texts
from helpers.warm_processes import warm_workers
from results.loading.layout import ROOT
from runners.own_data import standings
from runners.own_data.budget import Choice, choose
from runners.own_data.request import CompareError
from runners.planning.cluster_file import ClusterError
from runners.planning.suite import SuiteError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_texts(tmp_path_factory.mktemp("own"))


COMMON = ("--text", "message", "--max-length", "24", "--workers", "0", "--folds", "3", "--repeats", "1")


@pytest.fixture(scope="module")
def compared(folder: Path) -> Result:
    """A comparison by cross-validation."""
    return call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", folder / "out",
                "--methods", "tfidf_logistic,frozen_logistic")  # fmt: skip


def test_it_ends_with_the_answer_and_says_where_the_files_are(folder: Path, compared: Result) -> None:
    assert compared.exit_code == 0, compared.output
    assert "training runs to do" in compared.output
    last = compared.output.strip().splitlines()[-4:]
    assert any(line.startswith("On your texts tfidf_logistic scores highest: accuracy") for line in last)
    assert any("100 more labels: about" in line for line in last)
    for name in ("scores.csv", "scores.md", "out-of-fold.csv", "doubtful-labels.csv", "uncertain-rows.csv",
                 "learning-curves.csv", "report.html", "model/prediction.json"):  # fmt: skip
        assert (folder / "out" / name).is_file(), name


def test_every_row_is_predicted_once_by_a_model_not_trained_on_it(folder: Path, compared: Result) -> None:
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


def test_a_cluster_gives_the_same_predictions(folder: Path, compared: Result, tmp_path: Path) -> None:
    cluster, out = tmp_path / "cluster.yaml", tmp_path / "out"
    cluster.write_text("kind: local\noptions: {workers: 2}\n")
    options = (*(word for word in COMMON if word not in ("--workers", "0")), "--cluster", cluster)
    with warm_workers():
        spread = call("compare", folder / "data.csv", *options, "--encoder", folder / "tiny", "--out", out,
                      "--methods", "tfidf_logistic,frozen_logistic")  # fmt: skip
    assert spread.exit_code == 0, spread.output
    assert "workers: 2" in spread.output
    assert (out / "out-of-fold.csv").read_text() == (folder / "out" / "out-of-fold.csv").read_text()


def test_wrong_labels_are_among_the_doubtful_ones(folder: Path, compared: Result) -> None:
    doubtful = pandas.read_csv(folder / "out" / "doubtful-labels.csv")
    wrong = {f"line {row + 2}" for row in range(0, 48, 12)}
    assert len(wrong & set(doubtful["place"])) >= 3
    assert doubtful["probability of given"].is_monotonic_increasing
    assert pandas.read_csv(folder / "out" / "uncertain-rows.csv")["probability"].is_monotonic_increasing


def test_the_same_command_repeats_nothing(folder: Path, compared: Result) -> None:
    weights, records = folder / "out" / "model", folder / "out" / "work" / "records" / "compare"
    before = {path: path.stat().st_mtime_ns for path in (*records.glob("*.npz"), *weights.glob("*.safetensors"))}
    assert before
    again = call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", folder / "out",
                 "--methods", "tfidf_logistic,frozen_logistic")  # fmt: skip
    assert again.exit_code == 0, again.output
    assert "training runs to do" not in again.output
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert again.output.strip().splitlines()[-1] == compared.output.strip().splitlines()[-1]
    card = (folder / "out" / "model" / "README.md").read_text()
    assert "trust_remote_code=True" in card.partition("## Loading")[2]
    assert not (folder / "out" / "model.new").exists()


def test_the_model_card_says_what_a_user_must_know(folder: Path, compared: Result) -> None:
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
    assert description.calibrated_on == "out-of-fold predictions"
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
    assert rows["predicted_label"].tolist() == [["bad", "good"][label] for label in logits.argmax(axis=1)]
    assert (rows["predicted_label"] == given["label"]).mean() > 0.7


def test_with_a_test_file_the_model_predicts_what_the_run_did(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standings, "DRAWS", 20)
    out = folder / "tested"
    result = call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", out, "--test",
                  folder / "new.csv", "--methods", "frozen_logistic,vanilla", "--row", "vanilla")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "vanilla is trained, as you asked" in result.output or "vanilla is chosen" in result.output
    records = {
        path: json.loads(path.read_text()) for path in (out / "work" / "records" / "compare").glob("?" * 64 + ".json")
    }
    wanted = {"method": "vanilla", "task": "whole", "seed": 1, "n_train": None}
    (path,) = [path for path, record in records.items() if wanted.items() <= record["spec"].items()]
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
    prices = numpy.array([row["predicted_price"] for row in rows])
    assert numpy.corrcoef(prices, [float(row["price"]) for row in rows])[0, 1] > 0.8
    assert 40_000 < prices.min() < prices.max() < 400_000
    saved = load_saved(out / "model")
    texts = [(text,) for text in pandas.read_csv(folder / "new.csv")["message"]]
    assert prices.tolist() == saved.numbers(saved.logits(texts)).tolist(), "no digit is lost"


def predicted(folder: Path, rows: list[dict[str, Any]], name: str = "odd.csv") -> Result:
    pandas.DataFrame(rows).to_csv(folder / name, index=False)
    return call("predict", folder / "out" / "model", folder / name, "--out", folder / "odd-p.csv")


def test_rows_without_text_get_no_prediction_and_are_reported(folder: Path, compared: Result) -> None:
    result = predicted(folder, [{"message": "the lovely thing"}, {"message": "  "}, {"message": "the awful thing"}])
    assert result.exit_code == 0, result.output
    assert "1 row has no text and got no prediction (line 3)" in result.output
    assert pandas.read_csv(folder / "odd-p.csv")["predicted_label"].isna().tolist() == [False, True, False]


def test_an_existing_column_is_not_overwritten(folder: Path, compared: Result) -> None:
    assert predicted(folder, [{"message": "the lovely thing", "probability": 7}]).exit_code == 0
    assert list(pandas.read_csv(folder / "odd-p.csv").columns) == [
        "message", "probability", "predicted_label", "probability_2"
    ]  # fmt: skip


def test_it_is_reported_how_the_file_was_read(folder: Path, compared: Result) -> None:
    (folder / "quotes.tsv").write_text('id\tmessage\n1\t"lovely thing\n2\tthe awful 12" thing\n')
    result = call("predict", folder / "out" / "model", folder / "quotes.tsv", "--out", folder / "quotes-p.csv")
    assert result.exit_code == 0, result.output
    assert "quotes are read as text" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{model}", "{other}", "--out", "{out}.csv"), r"no column 'message'.*trained on 'message'"),
        (("{model}", "{data}", "--out", "{out}.xlsx"), r"written as \.csv, \.tsv, \.jsonl"),
        (("{model}", "{data}", "--out", "{data}"), "is the input file"),
        (("{model}", "missing.csv", "--out", "{out}.csv"), r"missing\.csv: cannot be read"),
        (("{tiny}", "{data}", "--out", "{out}.csv"), r"has no prediction\.json: give a folder that"),
        (("nowhere", "{data}", "--out", "{out}.csv"), "nowhere is not a folder"),
    ],
)  # fmt: skip
def test_a_file_or_model_that_cannot_be_used_is_one_line(
    folder: Path, compared: Result, arguments: tuple[str, ...], message: str
) -> None:
    (folder / "other.csv").write_text("massage,label\nhello there,good\n")
    names = {"model": folder / "out" / "model", "other": folder / "other.csv", "data": folder / "data.csv",
             "out": folder / "none", "tiny": folder / "tiny"}  # fmt: skip
    result = call("predict", *(argument.format(**names) for argument in arguments))
    assert result.exit_code != 0
    with pytest.raises((DataError, ModelFolderError), match=message):
        raise result.exception or AssertionError
    assert "\n" not in str(result.exception)
    assert not list(folder.glob("none*"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "prediction.json").write_text("{"), "save the model again"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"cut"), "cannot be loaded"),
        (lambda folder: (folder / "prediction.json").write_text(
            read_description(folder).model_copy(update={"addition": "evil.module"}).model_dump_json()),
         "from outside this project"),
    ],
)  # fmt: skip
def test_a_damaged_model_is_one_line(folder: Path, compared: Result, tmp_path: Path, damage: Any, message: str) -> None:
    for path in (folder / "out" / "model").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damage(tmp_path)
    with pytest.raises(ModelFolderError, match=message):
        load_saved(tmp_path)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("--methods", "vanila"), SuiteError, "did you mean vanilla"),
        (("--metric", "f2"), TaskError, "unknown metric 'f2'"),
        (("--metric", "spearman"), TaskError, "not defined for 2 labels"),
        (("--label", "lable"), DataError, "no column 'lable'"),
        (("--row", "mixout"), CompareError, "--row: 'mixout' is none of"),
        (("--folds", "40"), CompareError, "--folds is 2 to 24"),
        (("--test", "missing.csv"), DataError, "cannot be read"),
        (("--cluster", "missing.yaml"), ClusterError, "missing.yaml"),
        (("--cluster", "tls://here:1", "--workers", "2"), ClusterError, "leave out one of the two"),
    ],
)
def test_a_comparison_that_cannot_be_done_is_one_line_before_anything_trains(
    folder: Path, tmp_path: Path, options: tuple[str, ...], error: type[Exception], message: str
) -> None:
    result = call("compare", folder / "data.csv", "--text", "message", "--max-length", "24", "--encoder",
                  folder / "tiny", "--out", tmp_path / "out", *options)  # fmt: skip
    assert isinstance(result.exception, error), result.exception
    assert message in str(result.exception)
    assert not list(tmp_path.glob("out/**/*.json"))


def test_exactly_one_file_of_enough_rows_is_needed(folder: Path, tmp_path: Path) -> None:
    assert "give one file of labelled rows" in call("compare").output
    (folder / "few.csv").write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(10)))
    assert "needs at least 30" in str(
        call("compare", "--data", folder / "few.csv", "--out", tmp_path / "out").exception
    )
    assert not (tmp_path / "out").exists(), "a request that cannot be answered leaves no folder"


def test_finished_runs_count_with_their_measured_seconds(
    folder: Path, compared: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder / "out", tmp_path / "out")
    counted: dict[str, float] = {}

    def spied(per_unit: dict[str, float], *rest: Any) -> Choice:
        counted.update(per_unit)
        return choose(per_unit, *rest)

    monkeypatch.setattr("runners.own_data.compare.choose", spied)
    again = call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", tmp_path / "out",
                 "--methods", "tfidf_logistic,frozen_logistic")  # fmt: skip
    assert again.exit_code == 0, again.output
    files = (tmp_path / "out" / "work" / "records" / "compare").glob("?" * 64 + ".json")
    records = [json.loads(path.read_text()) for path in files]
    first = {
        record["spec"]["method"]: record["cost"]["total_seconds"]
        for record in records
        if record["spec"]["task"] == "r1f1" and record["spec"]["n_train"] is None
    }
    assert min(counted.values()) > 0
    assert sorted(counted.values()) == sorted(first.values())


def test_a_requested_row_that_does_not_fit_into_the_time_is_one_line(folder: Path, tmp_path: Path) -> None:
    result = call("compare", folder / "data.csv", *COMMON, "--encoder", folder / "tiny", "--out", tmp_path / "out",
                  "--methods", "tfidf_logistic,vanilla", "--minutes", "0.1", "--row", "vanilla")  # fmt: skip
    assert isinstance(result.exception, CompareError), result.output
    assert "--row: 'vanilla' does not fit into the time; give more --minutes" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--data", "my texts.csv", "--minutes", "5"), "-P -m runners compare --data my texts.csv --minutes 5"),
        (("--minutes", "5", "--data=x.csv"), "-P -m runners compare --minutes 5 --data=x.csv"),
        (("--suite", "quick"), "-P -m runners all --suite quick"),
        ((), "-P -m runners all"),
    ],
)
def test_all_sh_compares_if_data_is_given(tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
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
