"""R3F against the numbers of fairseq's criterion, and of the AGWM authors' earlier variant."""

import pytest
import torch
from torch import Tensor

from baselines.smoothness._divergence import symmetric_divergence
from baselines.smoothness.r3f import R3F
from helpers.golden_cases import Case, distance
from helpers.parity import golden_fit, gradients_distance, tiny_double


def test_the_divergence_and_its_gradients() -> None:
    case = Case("r3f_kl")
    clean, noised = (case.tensor(f"logits_{name}").requires_grad_() for name in ("clean", "noised"))
    divergence = symmetric_divergence(clean, noised)
    divergence.backward()
    assert divergence.item() == pytest.approx(float(case.arrays["symm_kl_f64"]), rel=1e-13)
    assert divergence.item() == pytest.approx(float(case.arrays["symm_kl"]), rel=1e-6)
    assert distance(clean.grad, case.tensor("grad_clean")) < 1e-6
    assert distance(noised.grad, case.tensor("grad_noised")) < 1e-6


class StoredNoise(R3F):
    """R3F with the noise that the reference drew."""

    noise: Tensor

    def draw_noise(self, embedded: Tensor) -> Tensor:
        return self.noise


def stored(case: Case, **settings: bool) -> StoredNoise:
    method = StoredNoise(R3F.Config(strength=case.hyperparameters["r3f_lambda"], **settings))
    method.noise = case.tensor("noise")
    return method


@pytest.mark.parametrize("shared", [False, True])
def test_r3f_from_end_to_end(shared: bool) -> None:
    """Dropout is 0 here, so that sharing its masks changes nothing."""
    case = Case("r3f_end_to_end")
    model, batch, fit = tiny_double(case), case.batch("batch"), golden_fit()
    method = stored(case, shared_dropout=shared)
    assert distance(fit.logits(model, batch), case.tensor("logits_clean")) < 1e-12
    assert distance(method.noised_logits(model, batch, fit), case.tensor("logits_noised")) < 1e-12
    loss = method.loss(model, batch, fit)
    loss.backward()
    assert loss.item() == pytest.approx(float(case.arrays["loss_mean_f64"]), rel=1e-9)
    assert loss.item() == pytest.approx(float(case.arrays["loss_mean"]), rel=1e-6)
    assert gradients_distance(model, case, "grad_f64/") < 1e-9
    assert gradients_distance(model, case, "grad/") < 1e-5


def test_the_variant_of_the_agwm_authors() -> None:
    case = Case("r3f_author_variant")
    model, batch, fit = tiny_double(case), case.batch("batch"), golden_fit()
    loss = stored(case, noise_reaches_embeddings=True, summed=True).loss(model, batch, fit)
    loss.backward()
    assert loss.item() == pytest.approx(float(case.arrays["loss"]), rel=1e-6)
    assert gradients_distance(model, case, "grad/") < 1e-5


@pytest.mark.parametrize(("noise", "largest"), [("uniform", 1.0), ("normal", 5.0)])
def test_noise_has_the_stated_scale_and_is_the_same_again(noise: str, largest: float) -> None:
    method, embedded = R3F(R3F.Config(noise=noise, epsilon=0.1)), torch.zeros(4, 50, 60)
    method.on_fit_start(torch.nn.Identity(), golden_fit())
    first = method.draw_noise(embedded)
    method.on_fit_start(torch.nn.Identity(), golden_fit())
    assert torch.equal(method.draw_noise(embedded), first)
    assert 0.05 < float(first.std()) < 0.11
    assert float(first.abs().max()) < 0.1 * largest
