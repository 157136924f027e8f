"""The possible tuners of the installed peft train, repeat bit for bit and export a plain checkpoint."""

import re
from typing import Any

import numpy
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from amix.models.loading import load_model
from amix.training.method import MethodError
from baselines.parameter_efficient.loraplus import LoRAPlus
from baselines.parameter_efficient.peft import POSSIBLE, REFUSED, STARTS_REFUSED, Peft, configurations
from helpers.parity import golden_fit
from helpers.toy_encoders import SHORT, Bench
from results.loading.layout import ROOT
from tests.baselines.test_contract import linears, linears_of_plain, texts

STARTS = ("gaussian", "mica", "olora", "orthogonal", "pissa")
"""Initialisations of lora (`init_lora_weights=...`) that pass the same tests."""
FOR_WIDTH_32: dict[str, tuple[str, ...]] = {
    "c3a": ("block_size=8",),
    "fourierft": ("n_frequency=64",),
    "miss": ("r=8",),
    "road": ("group_size=8",),
    "shira": ("r=4",),
    "vblora": ("vector_length=8", "num_vectors=16", "topk=2"),
    "waveft": ("n_frequency=64",),
}
"""Options with which tuners fit matrices of 32 x 32; peft's defaults are for larger ones."""


def test_every_tuner_of_the_installed_peft_is_possible_or_refused_with_a_reason() -> None:
    from peft import PeftType

    assert sorted(configurations()) == list(POSSIBLE)
    assert {kind.value.lower() for kind in PeftType} == {*POSSIBLE, *REFUSED}


def test_the_readme_lists_which_tuners_are_possible_and_why_others_are_not() -> None:
    text = (ROOT / "baselines" / "README.md").read_text(encoding="utf-8").partition("\n## The tuners of peft\n")[2]
    possible, _, refused = text.partition("The others are refused:")
    for name in (*POSSIBLE, *STARTS):
        assert f"`{name}`" in possible, name
    reasons = REFUSED | {f"init_lora_weights={name}": why for name, why in STARTS_REFUSED.items()}
    assert dict(re.findall(r"^\| `(\S+)` \| (.+) \|$", refused, flags=re.MULTILINE)) == reasons


def check(bench: Bench, settings: dict[str, Any], folder: str) -> None:
    runs = [
        bench.execute("peft", "bert", settings=settings | {"lr": 2e-2}, recipe=SHORT, **extra)
        for extra in ({"export": folder}, {})
    ]
    for record, _ in runs:
        assert record["status"] == "ok", record["error"]["traceback"]
    (record, arrays), (second_record, second_arrays) = runs
    assert record["curve"] == second_record["curve"]
    assert numpy.array_equal(arrays["test_logits"], second_arrays["test_logits"])
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    assert linears(model) == linears_of_plain(bench.encoders["bert"])
    tokens = AutoTokenizer.from_pretrained(folder)(texts(bench), padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**tokens).logits
    numpy.testing.assert_allclose(logits.numpy(), arrays["test_logits"], atol=1e-5)
    changed = [
        name
        for name, weight in load_model(bench.encoders["bert"], golden_fit().task, 1).named_parameters()
        if not torch.equal(weight, model.get_parameter(name)) and "classifier" not in name
    ]
    assert changed, "no weight of the body was trained"


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # frod, once in a process.
@pytest.mark.filterwarnings("ignore:Failed to load the CUDA extension")  # boft computes the same without it.
@pytest.mark.filterwarnings("ignore:Setting boft_n_butterfly_factor to 1")
@pytest.mark.parametrize("tuner", POSSIBLE)
def test_the_tuner_trains_repeats_and_exports(bench: Bench, tuner: str) -> None:
    settings = {"tuner": tuner, "options": FOR_WIDTH_32.get(tuner, ())}
    check(bench, settings, str(bench.folder / "tuners" / tuner))


@pytest.mark.parametrize("start", STARTS)
def test_the_initialisation_of_lora_trains_repeats_and_exports(bench: Bench, start: str) -> None:
    check(bench, {"options": (f"init_lora_weights={start}",)}, str(bench.folder / "starts" / start))


@pytest.mark.parametrize("tuner", REFUSED)
def test_an_impossible_tuner_is_refused_with_the_reason(tuner: str) -> None:
    with pytest.raises(MethodError, match=f"'{tuner}' is not possible here: {REFUSED[tuner][:20]}"):
        Peft.Config(tuner=tuner)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *(({"options": (f"init_lora_weights={start}",)}, f"{start} is not possible") for start in STARTS_REFUSED),
        ({"tuner": "adamss", "options": ("use_asa=true",)}, "changes at every step"),
        ({"tuner": "loar"}, "no 'loar'; did you mean lora"),
        ({"options": ("lora_alhpa=3",)}, "no option 'lora_alhpa'; did you mean lora_alpha"),
    ],
)
def test_settings_that_would_fail_silently_are_refused(bench: Bench, settings: dict[str, Any], message: str) -> None:
    model = load_model(bench.encoders["bert"], golden_fit().task, 1)
    with pytest.raises(MethodError, match=message):
        Peft(Peft.Config(**settings)).prepare(model, golden_fit())


def test_an_option_without_a_value_is_refused() -> None:
    with pytest.raises(MethodError, match="'r' is not of the form key=value"):
        Peft.Config(options=("r",))


def test_only_the_second_factor_has_the_larger_rate(bench: Bench) -> None:
    fit = golden_fit()
    method = LoRAPlus(LoRAPlus.Config(lr=1e-4, ratio=16.0))
    model = method.prepare(load_model(bench.encoders["bert"], fit.task, 1), fit)
    rates = {id(p): group["lr"] for group in method.param_groups(model, fit) for p in group["params"]}
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert len(rates) == len(trained)
    for name, parameter in trained.items():
        assert rates[id(parameter)] == pytest.approx(1.6e-3 if "lora_B" in name else 1e-4), name
