"""Helpers of the parity tests: small classifiers, a Fit with given batches, and steps on given gradients."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, BertConfig, RobertaConfig

from amix.data.encoded import Batch, Encoded
from amix.specs.recipe import Recipe
from amix.specs.tasks import find_task
from amix.training.fit import Fit
from amix.training.method import Method
from helpers.golden_cases import distance, tiny_bert
from helpers.official_cases import Case

LAYERS = 4
NOISE = "attention.self.key.bias"
"""Its gradient is zero in exact arithmetic; the stored values are rounding noise."""


@dataclass
class GoldenFit(Fit):
    """A Fit whose batches are given."""

    given: list[Batch] = field(default_factory=list)

    def batches(self, epoch: int) -> Iterator[Batch]:
        yield from self.given


def golden_fit(given: list[Batch] | None = None, total_steps: int = 0, **recipe: Any) -> GoldenFit:
    """A Fit of a task with two classes."""
    empty = Encoded({}, torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    task = find_task("mini-mrpc")
    return GoldenFit(task, Recipe(**recipe), 1, empty, empty, total_steps=total_steps, given=given or [])


def step(method: Method, model: nn.Module, fit: Fit, gradients: dict[str, Tensor]) -> None:
    """One update with the method's hooks, on given gradients."""
    assert fit.optimizer is not None
    for name, parameter in model.named_parameters():
        parameter.grad = gradients[name].clone() if name in gradients else None
    method.after_backward(model, fit)
    method.before_step(model, fit)
    fit.optimizer.step()
    method.after_step(model, fit)
    fit.step += 1


def tiny_double(case: Case) -> nn.Module:
    """The case's model in float64, even if the reference computed its loss in float32."""
    case.hyperparameters["dtype"] = "float64"
    return tiny_bert(case)


def set_lr(fit: Fit, lr: float) -> None:
    """Set the learning rate of the next step."""
    assert fit.optimizer is not None
    for group in fit.optimizer.param_groups:
        group["lr"] = lr


def gradients_distance(model: nn.Module, case: Case, prefix: str) -> float:
    """Largest relative difference of the model's gradients from the case's."""
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    expected = {name: value for name, value in case.group(prefix).items() if NOISE not in name}
    assert expected
    return max(distance(gradients[name], value) for name, value in expected.items() if gradients[name] is not None)


def tiny_classifier(kind: str, layers: int = LAYERS) -> nn.Module:
    """A BERT or RoBERTa of narrow layers with a new head."""
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "vocab_size": 20}
    config = {"bert": BertConfig, "roberta": RobertaConfig}[kind](num_hidden_layers=layers, **sizes)
    classifier = AutoModelForSequenceClassification.from_config(config)
    assert isinstance(classifier, nn.Module)
    return classifier
