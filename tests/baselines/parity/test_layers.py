"""The parameters that partially frozen methods train, against the official codes."""

import numpy
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, DistilBertConfig

from amix.models.architecture import head_names
from amix.training.method import Method, MethodError
from baselines.layers.linear_probe import LinearProbe
from baselines.layers.topk_layers import TopKLayers
from baselines.parameter_efficient.bitfit import BitFit
from helpers.official_cases import Case, Parity, cases
from helpers.parity import LAYERS, golden_fit, tiny_classifier


def case_model(case: Case) -> nn.Module:
    """A model of the case's type and number of blocks."""
    return tiny_classifier(case.hyperparameters["model_type"], case.hyperparameters["layers"])


def differing_flags(prepared: nn.Module, case: Case, trainable: numpy.ndarray) -> int:
    """Number of parameters that train here and not in the case, or the other way round."""
    flags = {name: parameter.requires_grad for name, parameter in prepared.named_parameters()}
    expected = dict(zip(case.arrays["names"].tolist(), trainable.tolist(), strict=True))
    assert set(flags) == set(expected)
    return sum(flags[name] != flag for name, flag in expected.items())


@pytest.mark.parametrize("variant", ["houlsby", "released"])
@pytest.mark.parametrize("name", cases("topk_*"))
def test_topk_layers_trains_the_official_parameters(name: str, variant: str, record_parity: Parity) -> None:
    case = Case(name)
    for k, expected in zip(case.arrays[f"{variant}_k"], case.arrays[f"{variant}_trainable"], strict=True):
        released = variant == "released"  # Its k is the number of the highest frozen block, -1 if there is none.
        top = max(0, case.hyperparameters["layers"] - 1 - int(k)) if released else int(k)
        config = TopKLayers.Config(k=top, freeze_embeddings=not released)
        prepared = TopKLayers(config).prepare(case_model(case), golden_fit())
        record_parity(case, differing_flags(prepared, case, expected), case.limit("flags"))


@pytest.mark.parametrize("name", cases("bitfit_*"))
def test_bitfit_trains_the_official_biases(name: str, record_parity: Parity) -> None:
    case = Case(name)
    config = BitFit.Config(terms=tuple(case.hyperparameters["bias_terms"]))
    prepared = BitFit(config).prepare(case_model(case), golden_fit())
    record_parity(case, differing_flags(prepared, case, case.arrays["trainable"]), case.limit("flags"))


TERMS = {
    "query": {"attention.self.query.bias"},
    "key": {"attention.self.key.bias"},
    "value": {"attention.self.value.bias"},
    "attention_layernorm": {"attention.output.LayerNorm.bias"},
    "intermediate": {"intermediate.dense.bias"},
    "output": {"attention.output.dense.bias", "output.dense.bias"},
    "output_layernorm": {"attention.output.LayerNorm.bias", "output.LayerNorm.bias"},
}
"""Biases that each official term trains in a block of BERT."""


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_term_trains_the_biases_that_its_official_pattern_matches(kind: str, term: str) -> None:
    prepared = BitFit(BitFit.Config(terms=(term,))).prepare(tiny_classifier(kind), golden_fit())
    trained = {name for name, parameter in prepared.named_parameters() if parameter.requires_grad}
    expected = {f"{kind}.encoder.layer.{block}.{name}" for block in range(LAYERS) for name in TERMS[term]}
    pooler = {"bert.pooler.dense.bias"} if kind == "bert" else set()
    assert trained == expected | pooler | head_names(prepared)


def test_the_term_all_is_the_same_as_no_term() -> None:
    plain, every = (
        BitFit(BitFit.Config(terms=terms)).prepare(tiny_classifier("bert"), golden_fit()) for terms in ((), ("all",))
    )
    assert [p.requires_grad for p in plain.parameters()] == [p.requires_grad for p in every.parameters()]


def test_an_unknown_bias_term_is_refused() -> None:
    with pytest.raises(MethodError, match="no bias term 'dense'; known: query, key"):
        BitFit.Config(terms=("query", "dense"))


def test_a_bias_term_that_the_encoder_lacks_is_refused() -> None:
    config = DistilBertConfig(n_layers=1, dim=8, n_heads=2, hidden_dim=8, vocab_size=20)
    distilbert = AutoModelForSequenceClassification.from_config(config)
    with pytest.raises(MethodError, match=r"no bias of DistilBert.* belongs to the term 'query'.*self\.query\.bias"):
        BitFit(BitFit.Config(terms=("query",))).prepare(distilbert, golden_fit())


def test_biases_train_at_a_constant_rate_without_decay() -> None:
    method, fit = BitFit(), golden_fit(total_steps=4, lr=2e-5, weight_decay=0.01)
    prepared = method.prepare(tiny_classifier("bert"), fit)
    optimizer = method.optimizer(method.param_groups(prepared, fit), fit)
    scheduler = method.schedule(optimizer, fit)
    for _ in range(4):
        assert all(group["lr"] == 1e-3 and group["weight_decay"] == 0.0 for group in optimizer.param_groups)
        optimizer.step()
        scheduler.step()


def test_a_probe_sees_constant_features_and_trains_only_the_head() -> None:
    torch.manual_seed(0)
    method, fit = LinearProbe(), golden_fit()
    prepared = method.prepare(tiny_classifier("bert"), fit).train()
    batch = {"input_ids": torch.arange(12).view(2, 6), "labels": torch.tensor([0, 1])}
    assert Method().loss(prepared, batch, fit).item() != Method().loss(prepared, batch, fit).item()
    loss = method.loss(prepared, batch, fit)
    assert loss.item() == method.loss(prepared, batch, fit).item()
    loss.backward()
    assert {name for name, p in prepared.named_parameters() if p.grad is not None} == head_names(prepared)
