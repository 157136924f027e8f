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
from amix.training.loop import start, train_step
from amix.training.method import Method, MethodError
from baselines.averaging.deni import DENI, DENIConfig, MeanOfLogits, add_noise, average_into_first, changes
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


def words(rows: int, seed: int) -> dict[str, torch.Tensor]:
    """A batch of random words with labels."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 20, (rows, 6), generator=generator)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.arange(rows) % 2}


def logits(model: nn.Module) -> torch.Tensor:
    """The model's outputs on one batch, without dropout."""
    inputs = {name: tensor for name, tensor in words(4, 9).items() if name != "labels"}
    training = model.training
    with torch.no_grad():
        outputs: torch.Tensor = model.eval()(**inputs).logits
    model.train(training)
    return outputs


def trained_deni(
    model: nn.Module, steps: int, micro_batch: int | None = None, **settings: Any
) -> tuple[DENI, GoldenFit]:
    """The method after these steps of ten."""
    method = DENI(DENIConfig(**settings))
    fit = golden_fit(steps=10, lr=1e-2, warmup_ratio=0.0, micro_batch=micro_batch)
    start(method, model, fit)
    for number in range(steps):
        train_step(method, model, words(6, number), fit)
    return method, fit


def test_deni_makes_and_averages_copies_at_the_steps_of_the_official_script() -> None:
    assert changes(DENIConfig(), 1000) == {300: 0.15 / 300, 425: None, 550: 0.15 / 550, 675: None, 900: 0.15}
    assert changes(DENIConfig(), 57) == {17: 0.15 / 17, 24: None, 31: 0.15 / 31, 38: None, 51: 0.15}
    alone = DENIConfig(start_noise=0.5, end_noise=0.5, start_ensemble=1.5)
    assert changes(alone, 1000) == changes(DENIConfig(members=1), 1000) == {}


def test_deni_refuses_an_interpolation_that_ends_before_it_starts() -> None:
    with pytest.raises(MethodError, match=r"start_noise, 0\.7, must not be above end_noise, 0\.6"):
        DENIConfig(start_noise=0.7)


def test_noise_has_its_variance_relative_to_that_of_the_values() -> None:
    draw = torch.randn(200, 300, generator=torch.Generator().manual_seed(1))
    parameter = 5 + 3 * torch.randn(200, 300, generator=torch.Generator().manual_seed(2))
    noisy, single = parameter.clone(), torch.ones(1)
    add_noise(noisy, 0.25, draw)
    assert float((noisy - parameter).std()) == pytest.approx(0.5 * 3, rel=0.02)
    add_noise(single, 0.25, torch.ones(1))
    assert single.tolist() == [1.0]


@pytest.mark.parametrize("layer", ["head", "all"])
def test_a_copys_noise_is_where_the_settings_say_and_differs_between_copies(model: nn.Module, layer: str) -> None:
    method = DENI(DENIConfig(members=3, noise_layer=layer))  # type: ignore[arg-type]
    fit = started(method, model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    twins = [dict(method.noisy_copy(model, 0.5, fit, number).model.named_parameters()) for number in (1, 2)]
    head = head_names(model)
    for name, parameter in model.named_parameters():
        noisy = layer == "all" or name in head
        assert [torch.equal(twin[name], parameter) for twin in twins] == [not noisy] * 2, name
        assert torch.equal(twins[0][name], twins[1][name]) == (not noisy), name


def test_the_mean_of_models_is_written_into_the_first(model: nn.Module) -> None:
    others = [copy.deepcopy(model) for _ in range(2)]
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for number, other in enumerate(others, start=1):
        for parameter in other.parameters():
            parameter.data += number
    average_into_first([model, *others])
    for parameter, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.data, old + 1)


def test_deni_predicts_with_all_models_that_train_at_the_time(model: nn.Module) -> None:
    method, fit = trained_deni(model, 10, members=3)
    members = method.models(model)
    assert len(members) == 3
    single = torch.stack([logits(member) for member in members])
    assert float((single[0] - single[1]).abs().max()) > 1e-5 < float((single[1] - single[2]).abs().max())
    torch.testing.assert_close(logits(method.for_evaluation(model, fit)), single.mean(dim=0))
    torch.testing.assert_close(logits(method.export(model, fit)), single.mean(dim=0))
    torch.testing.assert_close(logits(model), single[0])


@pytest.mark.parametrize(("best", "last"), [(1, 3), (3, 1), (2, 2)])
def test_the_best_state_may_have_another_number_of_models_than_the_last(model: nn.Module, best: int, last: int) -> None:
    def several(count: int, seed: int) -> MeanOfLogits:
        models = [copy.deepcopy(model) for _ in range(count)]
        generator = torch.Generator().manual_seed(seed)
        for one in models:
            for parameter in one.parameters():
                parameter.data += torch.randn(parameter.shape, generator=generator)
        return MeanOfLogits(models)

    good, evaluated = several(best, 1), several(last, 2)
    expected = logits(evaluated)
    kept = {name: tensor.clone() for name, tensor in evaluated.state_dict().items()}
    evaluated.load_state_dict(good.state_dict())
    torch.testing.assert_close(logits(evaluated), logits(good))
    evaluated.load_state_dict(kept)
    torch.testing.assert_close(logits(evaluated), expected)


@pytest.mark.parametrize("follow", [False, True])
def test_copies_have_the_peak_learning_rate_or_that_of_the_first_model(model: nn.Module, follow: bool) -> None:
    method, _ = trained_deni(model, 9, members=2, follow_schedule=follow)
    (one,) = method.copies
    # The rate of the ninth of ten steps, which has been taken.
    assert [group["lr"] for group in one.optimizer.param_groups] == pytest.approx([2e-3 if follow else 1e-2] * 2)


def test_copies_learn_from_batches_in_parts_what_they_learn_from_whole_ones(model: nn.Module) -> None:
    start_from = copy.deepcopy(model).double()
    found = []
    for size in (None, 4):
        first = copy.deepcopy(start_from)
        method, fit = trained_deni(first, 10, members=3, micro_batch=size)
        found.append(method.models(first))
        assert fit.cost.optimizer_steps == 10 + 2 * 4, "two copies at the steps 3, 5, 9 and 10"
    for whole, parts in zip(*found, strict=True):
        assert distance(whole, parts) < 1e-9
