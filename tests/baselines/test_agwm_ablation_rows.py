"""The ablation's exploratory rows of AGWM keep the contract of methods, with the settings that the suite gives them."""

from typing import Any

import numpy
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from amix.data.rows import load_rows
from amix.specs.tasks import find_task
from amix.training.registry import find_method
from amix.training.settings import make_config
from helpers.toy_encoders import FAMILIES, POOLED, RECIPE, ROWS, SHORT, Bench
from runners.planning.suite import find_suite

LABELS = ("learned after", "start 0.9", "scalar logits")
ROW = {row.label: row for row in find_suite("ablation").methods if row.label in LABELS}
every_row = pytest.mark.parametrize("label", LABELS)


def settings(label: str) -> dict[str, Any]:
    """The suite's settings, with two splits of three epochs."""
    return {**ROW[label].config, "splits": 2, "search_epochs": 3}


def execute(bench: Bench, label: str, family: str, **more: Any) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    record, arrays = bench.execute("agwm", family, settings=settings(label) | more.pop("settings", {}), **more)
    assert record["status"] == "ok", record["error"]["traceback"]
    return record, arrays


@every_row
def test_the_suite_marks_the_row_as_exploratory(label: str) -> None:
    assert ROW[label].exploratory
    assert list(ROW) == list(LABELS)


# The rows differ in the attention, which does not depend on the encoder; agwm itself is tested on every one.
@pytest.mark.parametrize(("label", "family"), [*zip(LABELS, FAMILIES, strict=True), (LABELS[0], POOLED)])
def test_the_toy_task_is_learnt_and_the_export_has_the_runs_logits(bench: Bench, label: str, family: str) -> None:
    folder = bench.folder / "exports" / f"{label}-{family}".replace(" ", "-")
    record, arrays = execute(bench, label, family, recipe=RECIPE, export=str(folder))
    assert record["scores"]["last"]["test"]["accuracy"] > 0.9
    if family == POOLED:
        return
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    texts = load_rows(find_task(bench.tasks["toy"]), "test.csv")["sentence"].tolist()
    logits = model(**AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")).logits
    numpy.testing.assert_allclose(logits.detach().numpy(), arrays["test_logits"], atol=1e-5)


@every_row
def test_two_runs_are_equal_bit_for_bit_with_the_predicted_passes(bench: Bench, label: str) -> None:
    (first, arrays), (second, repeated) = (execute(bench, label, "bert") for _ in range(2))
    assert first["curve"] == second["curve"]
    assert set(arrays) == set(repeated)
    for name, values in arrays.items():
        assert numpy.array_equal(values, repeated[name]), name
    plain = bench.short("vanilla", "bert")[0]["cost"]
    method = find_method("agwm")
    predicted = method(make_config(method, settings(label))).relative_passes(ROWS, SHORT)
    assert first["cost"]["forward_passes"] / plain["forward_passes"] == pytest.approx(predicted)
    assert first["cost"]["backward_passes"] / plain["backward_passes"] == pytest.approx(predicted)


@every_row
def test_regression_works(bench: Bench, label: str) -> None:
    record, arrays = execute(bench, label, "bert", task="toy-score")
    assert arrays["test_logits"].shape == (120, 1)
    assert record["curve"][-1]["train_loss"] < 1.0


@every_row
def test_without_splits_it_is_plain_finetuning(bench: Bench, label: str) -> None:
    _, arrays = execute(bench, label, "bert", settings={"splits": 0})
    numpy.testing.assert_array_equal(arrays["test_logits"], bench.short("vanilla", "bert")[1]["test_logits"])
