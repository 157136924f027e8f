"""The contract that every registered method must keep, on three families of encoders and on a mean-pooled one."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from amix.data.rows import load_rows
from amix.models.saved_model import load_saved
from amix.specs.tasks import find_task
from amix.training import padding
from amix.training.method import Method
from amix.training.registry import find_method, methods
from amix.training.settings import make_config
from helpers.toy_encoders import FAMILIES, POOLED, ROWS, SHORT, Bench, subnormals_as_zero

METHODS = sorted(methods())
ENCODERS = (*FAMILIES, POOLED)

OWN_PASSES = [
    *(name for name in METHODS if find_method(name).loss is not Method.loss), "agwm", "lora", "prefix", "prompt"
]  # fmt: skip
"""Methods that compute their own loss, and some that change the model or have many stages."""

every_method = pytest.mark.parametrize("method", METHODS)
every_encoder = pytest.mark.parametrize("family", ENCODERS)


def on_one_of(families: Sequence[str]) -> list[tuple[str, str]]:
    """Every method with one of these encoders, and plain finetuning with all of them.

    For what depends on the method: what the encoder does wrong shows with plain finetuning.
    """
    in_turn = {(name, families[place % len(families)]) for place, name in enumerate(METHODS)}
    return sorted(in_turn | {("vanilla", family) for family in families})


ON_ONE_FAMILY = on_one_of(ENCODERS)
every_method_on_one_family = pytest.mark.parametrize(("method", "family"), ON_ONE_FAMILY)
every_plain_method = pytest.mark.parametrize(
    "method", [name for name in METHODS if find_method(name).info.plain_checkpoint]
)


def assert_the_loss_fell(record: dict[str, Any], method: str, before: float) -> None:
    """Along the curve, or, if the curve does not show the task's loss, below `before`, the loss of a constant guess."""
    curve = record["curve"]
    info = find_method(method).info
    by_curve = info.trains_by_steps and info.steps_on_task_loss
    first = curve[0]["train_loss"] if by_curve else 0.9 * before
    assert curve[-1]["train_loss"] < first


@pytest.mark.parametrize("method", OWN_PASSES)
def test_skipping_padding_changes_no_more_than_the_order_of_sums(
    bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads_padding = find_method(method).info.reads_padding
    runs = {}
    for what, worthwhile in (("computed", 0.0), ("skipped", 1.01)):
        monkeypatch.setattr(padding, "WORTHWHILE", worthwhile)
        runs[what] = bench.execute(method, POOLED, recipe=replace(SHORT, steps=3))
        assert runs[what][0]["environment"]["padding"] == ("computed" if reads_padding else what)
    (record, arrays), (skipped, others) = runs.values()
    losses, same = ([point["train_loss"] for point in one["curve"]] for one in (record, skipped))
    assert same == pytest.approx(losses, abs=1e-4)
    assert others["test_logits"] == pytest.approx(arrays["test_logits"], abs=1e-3)


@every_encoder
@every_method
def test_the_loss_falls_and_the_toy_task_is_learnt(bench: Bench, method: str, family: str) -> None:
    record, _ = bench.learnt(method, family)
    assert record["status"] == "ok", record["error"]["traceback"]
    assert_the_loss_fell(record, method, math.log(2))
    assert record["scores"]["last"]["test"]["accuracy"] > 0.9


def texts(bench: Bench) -> list[str]:
    sentences: list[str] = load_rows(find_task(bench.tasks["toy"]), "test.csv")["sentence"].tolist()
    return sentences


@every_plain_method
@pytest.mark.parametrize("family", FAMILIES)
def test_the_export_is_a_plain_checkpoint_with_the_same_logits(bench: Bench, method: str, family: str) -> None:
    _, arrays = bench.learnt(method, family)
    folder = bench.exported(method, family)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert linears(model) == linears_of_plain(bench.encoders[family])
    tokens = AutoTokenizer.from_pretrained(folder)(texts(bench), padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**tokens).logits
    numpy.testing.assert_allclose(logits.numpy(), arrays["test_logits"], atol=1e-5)
    assert model.config.id2label == {0: "negative", 1: "positive"}


def linears(model: nn.Module) -> set[str]:
    """Names of the linear layers."""
    return {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}


@cache
def linears_of_plain(encoder: str) -> set[str]:
    """Those of a plain model of this encoder."""
    return linears(AutoModelForSequenceClassification.from_pretrained(encoder))


@every_plain_method
def test_the_export_of_a_mean_pooled_model_contains_its_class(bench: Bench, method: str) -> None:
    from transformers import pipeline  # Takes two seconds, also of processes that do other tests.

    _, arrays = bench.learnt(method, POOLED)
    folder = bench.exported(method, POOLED)
    predictions = pipeline("text-classification", model=str(folder), trust_remote_code=True, truncation=True)(
        texts(bench), top_k=None, function_to_apply="none"
    )
    rows = [{prediction["label"]: prediction["score"] for prediction in row} for row in predictions]
    logits = [[row[name] for name in ("negative", "positive")] for row in rows]
    numpy.testing.assert_allclose(logits, arrays["test_logits"], atol=1e-5)
    with pytest.raises(ValueError, match="trust_remote_code"):
        AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=False)


@every_encoder
@every_method
def test_a_saved_model_has_the_runs_logits(bench: Bench, method: str, family: str) -> None:
    _, arrays = bench.learnt(method, family)
    saved = load_saved(bench.exported(method, family))
    numpy.testing.assert_allclose(saved.logits([(text,) for text in texts(bench)]), arrays["test_logits"], atol=1e-5)
    assert saved.description.labels == ["negative", "positive"]


@every_encoder
@pytest.mark.parametrize("method", [name for name in METHODS if not find_method(name).info.plain_checkpoint])
def test_an_export_that_is_no_plain_checkpoint_loads_as_its_readme_says(bench: Bench, method: str, family: str) -> None:
    _, arrays = bench.learnt(method, family)
    folder = bench.exported(method, family)
    lines = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert "amix" not in lines
    names: dict[str, Any] = {"folder": str(folder), "texts": texts(bench)}
    exec(lines, names)
    numpy.testing.assert_allclose(names["logits"].detach().numpy(), arrays["test_logits"], atol=1e-5)


@every_encoder
@pytest.mark.parametrize("method", [name for name in METHODS if find_method(name).info.null is not None])
def test_the_null_setting_is_plain_finetuning(
    bench: Bench, method: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_method(method).info.reads_padding:  # Then plain finetuning has to compute it as well.
        monkeypatch.setattr(padding, "WORTHWHILE", 0.0)
        _, expected = bench.execute("vanilla", family, settings={})
    else:
        _, expected = bench.short("vanilla", family)
    record, arrays = bench.execute(method, family, settings=find_method(method).info.null)
    assert record["status"] == "ok", record["error"]["traceback"]
    numpy.testing.assert_allclose(arrays["test_logits"], expected["test_logits"], rtol=0, atol=1e-7)


@every_method_on_one_family
def test_two_runs_are_equal_bit_for_bit(bench: Bench, method: str, family: str) -> None:
    first_record, first = bench.short(method, family)
    second_record, second = bench.execute(method, family)
    assert first_record["curve"] == second_record["curve"]
    assert set(first) == set(second)
    for name, array in first.items():
        assert numpy.array_equal(array, second[name]), name


@pytest.mark.parametrize(("method", "family"), on_one_of(["bert", POOLED]))
def test_regression_works_or_is_refused(bench: Bench, method: str, family: str) -> None:
    # Methods that keep the encoder's random matrices learn too little in two epochs.
    recipe = replace(SHORT, epochs=8, steps=48) if find_method(method).info.toy_epochs else SHORT
    with subnormals_as_zero():
        record, arrays = bench.execute(method, family, "toy-score", recipe=recipe)
    if find_method(method).info.regression:
        assert record["status"] == "ok", record["error"]["traceback"]
        assert arrays["test_logits"].shape == (120, 1)
        assert_the_loss_fell(record, method, 1.0)  # The variance of standardised labels.
    else:
        assert record["status"] == "failed"
        assert "not defined for regression" in record["error"]["message"]


@every_method_on_one_family
def test_the_cost_counts_passes_and_trained_parameters(bench: Bench, method: str, family: str) -> None:
    record, _ = bench.short(method, family)
    cost = record["cost"]
    if find_method(method).info.trains_by_steps:
        assert cost["forward_passes"] >= cost["optimizer_steps"] >= 12
        assert cost["backward_passes"] >= cost["optimizer_steps"]
    else:
        assert cost["forward_passes"] == cost["backward_passes"] == cost["optimizer_steps"] == 0
    assert 0 < cost["trainable_parameters"] <= cost["total_parameters"]
    assert cost["train_seconds"] > 0


@pytest.mark.parametrize(
    ("method", "family"), [(name, family) for name, family in ON_ONE_FAMILY if find_method(name).info.trains_by_steps]
)
def test_a_run_counts_the_passes_that_its_method_predicts(bench: Bench, method: str, family: str) -> None:
    (record, _), (plain, _) = bench.short(method, family), bench.short("vanilla", family)
    counted, unit = (
        run["cost"]["forward_passes"] + 2 * run["cost"]["backward_passes"] for run in (record, plain)
    )  # A backward pass takes twice the multiplications of a forward pass.
    kind = find_method(method)
    config = make_config(kind, record["spec"]["method_config"])
    predicted = kind(config).relative_passes(ROWS, SHORT)
    if kind.info.whole_passes:
        assert counted / unit == pytest.approx(predicted)
    else:
        # Parts of passes, and passes over single examples, are counted as whole ones: at most four times.
        assert predicted < counted / unit <= 4 * predicted
