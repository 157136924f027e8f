"""VIBERT against the numbers of its official code: the head alone, and on top of a tiny BERT."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from amix.data.encoded import Batch
from amix.specs.tasks import find_task
from amix.training.fit import Fit
from baselines.smoothness.vibert import ACTIVATIONS, VIBERT, Bottleneck, VariationalClassifier, divergence
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases
from helpers.parity import NOISE, golden_fit


class StoredNoise(VIBERT):
    """VIBERT with the reference's noise."""

    noise: Tensor

    def draw_noise(self, mean: Tensor) -> Tensor:
        return self.noise


def started(case: Case) -> tuple[StoredNoise, Fit]:
    given = case.hyperparameters
    config = VIBERT.Config(
        dimension=given["ib_dim"], beta=given["beta"], annealing=given["kl_annealing"] == "linear",
        samples=given["sample_size"], activation=given["activation"], deterministic=given["deterministic"],
    )  # fmt: skip
    fit = golden_fit()
    fit.task = find_task("mini-stsb" if given["num_labels"] == 1 else "mini-mrpc")
    return StoredNoise(config), fit


def load(head: Bottleneck, case: Case) -> None:
    for name, values in case.group("head/").items():
        head.get_parameter(name).data.copy_(values)


def shaped(head: Bottleneck, case: Case) -> Bottleneck:
    given = case.hyperparameters
    sizes = (given["hidden_size"], given["hidden_dim"], given["ib_dim"], given["num_labels"])
    head.shape(*sizes, ACTIVATIONS[given["activation"]]())
    assert head.mlp[0].out_features == given["intermediate_dim_of_mlp"]
    load(head.double(), case)
    return head


def gradients_distance(named: dict[str, Tensor], case: Case, prefix: str, row: int) -> float:
    """Largest relative difference of the gradients from those in this row of the case."""
    expected = {name: values for name, values in case.group(prefix).items() if NOISE not in name}
    assert expected
    gradients = {name: torch.zeros_like(named[name]) if (g := named[name].grad) is None else g for name in expected}
    return max(distance(gradients[name], values[row]) for name, values in expected.items())


@pytest.mark.parametrize("name", cases("vibert_head*"))
def test_the_head_has_the_official_losses_and_gradients(name: str, record_parity: Parity) -> None:
    case = Case(name)
    method, fit = started(case)
    head, tolerance = shaped(Bottleneck(), case), case.limit("all")
    for row, epoch in enumerate(case.hyperparameters["epochs"]):
        x = case.tensor("x").requires_grad_()
        head.zero_grad()
        fit.epoch, method.noise = epoch - 1, case.tensor("eps")[row]
        mean, deviation = head.narrow(x)
        record_parity(case, distance(mean, case.tensor("mu")), tolerance)
        record_parity(case, distance(deviation, case.tensor("std")), tolerance)
        kl = divergence(mean, deviation, head.mu_p, head.std_p)
        record_parity(case, distance(kl, case.tensor("train/kl")[row]), tolerance)
        assert method.beta(epoch) == pytest.approx(float(case.arrays["train/beta"][row]), rel=1e-15)
        loss = method.sampled_loss(head, mean, deviation, {"labels": case.tensor("labels")}, fit)
        record_parity(case, distance(loss, case.tensor("train/loss")[row]), tolerance)
        loss.backward()
        named = {**dict(head.named_parameters()), "x": x}
        record_parity(case, gradients_distance(named, case, "train/grad/", row), tolerance)
        record_parity(case, distance(head.classifier(mean), case.tensor("eval/logits")), tolerance)


def tiny(case: Case, method: VIBERT, fit: Fit) -> nn.Module:
    """The method's model with the case's weights."""
    plain = BertForSequenceClassification(BertConfig(**case.hyperparameters["model"], attn_implementation="eager"))
    plain.double().load_state_dict(case.group("init/"), strict=False)
    model = method.prepare(plain, fit)
    # The reference assumes a width of 768, whatever the encoder's, so that the sizes must come from the case.
    shaped(model.addition, case)
    return model.double()


@pytest.mark.parametrize("name", cases("vibert_bert*"))
def test_on_top_of_an_encoder_losses_gradients_and_logits_equal_the_official_ones(
    name: str, record_parity: Parity
) -> None:
    case = Case(name)
    tolerance = case.limit("all")
    method, fit = started(case)
    model, batch = tiny(case, method, fit), {**case.batch("batch"), "labels": case.tensor("labels")}
    for row, epoch in enumerate(case.hyperparameters["epochs"]):
        model.zero_grad()
        fit.epoch = epoch - 1
        if "eps" in case.arrays:
            method.noise = case.tensor("eps")[row]
        loss = method.loss(model, batch, fit)
        record_parity(case, distance(loss, case.tensor("train/loss")[row]), tolerance)
        loss.backward()
        record_parity(case, gradients_distance(by_official_name(model), case, "train/grad/", row), tolerance)
    record_parity(case, distance(evaluated(model, batch, fit), case.tensor("eval/logits")), tolerance)


def by_official_name(model: nn.Module) -> dict[str, Any]:
    """The model's parameters by their official names."""
    named = model.addition.named_parameters()  # type: ignore[union-attr, operator]
    return {name.replace("encoder.", "bert.", 1) if name.startswith("encoder.") else name: p for name, p in named}


def evaluated(model: nn.Module, batch: Batch, fit: Fit) -> Tensor:
    with torch.no_grad():
        logits = fit.logits(model.eval(), batch)
    assert isinstance(model.addition, VariationalClassifier)
    assert model.addition.distribution is None
    return logits
