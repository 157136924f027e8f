"""Specs have stable keys; a store never exposes half a record."""

import json
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from amix.specs.run_spec import RunSpec
from amix.specs.store import Store, check_writable, digest, write_atomically

SPEC = RunSpec("sst2", 100, 1017, "vanilla", "minilm-l6", training={"betas": (0.9, 0.999)})


def record(spec: RunSpec = SPEC, **changes: object) -> dict[str, object]:
    return {"schema": 1, "key": spec.key, "status": "ok", **changes}


def test_key_is_stable_over_versions() -> None:
    assert SPEC.key == "a03bffae9208de63cc6570088ad0a8e67973ca35f76ff22a7a02d816c2c88892"


def test_key_changes_with_every_field() -> None:
    others = [
        replace(SPEC, task="cola"), replace(SPEC, n_train=None), replace(SPEC, seed=1), replace(SPEC, method="other"),
        replace(SPEC, encoder="other"), replace(SPEC, method_config={"p": 1}), replace(SPEC, method_source="a"),
        replace(SPEC, task_source="a"), replace(SPEC, training={}), replace(SPEC, subset="stratified"),
    ]  # fmt: skip
    assert len({SPEC.key, *(other.key for other in others)}) == len(others) + 1


def test_spec_survives_json() -> None:
    again = RunSpec(**json.loads(json.dumps(SPEC.as_dict())))
    assert again.key == SPEC.key


def test_a_stored_record_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    path = store.put(record(), {"test_predictions": numpy.arange(3)})
    assert store.get(SPEC.key) == record() | {"digest": digest(record())}
    assert list(store.keys()) == [SPEC.key]
    assert numpy.load(path.with_suffix(".npz"), allow_pickle=False)["test_predictions"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("status", "finished"), [("ok", True), ("diverged", True), ("failed", True), ("oom", False), ("accident", False)]
)
def test_an_accident_is_not_an_outcome(tmp_path: Path, status: str, finished: bool) -> None:
    store = Store(tmp_path)
    store.put(record(status=status))
    assert store.finished(SPEC.key) is finished


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "other"}'])
def test_a_broken_record_is_not_finished(tmp_path: Path, content: str) -> None:
    store = Store(tmp_path)
    store.path(SPEC.key).write_text(content)
    assert store.get(SPEC.key) is None
    assert not store.finished(SPEC.key)


def test_a_crash_while_writing_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def crash(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path], "no temporary file stays"


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [("ok", "accident", "ok"), ("diverged", "oom", "diverged"), ("failed", "oom", "oom"), ("ok", "failed", "failed")],
)
def test_an_accident_does_not_replace_a_good_record(tmp_path: Path, before: str, after: str, kept: str) -> None:
    store = Store(tmp_path)
    store.put(record(status=before), {"test_predictions": numpy.arange(3)})
    store.put(record(status=after))
    assert (store.get(SPEC.key) or {})["status"] == kept
    assert store.path(SPEC.key).with_suffix(".npz").exists() == (kept == before)


def test_a_folder_that_cannot_be_written_to_is_detected_before_the_work(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_writable(tmp_path / "file")
