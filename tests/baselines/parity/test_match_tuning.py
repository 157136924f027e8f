"""Match-Tuning against the published fragment of code."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    PretrainedConfig,
    RobertaConfig,
)

from amix.models.mean_pooling import MeanPooledClassifier
from baselines.smoothness.match_tuning import MatchTuning, top_linears
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases
from helpers.parity import golden_fit


class Body(nn.Module):
    """Returns the case's encoder output for any input, through its linear map as the pooler."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        width = case.hyperparameters["hidden"]
        self.embeddings = nn.Embedding(2, width)
        self.layer = nn.ModuleList([nn.Identity()])
        self.dense = nn.Linear(width, width)
        self.dense.weight, self.dense.bias = (nn.Parameter(case.tensor(name)) for name in ("A", "b"))
        self.last_hidden_state = nn.Parameter(case.tensor("last_hidden_state"))

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings

    def forward(self) -> Tensor:
        pooled = self.dense(self.last_hidden_state[:, 0])
        assert isinstance(pooled, Tensor)
        return pooled


class Classifier(nn.Module):
    """A model whose logits are the input of its output layer."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.base_model = Body(case)
        width = case.hyperparameters["hidden"]
        self.output = nn.Linear(width, width, bias=False).double()
        nn.init.eye_(self.output.weight)

    def forward(self) -> SimpleNamespace:
        return SimpleNamespace(logits=self.output(self.base_model()))


@pytest.mark.parametrize("name", cases("match_tuning*"))
def test_outputs_and_gradients_equal_those_of_the_published_fragment(name: str, record_parity: Parity) -> None:
    case = Case(name)
    model, fit = Classifier(case), golden_fit()
    with MatchTuning(MatchTuning.Config(temperature=case.hyperparameters["temperature"])).mixing(model):
        output = fit.logits(model, {})
    (output * case.tensor("c")).sum().backward()
    body, tolerance = model.base_model, case.limit("all")
    record_parity(case, distance(output, case.tensor("output")), tolerance)
    parameters = {"last_hidden_state": body.last_hidden_state, "A": body.dense.weight, "b": body.dense.bias}
    for tensor, parameter in parameters.items():
        assert parameter.grad is not None
        record_parity(case, distance(parameter.grad, case.tensor(f"grad_{tensor}")), tolerance)


SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 20}


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        (BertConfig, ["bert.pooler.dense", "classifier"]),
        (RobertaConfig, ["classifier.dense", "classifier.out_proj"]),
        (DebertaV2Config, ["pooler.dense", "classifier"]),
    ],
)
def test_the_layers_of_pooler_and_head_are_found(configuration: type[PretrainedConfig], expected: list[str]) -> None:
    model = AutoModelForSequenceClassification.from_config(configuration(**SIZES))
    names = {id(module): name for name, module in model.named_modules()}
    assert [names[id(linear)] for linear in top_linears(model)] == expected


def test_only_training_mixes_and_a_mean_pooled_model_mixes_before_its_output() -> None:
    torch.manual_seed(1)
    body = AutoModelForSequenceClassification.from_config(BertConfig(**SIZES)).bert
    body.pooler = None
    model, fit = MeanPooledClassifier(body).eval(), golden_fit()
    ids = torch.arange(12).view(3, 4)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0, 1, 0])}
    method = MatchTuning(MatchTuning.Config(temperature=1e6))
    with method.mixing(model):
        mixed = fit.logits(model, batch)
    plain = fit.logits(model, batch)
    torch.testing.assert_close(mixed, plain.mean(0).expand(3, 2), atol=1e-5, rtol=0)
    assert not torch.allclose(mixed, plain, atol=1e-3)
