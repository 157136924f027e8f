"""Records become a frame; whatever cannot be used is reported and left out, never silently."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amix.specs.run_plan import PlanError
from amix.specs.store import digest
from helpers import synthetic_records
from results.loading.frame import load, pack
from results.loading.layout import Layout
from results.tabulating.collect import make_tables

ROOT = Path(__file__).resolve().parents[2]
TOY = synthetic_records.Suite()


def path_of(
    layout: Layout, suite: synthetic_records.Suite, method: str = "agwm", task: str = "rte", seed: int = 2
) -> Path:
    return layout.records / suite.name / f"{suite.spec(method, task, suite.sizes[0], seed).key}.json"


def changed(path: Path, signed: bool = True, **content: Any) -> None:
    """Change a record in place; signed: with a matching digest, as another version of the suite would write it."""
    record = json.loads(path.read_text()) | content
    path.write_text(json.dumps(record | ({"digest": digest(record)} if signed else {})))


def test_one_row_per_planned_run_in_points(tmp_path: Path) -> None:
    results = load("toy", synthetic_records.write(TOY, tmp_path))
    assert len(results.runs) == 3 * 4 * 6
    assert results.problems == ()
    row = results.runs[results.runs["key"] == TOY.spec("agwm", "rte", 100, 2).key].iloc[0]
    assert row["score"] == pytest.approx(synthetic_records.score(TOY, "agwm", "rte", 100, 2))
    assert row["majority"] == pytest.approx(52.7)
    assert row["passes"] == (row["forward_passes"] + 2 * row["backward_passes"]) / 3 == 120


def test_a_failed_run_scores_as_the_majority_class_and_an_accident_has_no_score(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(
        outcomes={("lora", "rte", 1): "diverged", ("lora", "rte", 2): "failed", ("lora", "rte", 3): "oom"},
        left_out=(("lora", "rte", 4),),
    )
    layout = synthetic_records.write(suite, tmp_path)
    early = path_of(layout, suite, "lora", "rte", 2)
    changed(early, data={}, cost={})  # Failed before reading its data; other runs have the majority score.
    runs = load("toy", layout).runs
    runs = runs[(runs["label"] == "lora") & (runs["task"] == "rte")].set_index("seed")
    assert runs["status"].tolist() == ["diverged", "failed", "oom", "missing", "ok", "ok"]
    assert runs["score"].tolist()[:2] == pytest.approx([52.7, 52.7])
    assert runs["score"].isna().tolist() == [False, False, True, True, False, False]
    assert runs["error"][1] == "FloatingPointError: loss is nan at step 7"


def test_selection_on_dev_gives_another_score(tmp_path: Path) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    path = path_of(layout, TOY)
    scores = json.loads(path.read_text())["scores"]
    scores["best_dev"]["test"]["accuracy"] = 0.75
    changed(path, scores=scores)
    key = path.stem
    by_last, by_dev = (load("toy", layout, rule).runs.set_index("key")["score"][key] for rule in ("last", "best_dev"))
    assert by_dev == pytest.approx(75)
    assert by_last != by_dev


def test_a_tuning_suite_is_scored_on_dev_and_has_no_test_score(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(split="dev")
    results = load("toy", synthetic_records.write(suite, tmp_path))
    assert results.problems == ()
    score = results.runs.set_index("key")["score"][suite.spec("agwm", "rte", 100, 2).key]
    assert score == pytest.approx(synthetic_records.score(suite, "agwm", "rte", 100, 2) + 0.5)
    table = make_tables(results)[0]
    assert table.caption.startswith("Dev score × 100")


def edit_score(path: Path) -> None:
    scores = json.loads(path.read_text())["scores"]
    scores["last"]["test"]["accuracy"] += 0.01
    changed(path, signed=False, scores=scores)


def edit_spec(path: Path) -> None:
    changed(path, spec=json.loads(path.read_text())["spec"] | {"seed": 3})


def add_copy(path: Path) -> None:
    path.with_name("f" * 64 + ".json").write_text(path.read_text())


def other_setting(path: Path) -> None:
    record = json.loads(path.read_text())
    spec = TOY.spec("agwm", "rte", 500, 2)
    record |= {"spec": spec.as_dict(), "key": spec.key}
    path.with_name(f"{spec.key}.json").write_text(json.dumps(record | {"digest": digest(record)}))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (edit_score, "its digest is not that of its content"),
        (edit_spec, "its key is not the hash of its spec"),
        (lambda path: path.write_text(path.read_text()[:500]), "is not JSON, perhaps cut short"),
        (lambda path: path.write_text(""), "is not JSON"),
        (lambda path: path.write_text("[1, 2]"), "is not a record"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "cannot be read"),
        (lambda path: changed(path, schema=7), "has schema 7, and this version reads 1"),
        (lambda path: changed(path, suite="other"), "belongs to suite 'other'"),
        (lambda path: changed(path, status="splendid"), "unknown status 'splendid'"),
        (lambda path: changed(path, scores={}), "it holds no scores"),
        (
            lambda path: changed(path, scores={"last": {"test": {"accuracy": 71.0}}}),
            "is 71.0, not a number from -1 to 1",
        ),
        (lambda path: changed(path, scores={"last": {"test": {"accuracy": "0.7"}}}), "is '0.7', not a number"),
        (lambda path: changed(path, scores={"last": {"test": {"f1": 0.7}}}), "holds no last test score"),
        (lambda path: changed(path, scores={"last": 0.7}), "holds no last test score"),
        (lambda path: changed(path, scores=[0.7]), "its scores block is not a JSON object"),
        (lambda path: changed(path, cost={"train_seconds": "long"}), "its cost 'train_seconds' is not a number"),
        (lambda path: changed(path, cost=3), "its cost block is not a JSON object"),
        (lambda path: changed(path, data=3), "its data block is not a JSON object"),
        (lambda path: changed(path, error="nan"), "its error block is not a JSON object"),
        (lambda path: changed(path, environment=[1]), "its environment block is not a JSON object"),
        (lambda path: changed(path, data={"majority": {"accuracy": "half"}}), "its majority score accuracy is 'half'"),
        (lambda path: changed(path, data={"n_train": True}), "its n_train in data is 'True'"),
        (lambda path: changed(path, data={"n_dev": 5.0}), "its n_dev in data is '5.0'"),
        (lambda path: changed(path, data={"n_test": -1}), "its n_test in data is '-1'"),
        (lambda path: changed(path, data={"label_counts": {"a": "3"}}), "its label_counts in data is an unexpected"),
        (lambda path: changed(path, data={"out_of_domain": {"imdb": 3}}), "its out_of_domain in data is an unexpected"),
        (lambda path: changed(path, environment={"git_dirty": 1}), "its git_dirty in environment is '1'"),
        (lambda path: changed(path, environment={"packages": ["torch"]}), "its packages in environment is an"),
        (lambda path: changed(path, label=3), "its label is '3'"),
        (lambda path: changed(path, corrections=[None]), "its corrections is an unexpected list"),
        (lambda path: changed(path, curve={"a": 1}), "its curve is not a list of JSON objects"),
        (lambda path: changed(path, curve=[[]]), "its curve is not a list of JSON objects"),
        (lambda path: changed(path, curve=[{"step": 1}, {"step": None}]), "its step in curve is 'None'"),
        (lambda path: changed(path, curve=[{"train_loss": float("nan")}]), "its train_loss in curve is 'nan'"),
        (lambda path: changed(path, curve=[{"train_loss": 10**400}]), "is a number of hundreds of digits"),
        (lambda path: changed(path, curve=[{"dev": {"f1": True}}]), "its dev in curve is an unexpected JSON object"),
        (add_copy, "holds the record of another run"),
        (other_setting, "is not in the plan"),
    ],
)
def test_a_bad_record_is_reported_and_left_out(tmp_path: Path, damage: Callable[[Path], None], reason: str) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    path = path_of(layout, TOY)
    before = {file.name for file in path.parent.iterdir()}
    damage(path)
    results = load("toy", layout)
    added = {file.name for file in path.parent.iterdir()} - before
    assert len(results.problems) == 1
    assert reason in str(results.problems[0])
    assert results.problems[0].source == (added.pop() if added else path.name)
    statuses = results.runs["status"].value_counts().to_dict()
    assert statuses == ({"ok": 72} if path.read_text(errors="replace") and reason in KEPT else {"ok": 71, "missing": 1})


KEPT = ("holds the record of another run", "is not in the plan")
"""Problems with an additional file, which do not affect the existing record."""


def test_the_archive_alone_gives_the_same_results(tmp_path: Path) -> None:
    suite = synthetic_records.Suite(predictions=True)
    layout = synthetic_records.write(suite, tmp_path)
    before = load("toy", layout)
    archive = pack("toy", layout)
    content = archive.read_bytes()
    assert pack("toy", layout).read_bytes() == content
    for file in (layout.records / "toy").iterdir():
        file.unlink()
    (layout.records / "toy").rmdir()
    after = load("toy", layout)
    assert after.runs.equals(before.runs)
    assert after.plan == before.plan
    assert set(after.predictions) == set(before.predictions)
    assert len(after.predictions) == 72
    assert pack("toy", layout).read_bytes() == content


def test_files_and_archive_are_merged(tmp_path: Path) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    first, second = path_of(layout, TOY, seed=1), path_of(layout, TOY, seed=2)
    held_back = first.read_text()
    first.unlink()
    pack("toy", layout)
    first.write_text(held_back)
    second.unlink()
    results = load("toy", layout)
    assert results.problems == ()
    assert (results.runs["status"] == "ok").all()


def test_two_records_of_one_run_with_different_scores_are_reported(tmp_path: Path) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    pack("toy", layout)
    path = path_of(layout, TOY)
    changed(path, scores={"last": {"dev": {"accuracy": 0.5}, "test": {"accuracy": 0.5}}})
    results = load("toy", layout)
    assert "is a second record of the same run" in str(results.problems[0])
    assert results.runs.set_index("key")["score"][path.stem] == pytest.approx(50)


def test_the_error_for_a_suite_without_records_says_what_to_do(tmp_path: Path) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    with pytest.raises(PlanError, match=r"suites there: toy\); run it with: python -m runners sweep --suite toi"):
        load("toi", layout)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 9}, "has schema 9"),
        ({"suite": "other"}, "belongs to suite 'other'"),
        ({"tasks": None}, "cannot be used"),
        ({"protocol": {}}, "the reference '' is none of vanilla, agwm"),
        ({"protocol": {"reference": "vanilla", "split": "train"}}, "split: unknown 'train'; known: test, dev"),
        ({"sizes": 5}, "sizes: a list is needed, found 5"),
        ({"runs": [5]}, "runs: expected 'name: value' pairs"),
        ({"run": []}, "unknown field 'run'; did you mean runs"),
        ({"protocol": {"reference": "vanilla", "looks": [3, 2]}}, "protocol: looks: rising numbers of seeds"),
        ({"protocol": {"reference": "adam"}}, "the reference 'adam' is none of vanilla, agwm"),
    ],
)
def test_the_error_for_an_unusable_plan_says_why(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    path = layout.plan("toy")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(PlanError, match=words):
        load("toy", layout)


def test_a_truncated_plan_is_reported(tmp_path: Path) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    layout.plan("toy").write_text('{"schema": 1')
    with pytest.raises(PlanError, match="the plan of suite 'toy' cannot be read"):
        load("toy", layout)


def test_a_broken_archive_is_reported_and_the_files_still_count(tmp_path: Path) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    layout.archive("toy").write_bytes(b"PAR1 and then nothing")
    results = load("toy", layout)
    assert [problem.source for problem in results.problems] == ["toy.parquet"]
    assert (results.runs["status"] == "ok").all()


def test_the_whole_train_split_is_a_size_like_any_other(tmp_path: Path) -> None:
    results = load("toy", synthetic_records.write(synthetic_records.Suite(sizes=(100, None)), tmp_path))
    assert results.plan.sizes == ("100", "full")
    assert results.runs["size"].value_counts().to_dict() == {"100": 72, "full": 72}
    assert not math.isnan(results.runs["score"].sum())


def test_results_and_figures_never_import_torch() -> None:
    modules = "results.tabulating.collect, paper_figures.make, paper_figures.page.report"
    heavy = "'torch', 'transformers', 'sklearn', 'datasets'"
    code = f"import sys, {modules}; print([name for name in ({heavy}) if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
