"""R-Drop against the numbers of the official training step."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from amix.specs.tasks import find_task
from baselines.smoothness.rdrop import RDrop
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import GoldenFit, golden_fit


class StoredLogits(nn.Module):
    """Returns the case's first logits for the first half of a batch, and its second logits for the second half."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.logits = nn.ParameterList([case.tensor("logits1"), case.tensor("logits2")])

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        first, second = input_ids.chunk(2)
        assert torch.equal(first, second)
        return SimpleNamespace(logits=torch.cat([self.logits[0], self.logits[1]]))


def fit_for(case: Case) -> GoldenFit:
    fit = golden_fit()
    if case.hyperparameters["outputs"] == 1:
        fit.task = find_task("mini-stsb")
    return fit


CLASSIFICATION, REGRESSION = 0.5, 1.0
"""Factors of half the divergence, and of the squared difference, in the official code (modeling_bert.py:1545-1601)."""


@pytest.mark.parametrize("name", cases("rdrop*"))
def test_the_loss_and_its_gradients_equal_the_official_ones(name: str, record_parity: Parity) -> None:
    case = Case(name)
    model = StoredLogits(case)
    labels = case.tensor("labels")
    batch = {"input_ids": torch.arange(len(labels)).unsqueeze(1), "labels": labels}
    strength = REGRESSION if case.hyperparameters["outputs"] == 1 else CLASSIFICATION
    loss = RDrop(RDrop.Config(strength=strength, summed=True)).loss(model, batch, fit_for(case))
    loss.backward()
    record_parity(case, distance(loss, case.tensor("loss")), case.limit("all"))
    for logits, expected in zip(model.logits, ("grad_logits1", "grad_logits2"), strict=True):
        assert logits.grad is not None
        record_parity(case, distance(logits.grad, case.tensor(expected)), case.limit("all"))


def test_the_divergence_is_averaged_over_the_batch_by_default() -> None:
    case = own_case("rdrop")
    batch = {"input_ids": torch.arange(7).unsqueeze(1), "labels": case.tensor("labels")}
    loss = RDrop(RDrop.Config(strength=3.0)).loss(StoredLogits(case), batch, fit_for(case))
    expected = case.arrays["part_ce"].sum() + 3.0 * case.arrays["part_kl_sum"].sum() / 2 / 7
    assert loss.item() == pytest.approx(float(expected), rel=1e-12)
