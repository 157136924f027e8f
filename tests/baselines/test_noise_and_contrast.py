"""The scale of NEFTune's noise, and the supervised contrastive loss against its equation."""

import math

import pytest
import torch

from amix.models.loading import load_model
from amix.specs.tasks import find_task
from amix.training.method import MethodError
from baselines.smoothness._hidden_states import changed_inputs
from baselines.smoothness.neftune import NEFTune
from baselines.smoothness.scl import SCL, contrastive_losses
from helpers.parity import golden_fit
from helpers.toy_encoders import Bench
from tests.baselines.test_classical import examples


@pytest.mark.parametrize("padded", [False, True])
def test_the_noise_of_a_text_has_the_expected_norm(bench: Bench, padded: bool) -> None:
    data, fit = examples("classes"), golden_fit()
    batch = data.batch(torch.arange(len(data)))
    model = load_model(bench.encoders["bert"], fit.task, 1)
    method = NEFTune(NEFTune.Config(alpha=5.0, padded_length=padded))
    method.on_fit_start(model, fit)
    recorded: list[torch.Tensor] = []

    def record(sums: torch.Tensor) -> torch.Tensor:
        recorded.append(sums.detach())
        return sums

    with changed_inputs([model.get_submodule("bert.embeddings.LayerNorm")], record):
        fit.logits(model, batch)
        method.loss(model, batch, fit)
        fit.logits(model, batch)
    clean, noisy, after = recorded
    assert torch.equal(clean, after)
    noise = noisy - clean
    lengths = torch.full_like(data.lengths, clean.shape[1]) if padded else data.lengths
    bounds = 5.0 / (lengths.double() * clean.shape[2]).sqrt()
    shares = noise.abs().flatten(1).amax(dim=1) / bounds
    assert (shares <= 1.0001).all()
    assert (shares > 0.95).all()
    squares = noise.square().sum(dim=2).double()
    squared_norms = squares.sum(dim=1) if padded else (squares * batch["attention_mask"]).sum(dim=1)
    assert float(squared_norms.mean().sqrt()) == pytest.approx(5.0 / math.sqrt(3.0), rel=0.03)


def written_out(features: torch.Tensor, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """Equation 3 with loops."""
    unit = features / features.norm(dim=1, keepdim=True)
    terms = []
    for i, label in enumerate(labels):
        others = [k for k in range(len(labels)) if k != i]
        positives = [j for j in others if labels[j] == label]
        denominator = sum(((unit[i] @ unit[k]) / temperature).exp() for k in others)
        logs = [((unit[i] @ unit[j]) / temperature).exp().div(denominator).log() for j in positives]
        terms.append(-sum(logs, torch.zeros((), dtype=torch.float64)) / max(1, len(positives)))
    return torch.stack(terms)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 1], [0, 1, 2, 0, 1], [0, 0], [0, 1], [0]])
def test_the_contrastive_loss_follows_the_equation(labels: list[int]) -> None:
    torch.manual_seed(len(labels))
    features = torch.randn(len(labels), 6, dtype=torch.float64).requires_grad_()
    classes = torch.tensor(labels)
    losses = contrastive_losses(features, classes, 0.3)
    if len(labels) > 1:
        torch.testing.assert_close(losses, written_out(features, classes, 0.3))
    (gradient,) = torch.autograd.grad(losses.sum(), features)
    assert gradient.isfinite().all()


def test_the_contrastive_loss_is_of_the_output_layers_input(bench: Bench) -> None:
    data, fit = examples("classes"), golden_fit()
    batch = data.batch(torch.arange(12))
    model = load_model(bench.encoders["bert"], find_task("mini-mrpc"), 1).eval()
    losses = {}
    for strength in (0.0, 0.5, 1.0):
        losses[strength] = SCL(SCL.Config(strength=strength)).loss(model, batch, fit)
    torch.testing.assert_close(losses[0.5], (losses[0.0] + losses[1.0]) / 2)
    losses[1.0].backward()
    assert gradient(model, "bert.pooler.dense.weight").any()
    assert not gradient(model, "classifier.weight").any()  # At strength 1 there is no cross-entropy.


def gradient(model: torch.nn.Module, name: str) -> torch.Tensor:
    value = model.get_parameter(name).grad
    assert value is not None
    return value


@pytest.mark.parametrize("wrong", [{"strength": 1.5}, {"temperature": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(MethodError, match="SCL needs"):
        SCL.Config(**wrong)
