"""FISH masks against the numbers of the official code, and the masks of the controls."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from amix.data.encoded import Batch
from amix.models.architecture import head_names
from amix.training.method import MethodError
from baselines.subnetwork._fixed_mask import FixedMask, body_parameters
from baselines.subnetwork.fish_mask import FishMask
from baselines.subnetwork.magnitude_mask import MagnitudeMask
from baselines.subnetwork.random_mask import RandomMask
from helpers.golden_cases import distance, tiny_bert
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import NOISE, GoldenFit, golden_fit, step


def body_names(model: nn.Module) -> list[str]:
    return [name for name, _ in model.named_parameters() if name not in head_names(model)]


def fish_fit(case: Case) -> GoldenFit:
    """A fit with the examples in the reference's order, in batches of two."""
    data = case.group("data/")
    order = data.pop("order")
    return golden_fit([{name: tensor[rows] for name, tensor in data.items()} for rows in order.split(2)])


@pytest.mark.parametrize("name", cases("fish_label*", "fish_expect*"))
def test_fish_has_the_official_importance_and_mask(name: str, record_parity: Parity) -> None:
    case = Case(name)
    model, fit = tiny_bert(case), fish_fit(case)
    given = case.hyperparameters
    settings = {"expected": "expect" in name, "absolute": "absolute" in name}
    method = FishMask(FishMask.Config(share=given["keep_ratio"], samples=given["num_samples"], **settings))
    method.on_fit_start(model, fit)
    names = body_names(model)
    for tensor, values in zip(names, method.importance(model, fit, method.body), strict=True):
        if NOISE not in tensor:
            record_parity(case, distance(values, case.tensor(f"importance/{tensor}")), case.limit("importance"))
    for tensor, mask in zip(names, method.masks, strict=True):
        record_parity(case, (mask != case.tensor(f"mask/{tensor}").to(mask)).sum(), case.limit("mask"))
    selected = torch.cat([mask.flatten() for mask in method.masks])
    assert int(selected.sum()) == given["kept_outside_head"]
    assert set(selected.nonzero().flatten().tolist()) == set(case.arrays["kept_flat_indices"].tolist())
    assert model.training
    for head in head_names(model):
        assert case.tensor(f"mask/{head}").all()


def test_absolute_importance_sums_the_stored_gradients() -> None:
    """label-absolute: the sum of |g| over the examples."""
    case = own_case("fish_label")
    model, fit = tiny_bert(case), fish_fit(case)
    weight = dict(model.named_parameters())["bert.pooler.dense.bias"]
    method = FishMask(FishMask.Config(samples=case.hyperparameters["num_samples"], absolute=True))
    expected = case.tensor("per_example_grad/bert.pooler.dense.bias").abs().sum(0)
    assert distance(method.importance(model, fit, [weight])[0], expected) < 1e-10


def test_absolute_importance_over_the_models_own_labels() -> None:
    """expect-absolute: sum over examples and labels of p |d log p / d theta|."""
    case = own_case("fish_expect")
    model, fit = tiny_bert(case), fish_fit(case)
    weight = dict(model.named_parameters())["bert.pooler.dense.bias"]
    importance = FishMask(FishMask.Config(samples=2, expected=True, absolute=True)).importance(model, fit, [weight])[0]
    expected = torch.zeros_like(weight)
    log_p = fit.logits(model.eval(), fit.given[0]).log_softmax(-1)
    for value in log_p.flatten():
        (gradient,) = torch.autograd.grad(value, weight, retain_graph=True)
        expected += value.exp().detach() * gradient.abs()
    assert distance(importance, expected) < 1e-10


def test_fish_uses_only_the_requested_number_of_examples() -> None:
    case = own_case("fish_label")
    model, fit = tiny_bert(case), fish_fit(case)
    method = FishMask(FishMask.Config(samples=3))
    weight = dict(model.named_parameters())["bert.pooler.dense.bias"]
    values = method.importance(model, fit, [weight])[0]
    assert distance(values, (case.tensor("per_example_grad/bert.pooler.dense.bias")[:3] ** 2).sum(0)) < 1e-10


class Linear(nn.Module):
    """A model whose loss has the stored gradients: its output is the sum of parameters times an example's gradients."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.gradients = case.group("per_example_grad/")
        self.base_model = nn.ModuleDict({"enc": nn.Module(), "pool": nn.Module()})
        self.classifier = nn.Module()
        for name, values in self.gradients.items():
            parent, last = name.split(".")
            module = self.classifier if parent == "classifier" else self.base_model[parent]
            module.register_parameter(last, nn.Parameter(torch.zeros(values.shape[1:], dtype=torch.float64)))

    def forward(self, example: Tensor) -> SimpleNamespace:
        named = {name.removeprefix("base_model."): parameter for name, parameter in self.named_parameters()}
        terms = [(named[name] * values[example]).flatten(1).sum(1) for name, values in self.gradients.items()]
        return SimpleNamespace(logits=torch.stack(terms).sum(0, keepdim=True).T)


class SumFit(GoldenFit):
    """A Fit whose loss is the model's output."""

    def task_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        return logits.sum()


@pytest.mark.parametrize("name", cases("fish_given_gradients*"))
def test_fish_selects_like_the_official_code_from_given_gradients(name: str, record_parity: Parity) -> None:
    case = Case(name)
    plain, model = golden_fit(), Linear(case)
    examples = torch.arange(case.hyperparameters["examples"])
    batches: list[Batch] = [{"example": numbers, "labels": numbers} for numbers in examples.split(4)]
    fit = SumFit(plain.task, plain.recipe, 1, plain.train, plain.dev, given=batches)
    method = FishMask(FishMask.Config(share=case.hyperparameters["keep_ratio"]))
    method.on_fit_start(model, fit)
    names = [name.removeprefix("base_model.") for name in body_names(model)]
    assert set(names) == set(case.arrays["names"].tolist()) - {"classifier.weight"}
    for name, mask in zip(names, method.masks, strict=True):
        record_parity(case, (mask != case.tensor(f"mask/{name}").to(mask)).sum(), case.limit("mask"))


def test_a_share_smaller_than_the_head_is_refused_with_the_smallest_possible_one() -> None:
    model = tiny_bert(own_case("fish_label"))
    with pytest.raises(MethodError, match=r"choose one above 0\.0"):
        FishMask(FishMask.Config(share=0.001)).on_fit_start(model, golden_fit())


def selected(method: FixedMask, model: nn.Module, seed: int = 1) -> Tensor:
    fit = golden_fit()
    fit.seed = seed
    method.on_fit_start(model, fit)
    return torch.cat([mask.flatten() for mask in method.masks]) > 0


def test_the_controls_select_at_random_and_by_magnitude() -> None:
    model = tiny_bert(own_case("fish_label"))
    everything = sum(parameter.numel() for parameter in model.parameters())
    count = int(0.3 * everything) - sum(p.numel() for n, p in model.named_parameters() if n in head_names(model))
    magnitudes = torch.cat([parameter.detach().abs().flatten() for parameter in body_parameters(model)])
    random, largest, smallest = (
        selected(method, model)
        for method in (
            RandomMask(RandomMask.Config(share=0.3)),
            MagnitudeMask(MagnitudeMask.Config(share=0.3)),
            MagnitudeMask(MagnitudeMask.Config(share=0.3, smallest=True)),
        )
    )
    assert int(random.sum()) == int(largest.sum()) == int(smallest.sum()) == count
    assert float(magnitudes[largest].min()) >= float(magnitudes[~largest].max())
    assert float(magnitudes[smallest].max()) <= float(magnitudes[~smallest].min())
    method = RandomMask(RandomMask.Config(share=0.3))
    assert torch.equal(selected(method, model), random)
    assert not torch.equal(selected(method, model, seed=2), random)
    for mask in method.masks:
        assert mask.numel() < 200 or 0.15 < float(mask.mean()) < 0.45


def ones(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return ((name, torch.ones_like(parameter)) for name, parameter in model.named_parameters())


def test_weights_outside_the_mask_stay_pretrained() -> None:
    model, fit = tiny_bert(own_case("fish_label")), golden_fit(weight_decay=0.1)
    before = [parameter.detach().clone() for parameter in body_parameters(model)]
    method = RandomMask(RandomMask.Config(share=0.3, lr=0.01))
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    method.on_fit_start(model, fit)
    for _ in range(2):
        step(method, model, fit, dict(ones(model)))
    for parameter, old, mask in zip(method.body, before, method.masks, strict=True):
        assert torch.equal(parameter != old, mask > 0)
