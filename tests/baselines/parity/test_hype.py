"""HyPe against the numbers of the official model; LNSR, which has no official code, against its definition."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, BertConfig, DebertaV2Config, PretrainedConfig

from amix.models.architecture import blocks
from amix.training.method import MethodError
from baselines.smoothness._hidden_states import embedding_layer, recorded_outputs
from baselines.smoothness.hype import HyPe, hidden_dropouts
from baselines.smoothness.lnsr import LNSR
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import golden_fit, gradients_distance, tiny_double


class StoredNoise(HyPe):
    """HyPe with the reference's noise, in its order."""

    draws: list[Tensor]

    def draw_noise(self, states: Tensor) -> Tensor:
        return self.config.sigma * self.draws.pop(0)


@pytest.mark.parametrize("name", cases("hype_*"))
def test_states_logits_loss_and_gradients_equal_the_official_ones(name: str, record_parity: Parity) -> None:
    case = Case(name)
    given = case.hyperparameters
    model, batch, fit = tiny_double(case), case.batch("batch"), golden_fit()
    config = HyPe.Config(
        sigma=given["eps"], intermediate=given["intermediate"], layer_range=tuple(given["layer_range"] or ())
    )
    method = StoredNoise(config)
    method.draws = list(case.tensor("noise"))
    with recorded_outputs([embedding_layer(model), *blocks(model)]) as states, recorded_logits(model) as logits:
        loss = method.loss(method.prepare(model, fit), batch, fit)
    assert not method.draws
    for state, expected in zip(states, case.group("hidden/").values(), strict=True):
        record_parity(case, distance(state, expected), case.limit("hidden states"))
    loss.backward()
    record_parity(case, distance(logits[0], case.tensor("logits")), case.limit("logits"))
    record_parity(case, distance(loss, case.tensor("loss")), case.limit("logits"))
    record_parity(case, gradients_distance(model, case, "grad/"), case.limit("gradients"))
    record_parity(case, distance(fit.logits(model.eval(), batch), case.tensor("eval_logits")), case.limit("logits"))


class CountingNoise(HyPe):
    """Noise of 1 in every entry, with the draws counted."""

    drawn = 0

    def draw_noise(self, states: Tensor) -> Tensor:
        self.drawn += 1
        return torch.ones_like(states)


@pytest.mark.parametrize(
    ("settings", "draws", "changed"),
    [
        ({}, 3, [True, True, True]),
        ({"layer_range": (1,)}, 1, [False, True, True]),
        ({"layer_range": (2, 0)}, 2, [True, True, True]),
        ({"intermediate": True, "layer_range": (2,)}, 4, [True, True, True]),
        ({"intermediate": True, "only_intermediate": True}, 3, [True, True, True]),
    ],
)
def test_noise_is_added_to_the_selected_blocks(settings: dict[str, Any], draws: int, changed: list[bool]) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 8}
    model = AutoModelForSequenceClassification.from_config(BertConfig(**sizes, vocab_size=20)).eval()
    batch = {"input_ids": torch.arange(12).view(2, 6), "labels": torch.tensor([0, 1])}
    states = []
    for method in (HyPe(HyPe.Config(sigma=0.0)), CountingNoise(HyPe.Config(**settings))):
        fit = golden_fit()
        method.on_fit_start(method.prepare(model, fit), fit)
        with recorded_outputs(blocks(model)) as outputs:
            method.loss(model, batch, fit)
        states.append(list(outputs))
    assert method.drawn == draws  # type: ignore[attr-defined]
    assert [not torch.equal(*pair) for pair in zip(*states, strict=True)] == changed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"only_intermediate": True}, "noise nowhere without intermediate"),
        ({"intermediate": True, "only_intermediate": True, "layer_range": (0,)}, "which only_intermediate leaves out"),
        ({"layer_range": 1}, "list of block numbers, not 1"),
    ],
)
def test_settings_without_effect_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        HyPe.Config(**settings)


def test_a_block_that_does_not_exist_is_refused() -> None:
    case = own_case("hype_normal")
    with pytest.raises(MethodError, match="layer_range names block 7 of 2"):
        HyPe(HyPe.Config(layer_range=(0, 7))).prepare(tiny_double(case), golden_fit())


def recorded_logits(model: nn.Module):  # type: ignore[no-untyped-def]
    """Context that records the logits."""
    return recorded_outputs([model.get_submodule("classifier")])


@pytest.mark.parametrize(
    ("noise", "mean", "lowest", "highest"),
    [("normal", 0.0, -0.6, 0.6), ("uniform", 0.0, -0.1, 0.1), ("uniform_one_sided", 0.05, 0.0, 0.1)],
)
def test_noise_has_the_stated_range_and_repeats(noise: str, mean: float, lowest: float, highest: float) -> None:
    method, states = HyPe(HyPe.Config(noise=noise, sigma=0.1)), torch.zeros(4, 50, 60)
    method.on_fit_start(nn.Identity(), golden_fit())
    first = method.draw_noise(states)
    method.on_fit_start(nn.Identity(), golden_fit())
    assert torch.equal(method.draw_noise(states), first)
    assert first.mean().item() == pytest.approx(mean, abs=0.003)
    assert lowest <= first.min().item() < lowest + 0.25
    assert highest - 0.25 < first.max().item() <= highest


@pytest.mark.parametrize("configuration", [BertConfig, DebertaV2Config])
def test_dropout_of_attention_probabilities_stays(configuration: type[PretrainedConfig]) -> None:
    """The two kinds of dropout have different probabilities here, to distinguish them."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    rates = {"hidden_dropout_prob": 0.2, "attention_probs_dropout_prob": 0.3}
    model = AutoModelForSequenceClassification.from_config(configuration(**sizes, **rates, vocab_size=20))
    of_attention = [part for part in model.modules() if isinstance(part, nn.Dropout) and part.p == 0.3]
    HyPe().prepare(model, golden_fit())
    assert len(of_attention) == 1
    assert of_attention[0].p == 0.3
    assert {dropout.p for dropout in hidden_dropouts(model)} == {0.0}


def lnsr(model: nn.Module, **settings: float) -> LNSR:
    method = LNSR(LNSR.Config(**settings))  # type: ignore[arg-type]
    method.on_fit_start(model, golden_fit())
    return method


def test_lnsr_measures_the_noise_and_not_dropout() -> None:
    case = own_case("hype_normal")
    case.hyperparameters["model"] |= {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    model, batch, fit = tiny_double(case), case.batch("batch"), golden_fit()
    losses = []
    for sigma in (0.0, 0.1):
        torch.manual_seed(3)
        losses.append(lnsr(model, sigma=sigma).loss(model, batch, fit).item())
    torch.manual_seed(3)
    plain = fit.task_loss(fit.logits(model, batch), batch).item()
    assert losses[0] == plain
    assert losses[1] > plain + 0.01


def test_the_penalty_of_lnsr_follows_its_definition() -> None:
    case = own_case("hype_normal")
    model, batch, fit = tiny_double(case), case.batch("batch"), golden_fit()
    method = lnsr(model, sigma=0.1, strength=2.0, layer=1)
    loss = method.loss(model, batch, fit)
    method.on_fit_start(model, fit)
    top, tokens = blocks(model)[1], batch["attention_mask"].double()
    states = case.tensor("hidden/0")
    mask = ((1.0 - tokens) * -1e30)[:, None, None, :]
    start = first_of(blocks(model)[0](states, mask))
    difference = first_of(top(start + method.draw_noise(start), mask)) - first_of(top(start, mask))
    expected = (difference.square().sum(-1) * tokens).sum() / tokens.sum()
    plain = fit.task_loss(fit.logits(model, batch), batch)
    assert loss.item() == pytest.approx((plain + 2.0 * expected).item(), rel=1e-12)


def first_of(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]
