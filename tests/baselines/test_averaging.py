"""Averages of weights against torch's; evaluating them does not affect training."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_avg_fn

from amix.models.architecture import head_names
from amix.models.loading import load_model
from amix.specs.tasks import find_task
from amix.training.method import Method
from baselines.averaging.ema import EMA
from baselines.averaging.swa import SWA
from baselines.averaging.wise_ft import WiseFT
from helpers.parity import GoldenFit, golden_fit, step
from helpers.toy_encoders import Bench

STEPS = 8


@pytest.fixture
def model(bench: Bench) -> nn.Module:
    return load_model(bench.encoders["bert"], find_task("mini-mrpc"), 1)


def started(method: Method, model: nn.Module) -> GoldenFit:
    fit = golden_fit(total_steps=STEPS, lr=1e-2)
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    method.on_fit_start(model, fit)
    return fit


def random_step(method: Method, model: nn.Module, fit: Any, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    gradients = {name: torch.randn(p.shape, generator=generator) for name, p in model.named_parameters()}
    step(method, model, fit, gradients)


def distance(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((first - second).detach().abs().max()) for first, second in pairs)


def test_swa_is_the_mean_of_the_iterates_from_its_start_on(model: nn.Module) -> None:
    method = SWA(SWA.Config(start=0.5, every=2))
    fit, reference = started(method, model), AveragedModel(model)
    for number in range(1, STEPS + 1):
        random_step(method, model, fit, number)
        if number in (4, 6, 8):
            reference.update_parameters(model)
        if number == 3:
            assert method.for_evaluation(model, fit) is model
    assert distance(method.for_evaluation(model, fit), reference.module) < 1e-7


def test_the_learning_rate_of_swa_falls_to_half_its_peak_and_stays(model: nn.Module) -> None:
    method = SWA()
    fit = started(method, model)
    scheduler = method.schedule(fit.optimizer, fit)
    rates = []
    for _ in range(STEPS):
        rates.append(scheduler.get_last_lr()[0] / 1e-2)
        fit.optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.5])


def test_ema_is_the_exponential_moving_average(model: nn.Module) -> None:
    method = EMA(EMA.Config(decay=0.9, warm_up=False))
    fit, reference = started(method, model), AveragedModel(model, avg_fn=get_ema_avg_fn(0.9))
    reference.update_parameters(model)
    for number in range(1, STEPS + 1):
        random_step(method, model, fit, number)
        reference.update_parameters(model)
    assert distance(method.for_evaluation(model, fit), reference.module) < 1e-6


def test_ema_forgets_the_start_within_a_short_run(model: nn.Module) -> None:
    method, start = EMA(), copy.deepcopy(model)
    fit = started(method, model)
    random_step(method, model, fit, 1)
    mean = method.for_evaluation(model, fit)
    expected = copy.deepcopy(start)
    for tensor, first, live in zip(expected.parameters(), start.parameters(), model.parameters(), strict=True):
        tensor.data = first.data * (2 / 11) + live.data * (9 / 11)
    assert distance(mean, expected) < 1e-6


@pytest.mark.parametrize("head_too", [False, True])
def test_wise_ft_interpolates_between_pretrained_and_finetuned_weights(model: nn.Module, head_too: bool) -> None:
    method, start = WiseFT(WiseFT.Config(alpha=0.3, interpolate_head=head_too)), copy.deepcopy(model)
    fit = started(method, model)
    for number in range(3):
        random_step(method, model, fit, number)
    interpolated = dict(method.for_evaluation(model, fit).named_parameters())
    head, before = head_names(model), dict(start.named_parameters())
    assert head
    for name, after in model.named_parameters():
        share = 1.0 if name in head and not head_too else 0.3
        torch.testing.assert_close(interpolated[name].data, (1 - share) * before[name].data + share * after.data)


@pytest.mark.parametrize("method", [SWA(SWA.Config(start=0.0)), EMA(), WiseFT()])
def test_evaluating_does_not_change_the_training_model(model: nn.Module, method: Method) -> None:
    fit = started(method, model)
    for number in range(2):
        random_step(method, model, fit, number)
    before = copy.deepcopy(model)
    evaluated = method.for_evaluation(model, fit)
    assert evaluated is not model
    assert distance(model, before) == 0
    assert distance(evaluated, model) > 0
    assert all(parameter.requires_grad for parameter in model.parameters())
