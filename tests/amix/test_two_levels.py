"""The search over two levels of a model's own parameters: derivative, what trains when, and what selection keeps."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call

from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import HypergradientOptions
from amix.mixup.levels import Levels
from amix.models.loading import load_model
from amix.training.method import MethodError
from amix.training.registry import find_method
from baselines.parameter_efficient._two_levels import TwoLevel
from baselines.parameter_efficient.autolora import AutoLoRA, Selection
from baselines.parameter_efficient.bilora import PseudoSVD
from helpers.golden_cases import distance
from helpers.parity import golden_fit
from helpers.toy_encoders import Bench

METHODS = ("bidora", "bidora_official", "bilora", "autolora")


class Small(nn.Module):
    """y = (W x) o scale: scale is the upper level."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.scale = nn.Linear(4, 3), nn.Parameter(torch.rand(3))
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.hidden(x).tanh() * self.scale).sum(dim=1)


@pytest.mark.parametrize("estimator", ["exact", "central", "forward"])
def test_the_derivative_of_a_plain_step_is_that_of_autograd(estimator: Any) -> None:
    model, x, v = Small(), torch.randn(6, 4).double(), torch.randn(5, 4).double()
    levels = Levels(model, {"scale": model.scale})
    lower = torch.optim.SGD(levels.lower.values(), lr=0.1)
    options = HypergradientOptions(estimator, point="before", preconditioner="identity", radius=1e-6)
    step = BilevelStep(levels, lower, torch.optim.SGD(levels.attention, lr=0.0), options)
    weights = {name: parameter.detach().clone() for name, parameter in levels.lower.items()}
    found = step(lambda: (model(x) - 1).square().mean(), lambda: (model(v) + 1).square().mean())

    scale = model.scale.detach().clone().requires_grad_()
    begin = {name: tensor.requires_grad_() for name, tensor in weights.items()}
    first = (functional_call(model, {**begin, "scale": scale}, (x,)) - 1).square().mean()
    gradients = torch.autograd.grad(first, list(begin.values()), create_graph=True)
    moved = {name: tensor - 0.1 * g for (name, tensor), g in zip(begin.items(), gradients, strict=True)}
    upper = (functional_call(model, {**moved, "scale": scale}, (v,)) + 1).square().mean()
    (expected,) = torch.autograd.grad(upper, scale)
    assert distance(found.total()[0], expected) < (1e-12 if estimator == "exact" else 1e-4)


def test_an_empty_level_is_refused() -> None:
    model = Small()
    with pytest.raises(ValueError, match="one of them is empty"):
        Levels(model, {})
    with pytest.raises(ValueError, match="one of them is empty"):
        Levels(model, dict(model.named_parameters()))


@pytest.mark.parametrize("name", METHODS)
def test_the_model_starts_as_pretrained_and_each_level_has_its_parameters(bench: Bench, name: str) -> None:
    fit = golden_fit()
    batch = {"input_ids": torch.arange(5, 17).view(2, 6), "attention_mask": torch.ones(2, 6, dtype=torch.long)}
    plain = load_model(bench.encoders["bert"], fit.task, 1).eval()
    logits = fit.logits(plain, batch)
    method = find_method(name)()
    assert isinstance(method, TwoLevel)
    model = method.prepare(plain, fit)
    same = torch.allclose(fit.logits(model, batch), logits, atol=1e-5)
    assert same == (name != "bidora_official")  # Whose query and value weights are transposed.
    levels = method.levels(model)
    assert len(levels.attention) == 4
    trained = {id(parameter) for group in method.param_groups(model, fit) for parameter in group["params"]}
    assert trained == {id(parameter) for parameter in (*levels.attention, *levels.lower.values())}
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    assert bool(frozen) == (name != "bidora_official")


def test_the_increments_follow_their_equations() -> None:
    torch.manual_seed(1)
    W0 = torch.randn(5, 7)
    svd = PseudoSVD(W0, 3, 2.0, torch.Generator().manual_seed(0))
    svd.singular.data.copy_(torch.tensor([1.0, -2.0, 0.5]))
    P, Q = svd.left.detach(), svd.right.detach()
    torch.testing.assert_close(svd(W0).detach(), W0 + 2.0 * P @ torch.diag(svd.singular.detach()) @ Q)
    expected = ((P.T @ P - torch.eye(3)) ** 2).sum() + ((Q @ Q.T - torch.eye(3)) ** 2).sum()
    torch.testing.assert_close(svd.penalty(W0).detach(), expected)


def test_selection_keeps_terms_with_more_than_an_equal_share() -> None:
    W0 = torch.randn(5, 7)
    parts = Selection(W0, 4, 8.0, torch.Generator().manual_seed(0))
    parts.lora_B.data.normal_()
    torch.testing.assert_close(parts(W0), W0 + 8.0 / 4 * parts.lora_B @ parts.lora_A)
    parts.selection.data.copy_(torch.tensor([1.0, -1.0, 0.9, -3.0]))
    parts.settle()
    assert parts.kept.tolist() == [1, 0, 1, 0]
    torch.testing.assert_close(parts(W0), W0 + 8.0 / 2 * parts.lora_B[:, [0, 2]] @ parts.lora_A[[0, 2]])


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"unroll": 0}, {"lower_share": 1.0}])
def test_meaningless_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(MethodError):
        AutoLoRA.Config(**wrong)


def test_missing_targets_are_an_error(bench: Bench) -> None:
    model = load_model(bench.encoders["bert"], golden_fit().task, 1)
    with pytest.raises(MethodError, match="has no layer called 'nothing'"):
        AutoLoRA(AutoLoRA.Config(targets=("nothing",))).prepare(model, golden_fit())
