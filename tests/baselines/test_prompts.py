"""Prompts and prefixes against peft's own models, and adapters against their formula."""

import copy
from typing import Any

import pytest
import torch
from peft import (
    PeftModelForFeatureExtraction,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
)
from torch import nn
from torch.nn import functional

from amix.models.loading import load_model
from amix.models.with_addition import EncoderWithAddition
from amix.specs.tasks import find_task
from amix.training.method import Method, MethodError
from baselines.parameter_efficient._prompts import PromptMethod
from baselines.parameter_efficient.adapter import Adapter
from baselines.parameter_efficient.p_tuning import PTuning
from baselines.parameter_efficient.prefix import PrefixTuning
from baselines.parameter_efficient.prompt import PromptTuning
from helpers.parity import golden_fit
from helpers.toy_encoders import FAMILIES, Bench

TOKENS = {"input_ids": torch.tensor([[2, 6, 8, 9, 3], [2, 7, 3, 0, 0]]),
          "attention_mask": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])}  # fmt: skip
COUNT = 4


def load(bench: Bench, family: str) -> Any:
    return load_model(bench.encoders[family], find_task("mini-rte"), 1).eval()


def prepared(method: Method, model: nn.Module) -> EncoderWithAddition:
    """The extended model, with learned vectors far from their initial values."""
    extended = method.prepare(model, golden_fit(max_length=24)).eval()
    assert isinstance(extended, EncoderWithAddition)
    with torch.no_grad():
        for number, parameter in enumerate(extended.addition.parameters()):
            parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(number))
    return extended


CASES = [
    ("prompt", "bert"), ("prompt", "roberta"), ("prompt", "deberta-v2"),
    ("p_tuning", "bert"), ("p_tuning", "roberta"), ("p_tuning", "deberta-v2"),
    ("prefix", "bert"), ("prefix", "roberta"),
]  # fmt: skip
METHODS: dict[str, tuple[type[PromptMethod], Any]] = {
    "prompt": (PromptTuning, PromptTuningConfig),
    "p_tuning": (PTuning, PromptEncoderConfig),
    "prefix": (PrefixTuning, PrefixTuningConfig),
}


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft reads it.
@pytest.mark.parametrize(("name", "family"), CASES)
def test_the_states_of_the_text_equal_those_of_peft(bench: Bench, name: str, family: str) -> None:
    kind, settings = METHODS[name]
    model = load(bench, family)
    body = copy.deepcopy(model.base_model)
    extended = prepared(kind(kind.Config(tokens=COUNT)), model)
    assert extended.addition.encoder is not None
    extra = {"encoder_hidden_size": 32} if name == "p_tuning" else {}
    reference = PeftModelForFeatureExtraction(body, settings(num_virtual_tokens=COUNT, **extra)).eval()
    reference.prompt_encoder["default"].load_state_dict(extended.addition.encoder.state_dict())
    expected = reference(**TOKENS).last_hidden_state[:, 0 if name == "prefix" else COUNT :]
    states = model.base_model(**TOKENS).last_hidden_state
    assert states.shape == (2, 5, 32)
    real = TOKENS["attention_mask"].bool()
    torch.testing.assert_close(states[real], expected[real], rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", METHODS)
def test_the_vectors_change_the_logits_and_get_gradients(bench: Bench, name: str, family: str) -> None:
    kind, _ = METHODS[name]
    before = load(bench, family)(**TOKENS).logits
    extended = prepared(kind(kind.Config(tokens=COUNT)), load(bench, family))
    logits = extended(**TOKENS).logits
    assert (logits - before).abs().max() > 1e-4
    logits.square().sum().backward()
    for parameter in extended.addition.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in extended.base_model.parameters())


def test_positions_projected_by_the_key_layer_do_not_change(bench: Bench) -> None:
    """DeBERTa-v3 shares the layer between tokens and relative positions."""
    model = load(bench, "deberta-v2")
    model.config.share_att_key = True
    shared = type(model)(model.config).eval()
    attention = shared.base_model.encoder.layer[0].attention.self
    assert attention.share_att_key
    extended = prepared(PrefixTuning(PrefixTuning.Config(tokens=COUNT)), shared)
    projected = []
    attention.key_proj.register_forward_hook(lambda module, args, output: projected.append((args[0], output)))
    extended(**TOKENS)
    tokens, *positions = projected
    assert tokens[1].shape[:2] == (2, COUNT + 5)
    assert positions
    for inputs, output in positions:
        plain = functional.linear(inputs, attention.key_proj.weight, attention.key_proj.bias)
        torch.testing.assert_close(output, plain)


def test_more_vectors_than_the_encoder_has_positions_for_are_refused(bench: Bench) -> None:
    method = PromptTuning(PromptTuning.Config(tokens=20))
    with pytest.raises(MethodError, match="more than the encoder's 40 positions"):
        method.prepare(load(bench, "bert"), golden_fit(max_length=24))


def test_adapters_start_near_the_identity(bench: Bench) -> None:
    model = load(bench, "bert")
    before = model(**TOKENS).logits
    extended = Adapter(Adapter.Config(bottleneck=8)).prepare(model, golden_fit()).eval()
    torch.testing.assert_close(extended(**TOKENS).logits, before, rtol=0, atol=1e-4)
    trained = {name for name, parameter in extended.classifier.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[-2] for name in trained} == {"LayerNorm", "classifier"}


@pytest.mark.parametrize("family", FAMILIES)
def test_adapters_act_after_attention_and_after_feed_forward(bench: Bench, family: str) -> None:
    model = load(bench, family)
    block = model.base_model.encoder.layer[0]
    reference = copy.deepcopy(block)
    extended = prepared(Adapter(Adapter.Config(bottleneck=8)), model)
    adapters, states = extended.addition, torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(3))
    assert len(adapters.places) == 4

    def adapted(number: int, hidden: torch.Tensor) -> torch.Tensor:
        inner = functional.linear(hidden, adapters.down[number].weight, adapters.down[number].bias)
        inner = functional.gelu(inner, approximate="tanh")
        return hidden + functional.linear(inner, adapters.up[number].weight, adapters.up[number].bias)

    wide = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(4))
    for number, part, inputs in ((0, "attention.output", states), (1, "output", wide)):
        live, plain = block.get_submodule(part), reference.get_submodule(part)
        expected = plain.LayerNorm(adapted(number, plain.dense(inputs)) + states)
        torch.testing.assert_close(live(inputs, states), expected)
