"""Selective projection decay against the numbers of its official optimizer."""

import pytest
import torch
from torch import nn

from amix.training.fit import Fit
from baselines.towards_pretrained.spd import SPD
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import golden_fit, set_lr, step


class Tensors(nn.Module):
    """The tensors of a case under their names; those whose names start with "head" are the head."""

    def __init__(self, case: Case, prefix: str) -> None:
        super().__init__()
        self.body = nn.Module()
        for name, values in case.group(prefix).items():
            part, _, last = name.partition(".")
            parent = self if part == "head" else self.body
            if not hasattr(parent, part):
                parent.add_module(part, nn.Module())
            parent.get_submodule(part).register_parameter(last, nn.Parameter(values))

    @property
    def base_model(self) -> nn.Module:
        return self.body


def named(name: str) -> str:
    """The model's name for a tensor of the case."""
    return name if name.startswith("head") else f"body.{name}"


def started(case: Case, project_head: bool = True) -> tuple[SPD, nn.Module, Fit]:
    """Method, model and fit at the start of the case, with the case's initial weights and anchors."""
    given = case.hyperparameters
    (strength,) = set(given["weight_decay"].values())
    recipe = {"lr": given["lr"], "betas": tuple(given["betas"]), "adam_epsilon": given["eps"], "weight_decay": 0.0}
    fit = golden_fit(**recipe)
    method = SPD(SPD.Config(strength=strength, project_head=project_head, amsgrad=given["amsgrad"]))
    model = Tensors(case, "pretrained/" if given["anchor"] != "zero" else "init/")
    if given["anchor"] == "zero":
        for parameter in model.parameters():
            parameter.data.zero_()
    method.on_fit_start(model, fit)
    with torch.no_grad():
        for name, values in case.group("init/").items():
            model.get_parameter(named(name)).copy_(values)
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    return method, model, fit


def gradients(case: Case, number: int) -> dict[str, torch.Tensor]:
    """The gradients of one step, by the model's names, without tensors that had none."""
    missing = case.hyperparameters.get("no_gradient", [])
    without = {entry["tensor"] for entry in missing if entry["step_index"] == number}
    return {named(name): v[number] for name, v in case.group("grad/").items() if name not in without}


@pytest.mark.parametrize("name", cases("spd_*"))
def test_spd_steps_like_the_official_optimizer(name: str, record_parity: Parity) -> None:
    case = Case(name)
    method, model, fit = started(case)
    worst = {"parameters": 0.0, "ratio": 0.0}
    for number in range(case.hyperparameters["steps"]):
        if "lr_per_step" in case.hyperparameters:
            set_lr(fit, case.hyperparameters["lr_per_step"][number])
        step_gradients = gradients(case, number)
        step(method, model, fit, step_gradients)
        triples = zip(method.weights, method.conditions, method.ratios, strict=True)
        decisions = {id(weight): (condition < 0, ratio) for weight, condition, ratio in triples}
        assert len(decisions) == len(step_gradients)
        for tensor, values in case.group("param/").items():
            parameter = model.get_parameter(named(tensor))
            worst["parameters"] = max(worst["parameters"], distance(parameter, values[number]))
            if id(parameter) in decisions:
                triggered, ratio = decisions[id(parameter)]
                assert bool(triggered) == bool(case.arrays[f"triggered/{tensor}"][number]), (tensor, number)
                expected = float(case.arrays[f"ratio/{tensor}"][number])
                worst["ratio"] = max(worst["ratio"], abs(float(ratio) - expected))
    assert any(values.any() for values in case.group("triggered/").values())
    for kind, difference in worst.items():
        record_parity(case, difference, case.limit(kind))


def test_the_head_is_not_projected_by_default() -> None:
    case = own_case("spd_anchor")
    method, model, fit = started(case, project_head=False)
    for number in range(case.hyperparameters["steps"]):
        step(method, model, fit, gradients(case, number))
    for tensor, values in case.group("param/").items():
        assert (distance(model.get_parameter(named(tensor)), values[-1]) < 1e-12) == (not tensor.startswith("head"))
