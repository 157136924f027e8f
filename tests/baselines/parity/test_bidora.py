"""BiDoRA's layer, regulariser and training loop against the numbers of the released code."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaForSequenceClassification

from amix.data.encoded import Batch
from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import Hypergradient
from amix.specs.recipe import Recipe
from amix.specs.tasks import find_task
from amix.training.loop import start, train_step
from amix.training.method import MethodError
from baselines.parameter_efficient._two_levels import Search
from baselines.parameter_efficient.bidora import BiDoRA, DirectionAndMagnitude
from baselines.parameter_efficient.bidora_official import BiDoRAOfficial
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases
from helpers.parity import NOISE, GoldenFit, golden_fit, tiny_classifier


def increment(W0: Tensor, A: Tensor, B: Tensor, m: Tensor | None = None) -> DirectionAndMagnitude:
    layer = DirectionAndMagnitude(W0, len(A), 1.0, torch.Generator()).double()
    for name, values in {"lora_A": A, "lora_B": B, "m": m}.items():
        if values is not None:
            layer.get_parameter(name).data.copy_(values)
    return layer


@pytest.mark.parametrize("transposed", [True, False])
@pytest.mark.parametrize("name", cases("bidora_layer*"))
def test_the_layer_equals_the_released_and_the_described_one(
    name: str, transposed: bool, record_parity: Parity
) -> None:
    case = Case(name)
    prefix, tolerance = "" if transposed else "described/", case.limit("all")
    if f"{prefix}y" not in case.arrays:
        assert not transposed
        assert case.arrays["W0"].shape[0] != case.arrays["W0"].shape[1]
        return  # The released layer and the described one take inputs of different widths.
    layer = increment(*(case.tensor(key) for key in ("W0", "A", "B", "m")))
    layer.transposed = transposed
    W0, x = case.tensor("W0").requires_grad_(), case.tensor("x").requires_grad_()
    bias = case.tensor("b") if "b" in case.arrays else None
    y = nn.functional.linear(x, layer(W0), bias)
    record_parity(case, distance(y, case.tensor(f"{prefix}y")), tolerance)
    record_parity(case, distance(layer.direction(W0), case.tensor("V_dir")), tolerance)
    (y * case.tensor("c")).sum().backward()
    gradients: dict[str, Any] = {"W0": W0.grad, "x": x.grad, "m": layer.m.grad}
    gradients |= {"A": layer.lora_A.grad, "B": layer.lora_B.grad}
    for key, gradient in gradients.items():
        expected = case.tensor(f"{prefix}grad_{key}")
        scale = max(float(expected.abs().max()), 0.01)  # Some gradients are zero but for rounding.
        record_parity(case, float((gradient - expected).abs().max()) / scale, tolerance)


@pytest.mark.parametrize("name", cases("bidora_regulariser*"))
def test_the_regulariser_and_its_gradients_equal_the_released_ones(name: str, record_parity: Parity) -> None:
    case = Case(name)
    count, tolerance = len(case.hyperparameters["shapes_out_in"]), case.limit("all")
    layers = [increment(*(case.tensor(f"l{k}/{key}") for key in ("W0", "A", "B"))) for k in range(count)]
    weights = [case.tensor(f"l{k}/W0").requires_grad_() for k in range(count)]
    terms = torch.stack([layer.penalty(weight) for layer, weight in zip(layers, weights, strict=True)])
    loss = case.hyperparameters["weight"] * terms.mean()
    record_parity(case, distance(loss, case.tensor("loss")), tolerance)
    loss.backward()
    for k, (layer, weight) in enumerate(zip(layers, weights, strict=True)):
        record_parity(case, distance(terms[k], case.tensor(f"l{k}/fro")), tolerance)
        for key, tensor in {"W0": weight, "A": layer.lora_A, "B": layer.lora_B}.items():
            assert tensor.grad is not None
            record_parity(case, distance(tensor.grad, case.tensor(f"l{k}/grad_{key}")), tolerance)


class Recorded(BiDoRAOfficial):
    """The method, with its hypergradients recorded."""

    hypergradients: list[Hypergradient]

    def after_upper_step(self, step: BilevelStep, hypergradient: Hypergradient) -> None:
        self.hypergradients.append(hypergradient)
        super().after_upper_step(step, hypergradient)


def recipe(case: Case) -> dict[str, Any]:
    given = case.hyperparameters
    return {
        "lr": given["lr_lower"], "steps": given["max_step"], "warmup_ratio": given["warmup_step"] / given["max_step"],
        "weight_decay": given["weight_decay_lower"], "betas": tuple(given["betas"]), "adam_epsilon": given["eps"],
        "clip_norm": 1e9,
    }  # fmt: skip


def started(case: Case) -> tuple[Recorded, nn.Module, GoldenFit]:
    """The method, the model with the case's weights, and a fit with its lower batches."""
    given = case.hyperparameters
    config = BiDoRAOfficial.Config(
        rank=given["r"], upper_lr=given["lr_upper"], upper_decay=given["weight_decay_upper"],
        unroll=given["unroll_steps"], regulariser=given["regulariser_weight"], betty=given["betty"],
    )  # fmt: skip
    assert config.options().radius == given["finite_difference_radius"]
    batches = [case.batch("lower", i) for i in range(given["iterations"])]
    fit = golden_fit(batches, **recipe(case))
    model = RobertaForSequenceClassification(RobertaConfig(**given["model"], attn_implementation="eager")).double()
    model.load_state_dict(case.group("init/"), strict=True)
    method = Recorded(config)
    method.hypergradients = []
    method.prepare(model.train(), fit)
    for name, values in case.group("init_lora/").items():
        model.get_parameter(ours(name)).data.copy_(values)
    for name, values in case.group("init_m/").items():
        assert distance(model.get_parameter(ours(name)), values) < 1e-12
    return method, model, fit


def ours(name: str) -> str:
    """The model's name for a tensor of the case."""
    module, _, last = name.rpartition(".")
    if last in ("lora_A", "lora_B", "m"):
        return f"{module}.parametrizations.weight.0.{last}"
    return f"{module}.parametrizations.weight.original" if name.endswith(("query.weight", "value.weight")) else name


def upper_batches(case: Case) -> Iterator[Batch]:
    for number in range(case.hyperparameters["upper_updates"]):
        yield case.batch("upper", number)


def check_parameters(model: nn.Module, case: Case, prefix: str, row: int, record_parity: Parity) -> None:
    for name, values in case.group(prefix).items():
        if NOISE not in name:
            scale = float(values.abs().max())
            difference = float((model.get_parameter(ours(name)).detach() - values[row]).abs().max())
            record_parity(case, difference / scale, case.limit("parameters"))


@pytest.mark.parametrize("name", cases("bidora_loop*"))
def test_search_and_retraining_equal_the_released_ones(name: str, record_parity: Parity) -> None:
    case = Case(name)
    method, model, fit = started(case)
    levels = method.levels(model)
    initial = {key: parameter.detach().clone() for key, parameter in levels.lower.items()}
    search = Search(method, levels, fit.train)
    start(search, model, fit)
    search.upper_batches = upper_batches(case)
    for row, batch in enumerate(fit.batches(0)):
        assert fit.optimizer is not None
        assert fit.optimizer.param_groups[0]["lr"] == pytest.approx(float(case.arrays["lr_lower"][row]), rel=1e-12)
        loss = train_step(search, model, batch, fit)
        record_parity(case, distance(loss, case.tensor("loss_lower")[row]), case.limit("losses"))
        check_parameters(model, case, "param/", row, record_parity)
    assert len(method.hypergradients) == case.hyperparameters["upper_updates"]
    check_hypergradients(method, case, method.names, record_parity)
    if "retrain_iters" in case.hyperparameters:
        method.reset_lower(model, levels, initial)
        check_retraining(method, model, case, record_parity)


def check_hypergradients(method: Recorded, case: Case, modules: list[str], record_parity: Parity) -> None:
    for row, hypergradient in enumerate(method.hypergradients):
        record_parity(case, distance(hypergradient.upper_loss, case.tensor("loss_upper")[row]), case.limit("losses"))
        for module, direct, total in zip(modules, hypergradient.direct, hypergradient.total(), strict=True):
            for key, found, kind in (("direct", direct, "direct"), ("hypergrad", total, "hypergradient")):
                expected = case.tensor(f"{key}/{module}.m")
                difference = float((found - expected[row]).abs().max() / expected.abs().max())
                record_parity(case, difference, case.limit(kind))


def check_retraining(method: Recorded, model: nn.Module, case: Case, record_parity: Parity) -> None:
    given = case.hyperparameters
    count = given["retrain_iters"]
    changes = {
        "lr": given["retrain_lr"], "steps": count, "weight_decay": given["retrain_weight_decay"],
        "warmup_ratio": given["retrain_warmup"] / count,
    }  # fmt: skip
    fit = golden_fit([case.batch("retrain_batch", i) for i in range(count)], **(recipe(case) | changes))
    start(method, model, fit)
    for row, batch in enumerate(fit.batches(0)):
        loss = train_step(method, model, batch, fit)
        record_parity(case, distance(loss, case.tensor("retrain/loss_lower")[row]), case.limit("losses"))
        check_parameters(model, case, "retrain/param/", row, record_parity)


def test_only_the_released_form_needs_square_matrices() -> None:
    model, linear = tiny_classifier("bert"), nn.Linear(3, 4)
    model.bert.encoder.layer[0].attention.self.query = linear
    with pytest.raises(MethodError, match=r"must be square: bert.encoder.layer.0.attention.self.query is \(4, 3\)"):
        BiDoRAOfficial().check_encoder(model, find_task("sst2"), Recipe())
    weight = BiDoRA().increment(linear, torch.Generator().manual_seed(0))(linear.weight)
    torch.testing.assert_close(weight, linear.weight)
