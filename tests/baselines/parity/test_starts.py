"""Other starting points against the numbers of the official codes: blocks drawn anew, noise, a trained head."""

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from amix.specs.recipe import Recipe
from baselines.recipe.lp_ft import LPFT
from baselines.recipe.noisytune import NoisyTune
from baselines.recipe.reinit import ReInit
from helpers.golden_cases import Case, distance, tiny_bert
from helpers.parity import golden_fit


def treatment(before: Tensor, after: Tensor) -> str:
    """What happened to a tensor, in the words of the reference; a drawn tensor has the stated deviation."""
    if torch.equal(before, after):
        return "kept"
    if not after.any():
        return "zero"
    if (after == 1.0).all():
        return "one"
    deviation = 0.02
    assert abs(float(after.std()) - deviation) < 5 * deviation / (2 * after.numel()) ** 0.5
    assert abs(float(after.mean())) < 5 * deviation / after.numel() ** 0.5
    return "normal(0,0.02)"


def test_the_same_tensors_are_drawn_anew_or_kept() -> None:
    case = Case("reinit_top2")
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**case.hyperparameters["model"]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.5, 0.3)  # So that a tensor that is left alone does not pass for one that is set.
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    ReInit(ReInit.Config(layers=case.hyperparameters["reinit_layers"])).prepare(model, golden_fit())
    found = {name: treatment(before[name], parameter.detach()) for name, parameter in model.named_parameters()}
    expected = dict(zip(case.arrays["names"].tolist(), case.arrays["treatment"].tolist(), strict=True))
    assert found == expected


class StoredDraws(NoisyTune):
    """NoisyTune with the draws of the reference, in the order in which it asks for them."""

    draws: list[Tensor]

    def draw_uniform(self, like: Tensor) -> Tensor:
        return self.draws.pop(0)


@pytest.mark.parametrize("perturb_head", [True, False])
def test_the_official_noise(perturb_head: bool) -> None:
    case = Case("noisytune")
    model = tiny_bert(case)
    method = StoredDraws(NoisyTune.Config(strength=case.hyperparameters["lam"], perturb_head=perturb_head))
    method.draws = [case.tensor(f"uniform/{name}") for name, _ in model.named_parameters()]
    method.prepare(model, golden_fit())
    for name, parameter in model.named_parameters():
        changed = perturb_head or "classifier" not in name
        expected = case.tensor(f"{'after' if changed else 'init'}/{name}")
        assert distance(parameter, expected) < 1e-13, name
        assert torch.equal(parameter, case.tensor(f"init/{name}")) != changed, name


def test_noise_is_the_same_again_and_within_its_bounds() -> None:
    case = Case("noisytune")
    first, second, start = tiny_bert(case), tiny_bert(case), tiny_bert(case)
    NoisyTune().prepare(first, golden_fit())
    NoisyTune().prepare(second, golden_fit())
    for again, noised, parameter in zip(second.parameters(), first.parameters(), start.parameters(), strict=True):
        assert torch.equal(again, noised)
        assert (noised - parameter).abs().max() <= 0.5 * 0.15 * parameter.std()


def test_the_cost_of_probing_first() -> None:
    recipe = Recipe(epochs=5)
    assert LPFT().relative_passes(100, recipe) == 1 + 0.5 * 10 / 5
    assert LPFT(LPFT.Config(probe_epochs=0)).relative_passes(100, recipe) == 1
