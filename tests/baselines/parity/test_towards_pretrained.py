"""Mixout, and decoupled and coupled decay towards the pretrained weights, against the official codes."""

import pytest
import torch
from torch import Tensor, nn

from amix.training.method import Method
from baselines.towards_pretrained.l2_sp import L2SP
from baselines.towards_pretrained.mixout import Mixout
from baselines.towards_pretrained.pretrained_decay import PretrainedDecay
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import golden_fit, step, tiny_classifier


class StoredMask(Mixout):
    """Mixout with the reference's mask."""

    mask: Tensor

    def draw_masks(self) -> list[Tensor]:
        return [self.mask]


@pytest.mark.parametrize("unscaled", [True, False])
@pytest.mark.parametrize("name", cases("mixout_*"))
def test_mixout_has_the_official_outputs_and_gradients(name: str, unscaled: bool, record_parity: Parity) -> None:
    case = Case(name)
    model = nn.Sequential(nn.Linear(case.hyperparameters["in_features"], case.hyperparameters["out_features"]).double())
    linear, x, c = model[0], case.tensor("x").requires_grad_(), case.tensor("c")
    linear.load_state_dict({"weight": case.tensor("W0"), "bias": case.tensor("b")})
    method = StoredMask(Mixout.Config(p=case.hyperparameters["p"], mix_head=True, unscaled_gradient=unscaled))
    method.mask = case.tensor("M").double()
    fit = golden_fit()
    method.on_fit_start(model, fit)
    with torch.no_grad():
        linear.weight.copy_(case.tensor("W"))
    method.mix()
    y = model(x)
    (y * c).sum().backward()
    method.after_backward(model, fit)
    values = {"y_train": y, "grad_b": linear.bias.grad, "grad_x": x.grad, "y_eval": model(x)}
    values["grad_W" if unscaled else "grad_W_true"] = linear.weight.grad
    for tensor, value in values.items():
        record_parity(case, distance(value, case.tensor(tensor)), case.limit("all"))
    assert torch.equal(linear.weight, case.tensor("W"))


class Named(nn.Module):
    """The tensors of the prior_wd case under their names: a body and a head."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        values = case.group("init/")
        self.enc = nn.Linear(*reversed(values["enc.weight"].shape))
        self.head = nn.Linear(*reversed(values["head.weight"].shape), bias=False)
        self.double().load_state_dict(values, strict=True)

    @property
    def base_model(self) -> nn.Module:
        return self.enc


def prior_decay_differences(case: Case, pull_head: bool) -> dict[str, list[float]]:
    """Relative differences from the case's parameters after every step."""
    model, fit = Named(case), golden_fit(lr=case.hyperparameters["lr"], weight_decay=0.0)
    decay = case.hyperparameters["lam"]["enc.weight"]
    method = PretrainedDecay(PretrainedDecay.Config(decay=decay, pull_head=pull_head))
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    method.on_fit_start(model, fit)
    parameters = dict(model.named_parameters())
    differences: dict[str, list[float]] = {name: [] for name in parameters}
    for number in range(case.hyperparameters["steps"]):
        step(method, model, fit, {name: values[number] for name, values in case.group("grad/").items()})
        for name, values in case.group("param/").items():
            differences[name].append(distance(parameters[name], values[number]))
    return differences


@pytest.mark.parametrize("name", cases("prior_wd*"))
def test_decay_towards_pretrained_steps_like_the_official_optimizer(name: str, record_parity: Parity) -> None:
    case = Case(name)
    for differences in prior_decay_differences(case, pull_head=True).values():
        record_parity(case, max(differences), case.limit("parameters"))


def test_the_head_is_not_pulled_by_default() -> None:
    """The head differs from the second step on: at the first, it is at its initial weights."""
    differences = prior_decay_differences(own_case("prior_wd"), pull_head=False)
    head = differences.pop("head.weight")
    assert head[0] < 1e-12 < min(head[1:])
    assert max(max(values) for values in differences.values()) < 1e-12


class Stacked(nn.Module):
    """The tensors of the l2sp case under their names, at the pretrained values: a body of two layers and a head."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        shapes = {name: values.shape for name, values in case.group("w/").items()}
        layers = [nn.Linear(*reversed(shapes[f"enc.{i}.weight"]), bias=f"enc.{i}.bias" in shapes) for i in range(2)]
        self.enc = nn.Sequential(*layers)
        self.head = nn.Linear(*reversed(shapes["head.weight"]))
        self.double().load_state_dict(case.group("w/") | case.group("w0/"), strict=True)

    @property
    def base_model(self) -> nn.Module:
        return self.enc


@pytest.mark.parametrize("names", ["weights_only", "all"])
@pytest.mark.parametrize("name", cases("l2sp*"))
def test_l2_sp_has_the_official_penalty_and_gradient(name: str, names: str, record_parity: Parity) -> None:
    case = Case(name)
    settings = case.hyperparameters
    model, fit = Stacked(case), golden_fit()
    method = L2SP(L2SP.Config(alpha=settings["alpha"], beta=settings["beta"], all_parameters=names == "all"))
    method.on_fit_start(model, fit)
    model.load_state_dict(case.group("w/"), strict=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    record_parity(case, distance(method.penalty(), case.tensor(f"penalty_{names}")), case.limit("all"))
    method.after_backward(model, fit)
    expected = case.group(f"grad_{names}/")
    assert set(expected) == {name for name, _ in model.named_parameters() if names == "all" or name.endswith("weight")}
    for tensor, parameter in model.named_parameters():
        gradient = expected.get(tensor, torch.zeros_like(parameter))
        record_parity(case, distance(parameter.grad, gradient), case.limit("all"))


def test_l2_sp_has_the_gradient_of_the_penalised_loss() -> None:
    """The penalty excludes LayerNorms; automatic differentiation gives the reference."""
    torch.manual_seed(0)
    model, fit = tiny_classifier("bert").double().eval(), golden_fit()
    method, start = L2SP(), {name: p.detach().clone() for name, p in model.named_parameters()}
    method.on_fit_start(model, fit)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    batch = {"input_ids": torch.arange(12).view(2, 6), "labels": torch.tensor([0, 1])}
    loss = method.loss(model, batch, fit)
    fit.backward(loss)
    method.after_backward(model, fit)
    gradients = [parameter.grad for parameter in model.parameters()]
    weights = {n: p for n, p in model.named_parameters() if n.endswith("weight") and "LayerNorm" not in n}
    pulled = [(p - start[n]).square().sum() for n, p in weights.items() if n != "classifier.weight"]
    penalty = 0.05 * torch.stack(pulled).sum() + 0.005 * model.classifier.weight.square().sum()
    expected = Method().loss(model, batch, fit) + penalty
    assert distance(loss, expected.detach()) < 1e-12
    for gradient, reference in zip(gradients, torch.autograd.grad(expected, list(model.parameters())), strict=True):
        assert distance(gradient, reference) < 1e-12
