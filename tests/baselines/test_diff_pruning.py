"""The gates and the mask of diff pruning, without numbers of the official code."""

import pytest
import torch
from torch import Tensor

from amix.random_streams import tensor_generator
from amix.training.loop import train_step
from baselines.subnetwork._fixed_mask import body_parameters
from baselines.subnetwork.diff_pruning import (
    LOWER,
    UPPER,
    DiffConfig,
    DiffPruning,
    Gates,
    draw_shares_,
    expected_gates,
    gates,
    slopes,
)
from helpers.golden_cases import distance, tiny_bert
from helpers.official_cases import own_case
from helpers.parity import golden_fit


def test_gates_are_stretched_sigmoids_and_slopes_their_derivatives() -> None:
    generator = torch.Generator().manual_seed(3)
    alpha = torch.linspace(-4, 6, 201, dtype=torch.float64, requires_grad=True)
    uniform = torch.empty_like(alpha, requires_grad=False).uniform_(1e-4, 1 - 1e-4, generator=generator)
    share = torch.sigmoid(torch.log(uniform) - torch.log(1 - uniform) + alpha)
    expected = (share * (UPPER - LOWER) + LOWER).clamp(0, 1)
    (slope,) = torch.autograd.grad(expected.sum(), alpha)
    drawn = draw_shares_(uniform.clone(), alpha.detach())
    gate = gates(drawn)
    assert distance(gate, expected.detach()) < 1e-14
    assert distance(slopes(drawn), slope) < 1e-12
    assert 20 < int((gate == 0).sum()) < 180
    assert 20 < int((gate == 1).sum()) < 180
    assert bool((slope > 0).any())


def test_expected_gates_open_with_alpha() -> None:
    values = expected_gates(torch.tensor([-5.0, 0.0, 0.2, 5.0]))
    assert values[0] == 0
    assert values[1] == 0
    assert 0 < values[2] < 1
    assert values[3] == 1


class FixedUniform(Gates):
    """Gates with the same noise at every step."""

    def draw_uniform_(self, tensor: Tensor) -> None:
        tensor.uniform_(0.3, 0.9, generator=tensor_generator(5, "gates", tensor.numel()))


def test_the_gradients_of_differences_and_gates_equal_those_of_autograd() -> None:
    case = own_case("fish_label")
    model, fit = tiny_bert(case), golden_fit()
    data = case.group("data/")
    data.pop("order")
    body = body_parameters(model)
    method = FixedUniform(DiffConfig(penalty=0.01, gate_start=0.3), body)
    for delta in method.deltas:
        delta.data.normal_(0, 0.1, generator=torch.Generator().manual_seed(delta.numel()))
    deltas, alphas = ([t.detach().clone().requires_grad_() for t in ts] for ts in (method.deltas, method.alphas))
    method.on_fit_start(model, fit)
    method.before_loss(model, fit)
    loss = method.loss(model, data, fit)
    loss.backward()
    method.after_backward(model, fit)

    names = {id(parameter): name for name, parameter in model.named_parameters()}
    weights = dict(model.named_parameters())
    for parameter, pretrained, delta, alpha in zip(body, method.pretrained, deltas, alphas, strict=True):
        method.draw_uniform_(uniform := torch.empty_like(alpha, requires_grad=False))
        share = torch.sigmoid(torch.logit(uniform) + alpha)
        weights[names[id(parameter)]] = pretrained + (share * (UPPER - LOWER) + LOWER).clamp(0, 1) * delta
    inputs = {name: tensor for name, tensor in data.items() if name != "labels"}
    outputs = torch.func.functional_call(model, weights, (), inputs).logits
    expected = fit.task_loss(outputs, data)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    penalty = 0.01 * torch.stack([alpha.sigmoid().sum() for alpha in alphas]).sum()
    gradients = torch.autograd.grad(expected + penalty, [*deltas, *alphas])
    for parameter, gradient in zip([*method.deltas, *method.alphas], gradients, strict=True):
        assert parameter.grad is not None
        assert float((parameter.grad - gradient).abs().max()) < 1e-12
    assert all(parameter.grad is None for parameter in body)


def test_the_second_stage_keeps_the_largest_differences_and_trains_only_these() -> None:
    case = own_case("fish_label")
    model = tiny_bert(case)
    data = case.group("data/")
    data.pop("order")
    pretrained = [parameter.detach().clone() for parameter in body_parameters(model)]
    fit = golden_fit([data], steps=3, lr=0.01, warmup_ratio=0.0)
    fit.total_steps = 3
    method = DiffPruning(DiffPruning.Config(share=0.2, lr=None))
    method.gates = Gates(method.config, body_parameters(model))
    for parameter in body_parameters(model):
        parameter.data.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)).double() * 0.01)
    changed = [parameter.detach().clone() for parameter in body_parameters(model)]
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    fit.scheduler = method.schedule(fit.optimizer, fit)
    method.on_fit_start(model, fit)
    sizes = torch.cat([(new - old).abs().flatten() for new, old in zip(changed, pretrained, strict=True)])
    selected = torch.cat([mask.flatten() for mask in method.masks]) > 0
    everything = sum(parameter.numel() for parameter in model.parameters())
    head = everything - selected.numel()
    assert int(selected.sum()) == int(0.2 * everything) - head
    assert float(sizes[selected].min()) >= float(sizes[~selected].max())
    for parameter, old, new, mask in zip(method.body, pretrained, changed, method.masks, strict=True):
        assert torch.equal(parameter.detach(), torch.where(mask > 0, new, old))
    train_step(method, model, data, fit)
    for parameter, old, mask in zip(method.body, pretrained, method.masks, strict=True):
        assert torch.equal(parameter.detach()[mask == 0], old[mask == 0])
