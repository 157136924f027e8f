"""A finished run as a folder that plain transformers loads or as ONNX, and what exporting must not change."""

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner, Result

from amix.models import onnx_export
from amix.models.export import save
from amix.models.loading import load_model, load_tokenizer
from amix.models.model_folder import read_description
from amix.models.onnx_export import OnnxError, check_packages, save_onnx
from amix.models.saved_model import load_saved
from amix.specs.tasks import find_task
from baselines.parameter_efficient.lora import LoRA
from helpers.parity import golden_fit
from helpers.toy_encoders import POOLED, Bench
from helpers.toy_suite import save_encoder, write_suite
from results.analysis.probabilities import run_probabilities
from results.loading.frame import load
from results.loading.layout import Layout
from runners.cli import app

THERE = all(importlib.util.find_spec(name) for name in onnx_export.PACKAGES)
TOKENS = {"input_ids": torch.tensor([[2, 6, 8, 9, 3]]), "attention_mask": torch.ones(1, 5, dtype=torch.int64)}


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app.app, arguments, env={"COLUMNS": "200"})


def test_label_names_and_tokenizer_are_saved(bench: Bench, tmp_path: Path) -> None:
    task, name = find_task("mini-rte"), bench.encoders["bert"]
    save(load_model(name, task, 1), load_tokenizer(name), task, tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert model.config.id2label == {0: "entailment", 1: "not_entailment"}
    assert (
        AutoTokenizer.from_pretrained(tmp_path)("the cat")["input_ids"] == load_tokenizer(name)("the cat")["input_ids"]
    )
    page = (tmp_path / "README.md").read_text()
    assert "entailment, not_entailment" in page
    assert "AutoModelForSequenceClassification.from_pretrained" in page


def test_a_regression_model_has_one_output(bench: Bench, tmp_path: Path) -> None:
    task, name = find_task("mini-stsb"), bench.encoders["bert"]
    save(load_model(name, task, 1), load_tokenizer(name), task, tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert (model.config.num_labels, model.config.problem_type) == (1, "regression")


def test_anything_but_a_hugging_face_model_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="export gave a Linear, not a Hugging Face model"):
        save(nn.Linear(2, 2), load_tokenizer(bench.encoders["bert"]), find_task("mini-rte"), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_merging_adapters_does_not_change_the_training_model(bench: Bench, family: str) -> None:
    method, fit = LoRA(), golden_fit()
    model = method.prepare(load_model(bench.encoders[family], find_task("mini-rte"), 1), fit).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits = model(**TOKENS).logits
    merged = method.export(model, fit).eval()
    torch.testing.assert_close(merged(**TOKENS).logits, logits, rtol=0, atol=1e-5)
    assert not any("lora" in name for name in merged.state_dict())
    after = model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


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


def test_an_exported_run_has_the_temperature_of_the_table_of_probabilities(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, save_encoder(tmp_path / "encoder"), "mini-cola, mini-stsb", "60", "vanilla")
    out = ("--out", str(tmp_path / "out"))
    assert call("sweep", "--suite", str(suite), "--workers", "0", *out).exit_code == 0
    frame = run_probabilities(load("tiny", Layout(tmp_path / "out")), "60")
    for row in frame.itertuples():
        folder, one = tmp_path / f"seed-{row.seed}", ("--task", row.task, "--method", row.label, "--size", "60")
        done = call("export", str(folder), "--suite", str(suite), *one, "--seed", str(row.seed), *out)
        assert done.exit_code == 0, done.output
        saved = load_saved(folder)
        assert saved.description.temperature == pytest.approx(row.temperature, rel=1e-9)
        assert saved.description.calibrated_on == "the run's dev set (10 texts)"
        card = (folder / "README.md").read_text()
        assert f"temperature {row.temperature:.4g}, which was fitted on the run's dev set (10 texts)" in card
        logits = numpy.array([[2.0, -1.0]])
        assert saved.probabilities(logits)[0, 0] == pytest.approx(1 / (1 + math.exp(-3 / row.temperature)))
    assert len(frame) == 2
    assert (frame["temperature"] != 1.0).all()


@pytest.mark.parametrize(
    ("task", "size", "said"),
    [("mini-cola", "5", "not calibrated: the run had no dev set"), ("mini-stsb", "60", "the prediction is a number")],
)
def test_a_model_without_a_fitted_temperature_says_so(tmp_path: Path, task: str, size: str, said: str) -> None:
    encoder, folder = save_encoder(tmp_path / "encoder"), tmp_path / "model"
    one = ("--task", task, "--method", "vanilla", "--seed", "1", "--size", size, "--encoder", str(encoder))
    short = ("--training", "epochs=1", "--training", "max_length=32", "--out", str(tmp_path / "out"))
    done = call("export", str(folder), *one, *short)
    assert done.exit_code == 0, done.output
    description = read_description(folder)
    assert (description.temperature, description.calibrated) == (1.0, False)
    assert said in (folder / "README.md").read_text()
    columns = ",".join(description.text)
    (tmp_path / "new.csv").write_text(f"{columns}\n{columns}\n")
    done = call("predict", str(folder), str(tmp_path / "new.csv"), "--out", str(tmp_path / "predicted.csv"))
    assert done.exit_code == 0, done.output
    assert ("the probabilities are not calibrated" in done.output) == (task == "mini-cola")
