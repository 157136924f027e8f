"""Runs that saw other examples are reported and left out; a smaller copy of the data gets a footnote."""

import json
from pathlib import Path
from typing import Any

import pytest

from amix.specs.store import digest
from helpers import synthetic_records
from results.loading.frame import load
from results.loading.layout import Layout
from results.loading.wording import metric_words, score_words
from results.tabulating.main import main_table

TOY = synthetic_records.Suite()


def with_data(layout: Layout, method: str, task: str, seed: int, **content: Any) -> Path:
    path = layout.records / TOY.name / f"{TOY.spec(method, task, TOY.sizes[0], seed).key}.json"
    record = json.loads(path.read_text())
    record["data"] |= content
    path.write_text(json.dumps(record | {"digest": digest(record)}))
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [({"ids_sha256": "1" * 64}, "saw other training examples"), ({"n_test": 301}, "test examples instead of")],
)
def test_a_run_on_other_examples_is_reported_and_left_out(tmp_path: Path, content: dict[str, Any], words: str) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    path = with_data(layout, TOY.methods[0], "rte", 2, **content)
    results = load(TOY.name, layout)
    (problem,) = results.problems
    assert problem.source == path.name
    assert words in problem.reason
    assert results.runs.loc[results.runs["status"] == "missing", "key"].tolist() == [path.stem]


def test_a_smaller_copy_of_the_data_is_a_footnote(tmp_path: Path) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    plan = json.loads(layout.plan(TOY.name).read_text())
    plan["tasks"]["rte"]["official_rows"] = [2490, 1277]
    plan["tasks"]["cola"]["official_rows"] = [8551, 300]
    layout.plan(TOY.name).write_text(json.dumps(plan))
    for method in TOY.methods:
        for seed in TOY.seeds:
            with_data(layout, method, "rte", seed, n_pool=1000)
            with_data(layout, method, "cola", seed, n_pool=8551)
    notes = {column.header: column.notes for column in main_table(load(TOY.name, layout), "100").columns}
    assert notes["RTE"] == (
        "tested on 300 of the 1,277 official validation examples; "
        "training subsets drawn from 1,000 of the 2,490 official examples",
    )
    assert notes["CoLA"] == ()


def test_warnings_about_a_users_data_become_footnotes(tmp_path: Path) -> None:
    layout = synthetic_records.write(TOY, tmp_path)
    task, other = TOY.tasks[:2]
    findings = [
        {"severity": "warning", "about": "test in train", "said": "3 of 60 texts are in train too"},
        {"severity": "note", "about": "rows", "said": "60 rows"},
        "nonsense",
    ]
    with_data(layout, TOY.methods[0], task, TOY.seeds[0], findings=findings)
    with_data(layout, TOY.methods[0], other, TOY.seeds[0], findings=7)
    tasks = load(TOY.name, layout).plan.tasks
    assert "3 of 60 texts are in train too" in tasks[task].footnote
    assert "60 rows" not in tasks[task].footnote.replace("3 of 60 texts", "")
    assert "train too" not in tasks[other].footnote


def test_f1_names_its_class_and_an_undefined_score_is_a_word() -> None:
    assert metric_words("f1", "spam") == "F1 (spam)"
    assert metric_words("f1") == "F1"
    assert metric_words("accuracy", "spam") == "accuracy"
    assert score_words("f1", None) == "undefined"
    assert score_words("f1", 0.5) == "50.0"
    assert score_words("mae", 1234.56) == "1235"
