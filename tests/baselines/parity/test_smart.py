"""SMART against the numbers of the official perturbation and criteria."""

import pytest
import torch
from torch import Tensor

from amix.data.encoded import Batch
from amix.training.fit import Fit
from amix.training.method import MethodError, Model
from baselines.smoothness.smart import CRITERIA, SMART
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import golden_fit, gradients_distance, tiny_double

NAMES = {"SymKl": "sym_kl", "Kl": "kl", "NsKl": "ns_kl", "NsSymKl": "ns_sym_kl"}


@pytest.mark.parametrize("released", NAMES)
@pytest.mark.parametrize("name", cases("smart_losses*"))
def test_criteria_and_their_gradients_equal_the_official_ones(name: str, released: str, record_parity: Parity) -> None:
    case = Case(name)
    first, second = (case.tensor(name).requires_grad_() for name in ("input", "target"))
    value = CRITERIA[NAMES[released]](first, second)
    value.backward()
    tolerance = case.limit("all")
    record_parity(case, distance(value, case.tensor(f"{released}/loss")), tolerance)
    for gradient, name in ((first.grad, "grad_input"), (second.grad, "grad_target")):
        expected = case.tensor(f"{released}/{name}")
        if expected.abs().max() > 0:
            assert gradient is not None
            record_parity(case, distance(gradient, expected), tolerance)
        else:
            assert gradient is None or not gradient.any()


@pytest.mark.parametrize("name", cases("smart_losses*"))
def test_the_ascent_criterion_is_summed_over_the_batch(name: str, record_parity: Parity) -> None:
    """The reference's ascent omits the factor 1/B; ours multiplies by the batch size B."""
    case = Case(name)
    first, second = case.tensor("input"), case.tensor("target")
    summed = CRITERIA["ns_kl"](first, second) * len(first)
    record_parity(case, distance(summed, case.tensor("stable_kl_sum")), case.limit("all"))


def test_the_symmetric_criterion_has_the_official_value_and_gradients_through_both_outputs() -> None:
    case = own_case("smart_losses")
    first, second = (case.tensor(name).requires_grad_() for name in ("input", "target"))
    ours, official = CRITERIA["symmetric"](first, second), CRITERIA["sym_kl"](first, second)
    assert ours.item() == pytest.approx(official.item(), rel=1e-12)
    (through_both,), (through_one,) = (
        torch.autograd.grad(value, [first], retain_graph=True) for value in (ours, official)
    )
    assert distance(through_both, through_one) > 0.01


class StoredNoise(SMART):
    """SMART with the reference's noise; records the final noise and the perturbed logits."""

    start: Tensor

    def draw_noise(self, embedded: Tensor) -> Tensor:
        return self.start.clone()

    def project(self, noise: Tensor) -> Tensor:
        self.noise = super().project(noise)
        return self.noise

    def logits_from(self, embedded: Tensor, model: Model, batch: Batch, fit: Fit) -> Tensor:
        self.logits.append(super().logits_from(embedded, model, batch, fit))
        return self.logits[-1]


def stored(case: Case, **settings: bool) -> StoredNoise:
    given = case.hyperparameters
    config = SMART.Config(
        strength=given["adv_alpha"], step_size=given["step_size"], steps=given["K"], unit_perturbation=True,
        criterion=NAMES[given["criterion"]], ascent_criterion="ns_kl", **settings,
    )  # fmt: skip
    method = StoredNoise(config)
    method.start, method.logits = case.tensor("noise0"), []
    return method


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", cases("smart_embeddings_twice*", "smart_encoder_input*"))
def test_noise_loss_and_gradients_equal_the_official_ones(name: str, shared: bool, record_parity: Parity) -> None:
    """Dropout is 0 here, so that sharing its masks changes nothing."""
    case = Case(name)
    model, batch, fit = tiny_double(case), case.batch("batch"), golden_fit()
    method = stored(case, embeddings_twice="embeddings_twice" in name, shared_dropout=shared)
    loss = method.loss(model, batch, fit)
    loss.backward()
    plain = fit.task_loss(fit.logits(model, batch), batch)
    record_parity(case, distance(method.logits[0], case.tensor("logits_first_pass")), case.limit("losses"))
    record_parity(case, distance(method.noise, case.tensor("noise_final")), case.limit("noise"))
    record_parity(case, distance(method.logits[-1], case.tensor("logits_adv")), case.limit("losses"))
    record_parity(case, distance(loss, case.tensor("loss")[2]), case.limit("losses"))
    record_parity(case, distance(plain, case.tensor("loss")[0]), case.limit("losses"))
    record_parity(case, gradients_distance(model, case, "grad/"), case.limit("gradients"))
    assert fit.cost.backward_passes == case.hyperparameters["K"]


def test_the_papers_noise_stays_in_its_ball_and_increases_the_distance() -> None:
    case = own_case("smart_encoder_input")
    model, batch, fit = tiny_double(case), case.batch("batch"), golden_fit()
    distances = []
    for steps in (0, 3):
        method = StoredNoise(SMART.Config(radius=0.1, step_size=5.0, steps=steps))
        method.start, method.logits = case.tensor("noise0"), []
        method.loss(model, batch, fit)
        distances.append(method.distance("symmetric", method.logits[-1], case.tensor("logits_clean"), fit).item())
    assert method.noise.abs().max().item() == pytest.approx(0.1)
    assert distances[1] > 2 * distances[0]


def test_an_unknown_criterion_is_refused() -> None:
    with pytest.raises(MethodError, match="known: symmetric, kl"):
        SMART.Config(criterion="mse")
