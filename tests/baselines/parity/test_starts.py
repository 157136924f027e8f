"""Other initial weights: re-initialised blocks and noise against the official codes, and a trained head."""

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from amix.specs.recipe import Recipe
from baselines.recipe.lp_ft import LPFT
from baselines.recipe.noisytune import NoisyTune
from baselines.recipe.reinit import ReInit
from helpers.golden_cases import distance, tiny_bert
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import golden_fit


def treatment(before: Tensor, after: Tensor, deviation: float) -> str:
    """The reference's word for the change of a tensor; a random tensor must have the stated deviation."""
    if torch.equal(before, after):
        return "kept"
    if not after.any():
        return "zero"
    if (after == 1.0).all():
        return "one"
    assert abs(float(after.std()) - deviation) < 5 * deviation / (2 * after.numel()) ** 0.5
    assert abs(float(after.mean())) < 5 * deviation / after.numel() ** 0.5
    return f"normal(0,{deviation:g})"


@pytest.mark.parametrize("name", cases("reinit_*"))
def test_reinit_draws_sets_and_keeps_the_official_tensors(name: str, record_parity: Parity) -> None:
    case = Case(name)
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**case.hyperparameters["model"]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.5, 0.3)  # So that no unchanged tensor looks as if it had been set.
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    ReInit(ReInit.Config(layers=case.hyperparameters["reinit_layers"])).prepare(model, golden_fit())
    deviation = case.hyperparameters["initializer_range"]
    treatments = {n: treatment(before[n], parameter.detach(), deviation) for n, parameter in model.named_parameters()}
    expected = dict(zip(case.arrays["names"].tolist(), case.arrays["treatment"].tolist(), strict=True))
    assert set(treatments) == set(expected)
    record_parity(case, sum(treatments[n] != kind for n, kind in expected.items()), case.limit("kind of each tensor"))


class StoredDraws(NoisyTune):
    """NoisyTune with the reference's noise, in its order."""

    draws: list[Tensor]

    def draw_uniform(self, like: Tensor) -> Tensor:
        return self.draws.pop(0)


@pytest.mark.parametrize("perturb_head", [True, False])
@pytest.mark.parametrize("name", cases("noisytune*"))
def test_noisytune_perturbs_like_the_official_code(name: str, perturb_head: bool, record_parity: Parity) -> None:
    case = Case(name)
    model = tiny_bert(case)
    method = StoredDraws(NoisyTune.Config(strength=case.hyperparameters["lam"], perturb_head=perturb_head))
    method.draws = [case.tensor(f"uniform/{tensor}") for tensor, _ in model.named_parameters()]
    method.prepare(model, golden_fit())
    for tensor, parameter in model.named_parameters():
        changed = perturb_head or "classifier" not in tensor
        expected = case.tensor(f"{'after' if changed else 'init'}/{tensor}")
        record_parity(case, distance(parameter, expected), case.limit("parameters"))
        assert torch.equal(parameter, case.tensor(f"init/{tensor}")) != changed, tensor


def test_noise_repeats_and_stays_within_its_bounds() -> None:
    case = own_case("noisytune")
    first, second, start = tiny_bert(case), tiny_bert(case), tiny_bert(case)
    NoisyTune().prepare(first, golden_fit())
    NoisyTune().prepare(second, golden_fit())
    for repeated, noised, parameter in zip(second.parameters(), first.parameters(), start.parameters(), strict=True):
        assert torch.equal(repeated, noised)
        assert (noised - parameter).abs().max() <= 0.5 * 0.15 * parameter.std()


def test_lp_ft_counts_the_passes_of_the_probe() -> None:
    recipe = Recipe(epochs=5)
    assert LPFT().relative_passes(100, recipe) == 1 + 0.5 * 10 / 5
    assert LPFT(LPFT.Config(probe_epochs=0)).relative_passes(100, recipe) == 1
