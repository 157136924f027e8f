"""A suite that takes over another suite's finished runs, with real (tiny) runs."""

import json
from pathlib import Path

import numpy
import pytest
from typer.testing import CliRunner

from amix.specs.store import Store
from helpers.toy_suite import save_encoder, write_suite
from results.loading.frame import load, pack
from results.loading.layout import Layout
from runners.cli.app import app
from runners.planning.plan import make_plan
from runners.planning.suite import SuiteError, read_suite
from runners.sweeping.reuse import reusable
from runners.sweeping.state import SweepState


def sweep(suite: Path, out: Path) -> str:
    result = CliRunner().invoke(
        app, ["sweep", "--suite", str(suite), "--out", str(out), "--workers", "0"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "tiny-bert")


@pytest.fixture
def first(encoder: Path, tmp_path: Path) -> Path:
    """A suite with two runs, both finished."""
    suite = write_suite(tmp_path, encoder, tasks="mini-cola", methods="vanilla", epochs=1)
    sweep(suite, tmp_path)
    return suite


def second(first: Path, methods: str, name: str = "tiny") -> Path:
    """Another suite with the same recipe, which reuses the first."""
    path = first.with_name("second.yaml")
    text = first.read_text().replace("name: tiny", "name: second").replace("[vanilla]", methods)
    path.write_text(f"{text}\nreuse: [{name}]\n")
    return path


def test_runs_with_the_same_key_are_taken_over_and_only_the_others_are_done(first: Path, tmp_path: Path) -> None:
    suite = second(first, "{plain: {method: vanilla}, mixout: {seeds: 1}}")
    plan = make_plan(read_suite(suite))
    assert [(run.label, run.spec.seed) for run in plan.runs] == [("plain", 1), ("mixout", 1), ("plain", 2)]
    assert "2 runs are taken over from tiny" in sweep(suite, tmp_path)
    results = load("second", Layout(tmp_path))
    assert results.problems == ()
    assert set(results.runs["status"]) == {"ok"}
    old, new = (Store(tmp_path / "records" / name) for name in ("tiny", "second"))
    for key in sorted(old.keys()):
        before, after = old.get(key), new.get(key)
        assert before is not None
        assert after is not None
        assert after["taken_from"] == "tiny"
        assert after["label"] == "plain"
        assert {**after, "suite": "", "label": "", "taken_from": "", "digest": ""} == {
            **before, "suite": "", "label": "", "taken_from": "", "digest": "",
        }  # fmt: skip
        original, copied = (numpy.load(store.path(key).with_suffix(".npz")) for store in (old, new))
        assert all(numpy.array_equal(original[name], copied[name]) for name in original)
    own = {run.spec.key for run in plan.runs} - set(old.keys())
    assert [("taken_from" in (new.get(key) or {})) for key in own] == [False]


def test_runs_in_an_archive_can_be_taken_over(first: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    pack("tiny", layout)
    for path in (tmp_path / "records" / "tiny").iterdir():
        path.unlink()
    plan = make_plan(read_suite(second(first, "[vanilla, mixout]")))
    state = SweepState.read(plan, layout)
    assert {run.record["label"] for run in state.reusable.values()} == {"vanilla"}
    assert state.done == {}
    assert state.todo.done == len(state.reusable) == 2
    assert state.statuses({}) == {"ok": 2, "missing": 2}


def test_an_edited_or_failed_record_is_not_taken_over(first: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "records" / "tiny")
    edited, failed = list(store.keys())
    content = store.get(edited)
    assert content is not None
    content["scores"]["last"]["test"]["matthews"] = 1.0
    store.path(edited).write_text(json.dumps(content))
    content = store.get(failed)
    assert content is not None
    store.put({name: value for name, value in content.items() if name != "digest"} | {"status": "failed"})
    plan = make_plan(read_suite(second(first, "[vanilla]")))
    assert reusable(plan, Layout(tmp_path), {}) == {}


def test_an_unknown_suite_is_named_in_the_error(first: Path, tmp_path: Path) -> None:
    plan = make_plan(read_suite(second(first, "[vanilla]", "tyni")))
    with pytest.raises(SuiteError, match="reuse: unknown suite 'tyni'; did you mean tiny"):
        reusable(plan, Layout(tmp_path), {})
