"""The L1 penalty on the attention: its gradient is that of the penalised upper loss."""

from typing import Any

import numpy
import pytest
import torch

from amix.agwm.method import AGWMConfig
from amix.agwm.presets import ReleasedCodeConfig
from amix.mixup.bilevel_step import BilevelStep, penalised
from amix.mixup.hypergradient import Hypergradient, HypergradientOptions
from amix.training.method import MethodError
from amix.training.registry import find_method
from amix.training.settings import full_settings
from tests.amix.test_agwm import finetuned
from tests.amix.test_bilevel import Problem, flat, plain, relative

STRENGTH = 3.0


def one_step(problem: Problem, options: HypergradientOptions, strength: float) -> Hypergradient:
    lower = torch.optim.SGD(problem.mixup.lower.values(), lr=0.3)
    upper = torch.optim.SGD(problem.mixup.attention, lr=0.0)
    step = BilevelStep(problem.mixup, lower, upper, options, attention_l1=strength)
    return step(lambda: problem.loss(0), lambda: problem.loss(1))


def penalty(attention: list[torch.Tensor]) -> torch.Tensor:
    """The term that the released code adds to the upper loss (run_glue_mlo.py, Outer.training_step)."""
    return STRENGTH * torch.stack([torch.linalg.vector_norm(one, 1) / one.numel() for one in attention]).sum()


@pytest.mark.parametrize("rank", [1, 3])
def test_the_hypergradient_is_that_of_the_penalised_upper_loss(rank: int) -> None:
    problem = Problem("mlp", "factored", rank)
    attention = [factor.detach().clone().requires_grad_() for factor in problem.mixup.attention]
    added = torch.autograd.grad(penalty(attention), attention)
    expected = flat(problem.unrolled()) + flat(list(added))
    without, found = (
        one_step(Problem("mlp", "factored", rank), plain("exact"), strength) for strength in (0, STRENGTH)
    )
    assert relative(flat(found.total()), expected) < 1e-12
    assert relative(flat(without.total()), expected) > 0.01
    assert (found.upper_loss - without.upper_loss).item() == pytest.approx(penalty(attention).item(), rel=1e-12)
    assert torch.equal(flat(found.implicit), flat(without.implicit))


@pytest.mark.parametrize("estimator", ["central", "forward", "first_order"])
def test_every_estimator_has_the_same_penalty(estimator: str) -> None:
    without, found = (one_step(Problem("mlp", "factored", 1), plain(estimator), strength) for strength in (0, STRENGTH))
    exact = [one_step(Problem("mlp", "factored", 1), plain("exact"), strength).direct for strength in (0, STRENGTH)]
    assert relative(flat(found.direct) - flat(without.direct), flat(exact[1]) - flat(exact[0])) < 1e-12


def test_the_penalty_does_not_push_an_attention_of_zero() -> None:
    attention = [torch.tensor([[0.0], [0.5]]), torch.tensor([[-0.5, 0.0, 1.0]])]
    found = Hypergradient([torch.zeros_like(one) for one in attention], None, torch.tensor(2.0))
    after = penalised(found, attention, 6.0)
    assert after.direct[0].tolist() == [[0.0], [3.0]]
    assert after.direct[1].tolist() == [[-2.0, 0.0, 2.0]]
    assert after.upper_loss.item() == 2.0 + 6.0 * (0.25 + 0.5)


@pytest.mark.parametrize("name", ["agwm", "agwm_official"])
def test_the_search_lets_the_penalty_pull_the_attention_down(name: str) -> None:
    means = []
    for strength in (0.0, 1e9):
        fit = finetuned(name, splits=1, finetune=False, attention_lr=0.01, attention_l1=strength)[1]
        means.append(fit.diagnostics["search/attention_mean"][0].mean(axis=1))
    assert (numpy.diff(means[1]) <= 0).all()
    assert means[1][-1] < means[0][-1]


@pytest.mark.parametrize("config", [AGWMConfig, ReleasedCodeConfig])
def test_the_penalty_is_off_by_default_and_does_not_change_keys_of_old_runs(config: type[AGWMConfig]) -> None:
    assert config().attention_l1 == 0.0
    name = {AGWMConfig: "agwm", ReleasedCodeConfig: "agwm_official"}[config]
    assert "attention_l1" not in full_settings(find_method(name), {})
    assert "attention_l1" not in full_settings(find_method(name), {"attention_l1": 0})
    assert full_settings(find_method(name), {"attention_l1": 0.1})["attention_l1"] == 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention_l1": -1.0}, "at least 0, not -1.0"),
        ({"attention_l1": 0.1, "attention": "joint"}, "which attention 'joint' does not follow"),
        ({"attention_l1": 0.1, "attention": "fixed"}, "which attention 'fixed' does not follow"),
        ({"attention_l1": 0.1, "attention": "random_walk"}, "which attention 'random_walk' does not follow"),
    ],
)
def test_a_penalty_without_effect_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        AGWMConfig(**settings)
