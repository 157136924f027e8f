"""R-Drop and R3F against the numbers of the official training step, fairseq's criterion, and the variant in BFTSS."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from amix.specs.tasks import find_task
from baselines.smoothness._divergence import symmetric_divergence
from baselines.smoothness.r3f import R3F
from baselines.smoothness.rdrop import RDrop
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import GoldenFit, golden_fit, gradients_distance, tiny_double


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


@pytest.mark.parametrize("name", cases("r3f_kl*"))
def test_the_divergence_and_its_gradients_equal_the_official_ones(name: str, record_parity: Parity) -> None:
    case = Case(name)
    clean, noised = (case.tensor(f"logits_{name}").requires_grad_() for name in ("clean", "noised"))
    divergence = symmetric_divergence(clean, noised)
    divergence.backward()
    record_parity(case, distance(divergence, case.tensor("symm_kl_f64")), case.limit("symm_kl_f64"))
    record_parity(case, distance(divergence, case.tensor("symm_kl")), case.limit("symm_kl"))
    record_parity(case, distance(clean.grad, case.tensor("grad_clean")), case.limit("gradients"))
    record_parity(case, distance(noised.grad, case.tensor("grad_noised")), case.limit("gradients"))


class StoredNoise(R3F):
    """R3F with the reference's noise."""

    noise: Tensor

    def draw_noise(self, embedded: Tensor) -> Tensor:
        return self.noise


def stored(case: Case, **settings: bool) -> StoredNoise:
    method = StoredNoise(R3F.Config(strength=case.hyperparameters["r3f_lambda"], **settings))
    method.noise = case.tensor("noise")
    return method


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", cases("r3f_end_to_end*"))
def test_logits_loss_and_gradients_equal_the_official_ones(name: str, shared: bool, record_parity: Parity) -> None:
    """Dropout is 0 here, so that sharing its masks changes nothing."""
    case = Case(name)
    model, batch, fit = tiny_double(case), case.batch("batch"), golden_fit()
    method = stored(case, shared_dropout=shared)
    in_double = case.limit("grad_f64")
    record_parity(case, distance(fit.logits(model, batch), case.tensor("logits_clean")), in_double)
    record_parity(case, distance(method.noised_logits(model, batch, fit), case.tensor("logits_noised")), in_double)
    loss = method.loss(model, batch, fit)
    loss.backward()
    record_parity(case, distance(loss, case.tensor("loss_mean_f64")), case.limit("loss_mean_f64"))
    record_parity(case, distance(loss, case.tensor("loss_mean")), case.limit("loss_mean"))
    record_parity(case, gradients_distance(model, case, "grad_f64/"), in_double)
    record_parity(case, gradients_distance(model, case, "grad/"), case.limit("gradients"))


@pytest.mark.parametrize("name", cases("r3f_author_variant*"))
def test_loss_and_gradients_equal_those_of_the_agwm_authors_variant(name: str, record_parity: Parity) -> None:
    case = Case(name)
    model, batch, fit = tiny_double(case), case.batch("batch"), golden_fit()
    loss = stored(case, noise_reaches_embeddings=True, summed=True).loss(model, batch, fit)
    loss.backward()
    record_parity(case, distance(loss, case.tensor("loss")), case.limit("loss"))
    record_parity(case, gradients_distance(model, case, "grad/"), case.limit("gradients"))


@pytest.mark.parametrize(("noise", "largest"), [("uniform", 1.0), ("normal", 5.0)])
def test_noise_has_the_stated_scale_and_repeats(noise: str, largest: float) -> None:
    method, embedded = R3F(R3F.Config(noise=noise, epsilon=0.1)), torch.zeros(4, 50, 60)
    method.on_fit_start(torch.nn.Identity(), golden_fit())
    first = method.draw_noise(embedded)
    method.on_fit_start(torch.nn.Identity(), golden_fit())
    assert torch.equal(method.draw_noise(embedded), first)
    assert 0.05 < float(first.std()) < 0.11
    assert float(first.abs().max()) < 0.1 * largest
