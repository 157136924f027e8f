"""Layer-wise learning rates against the official code, and the recipe of longer training."""

import pytest

from amix.specs.recipe import Recipe
from baselines.recipe.llrd import LayerwiseLearningRates
from baselines.recipe.longer import Longer
from helpers.official_cases import Case, Parity, cases
from helpers.parity import golden_fit, tiny_classifier
from tests.baselines.parity.test_layers import case_model


@pytest.mark.parametrize("undecayed_head", [True, False])
@pytest.mark.parametrize("name", cases("llrd_*"))
def test_every_parameter_has_the_official_learning_rate_and_decay(
    name: str, undecayed_head: bool, record_parity: Parity
) -> None:
    case = Case(name)
    settings = case.hyperparameters
    fit = golden_fit(lr=settings["lr"], weight_decay=settings["wd"])
    method = LayerwiseLearningRates(LayerwiseLearningRates.Config(xi=settings["xi"], undecayed_head=undecayed_head))
    classifier = case_model(case)
    groups = method.param_groups(classifier, fit)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    parameters = dict(classifier.named_parameters())
    assert set(parameters) == set(case.arrays["names"].tolist())
    assert len(found) == len(parameters)
    for name, lr, decay in zip(*(case.arrays[key].tolist() for key in ("names", "lr", "weight_decay")), strict=True):
        found_lr, found_decay = found[id(parameters[name])]
        record_parity(case, abs(found_lr / lr - 1), case.limit("lr"))
        new_weight = name.endswith("weight") and ("classifier" in name or "pooler" in name)
        expected = settings["wd"] if new_weight and not undecayed_head else decay
        record_parity(case, abs(found_decay - expected), case.limit("weight_decay"))


def test_all_learning_rates_follow_the_schedule() -> None:
    method, classifier = LayerwiseLearningRates(), tiny_classifier("bert")
    fit = golden_fit(total_steps=20, lr=1e-3)
    optimizer = method.optimizer(method.param_groups(classifier, fit), fit)
    scheduler = method.schedule(optimizer, fit)
    peaks = [group["initial_lr"] for group in optimizer.param_groups]
    optimizer.step()
    scheduler.step()
    assert len(set(peaks)) == 6
    assert [group["lr"] for group in optimizer.param_groups] == [lr / 2 for lr in peaks]


def test_the_longer_recipe_and_its_cost() -> None:
    recipe = Recipe(lr=4e-5, steps=50)
    changed = Longer(Longer.Config(lr_factor=0.5)).longer_recipe(recipe)
    assert changed == Recipe(lr=2e-5, epochs=20, adam_epsilon=1e-6)
    assert Longer().relative_passes(100, recipe) == 20 * 7 / 50
    assert Longer().relative_passes(100, Recipe()) == 20 / 3
