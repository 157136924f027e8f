"""A model as ONNX: the same logits in onnxruntime, and a one-line error if packages are missing."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from amix.models import onnx_export
from amix.models.export import save
from amix.models.loading import load_model, load_tokenizer
from amix.models.onnx_export import OnnxError, check_packages, save_onnx
from amix.models.saved_model import load_saved
from amix.specs.tasks import find_task
from helpers.toy_encoders import POOLED, Bench

THERE = all(importlib.util.find_spec(name) for name in onnx_export.PACKAGES)


@pytest.mark.skipif(not THERE, reason="onnx, onnxscript and onnxruntime are not installed: pip install 'amix[onnx]'")
@pytest.mark.parametrize("family", ["bert", POOLED])
@pytest.mark.parametrize("task", ["mini-cola", "mini-rte"])
def test_onnxruntime_gives_the_same_logits(bench: Bench, tmp_path: Path, family: str, task: str) -> None:
    import onnxruntime

    name = bench.encoders[family]
    save(load_model(name, find_task(task), 1), load_tokenizer(name), find_task(task), tmp_path, max_length=24)
    saved = load_saved(tmp_path)
    path = save_onnx(saved, tmp_path)
    session = onnxruntime.InferenceSession(str(path))
    texts = [("the cat sings",) * len(saved.description.text), ("one lovely tree",) * len(saved.description.text)]
    tokens = saved.tokenizer(*map(list, zip(*texts, strict=True)), padding=True, return_tensors="np")
    found = session.run(["logits"], {one.name: tokens[one.name] for one in session.get_inputs()})[0]
    assert found == pytest.approx(saved.logits(texts), abs=1e-4)


def test_missing_packages_are_one_line_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OnnxError, match=r"not installed \(onnx, onnxscript, onnxruntime\): pip install onnx"):
        check_packages()


@pytest.mark.skipif(not THERE, reason="onnx, onnxscript and onnxruntime are not installed: pip install 'amix[onnx]'")
def test_other_logits_leave_no_file(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, task = bench.encoders[POOLED], find_task("mini-cola")
    save(load_model(name, task, 1), load_tokenizer(name), task, tmp_path, max_length=24)
    saved: Any = load_saved(tmp_path)
    monkeypatch.setattr(onnx_export, "TOLERANCE", -1.0)
    with pytest.raises(OnnxError, match="differ from the model's"):
        save_onnx(saved, tmp_path)
    assert not (tmp_path / onnx_export.FILE).exists()
