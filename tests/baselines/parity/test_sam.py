"""SAM, adaptive SAM and FSAM against released code, step by step through the training loop."""

import math
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amix.training.fit import Fit
from amix.training.loop import train_step
from amix.training.method import MethodError
from baselines.smoothness.fsam import FSAM
from baselines.smoothness.sam import SAM, global_norm
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import NOISE, GoldenFit, golden_fit, tiny_double


@dataclass
class WatchedFit(GoldenFit):
    """A Fit that records the losses of its backward passes."""

    losses: list[Tensor] = field(default_factory=list)

    def backward(self, loss: Tensor) -> None:
        self.losses.append(loss.detach())
        super().backward(loss)


class Watched(SAM):
    """SAM that records the norm by which e is divided, e, and the second gradient."""

    def perturb(self, parameters: list[Tensor], gradients: list[Tensor], fit: Fit) -> None:
        adaptive = getattr(self.config, "adaptive", False)
        weights = [parameter.detach().abs() if adaptive else 1.0 for parameter in parameters]
        self.norm = global_norm([weight * gradient for weight, gradient in zip(weights, gradients, strict=True)])
        super().perturb(parameters, gradients, fit)
        self.perturbations = [gradient.clone() for gradient in gradients]

    def before_step(self, model: nn.Module, fit: Fit) -> None:
        self.second = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


class WatchedFSAM(Watched, FSAM):
    """FSAM, watched."""


def started(case: Case, method: SAM, model: nn.Module, **recipe: Any) -> WatchedFit:
    """A fit with the case's settings and one parameter group, without clipping unless the recipe says so."""
    given = case.hyperparameters
    adam = {"betas": tuple(given["betas"]), "adam_epsilon": given["eps"]} if "betas" in given else {}
    plain = golden_fit(lr=given["lr"], **adam | {"clip_norm": math.inf} | recipe)
    fit = WatchedFit(plain.task, plain.recipe, plain.seed, plain.train, plain.dev, total_steps=10)
    groups = [{"params": list(model.parameters()), "weight_decay": given["weight_decay"]}]
    if "momentum" in given:
        fit.optimizer = torch.optim.SGD(groups, lr=given["lr"], momentum=given["momentum"])
    else:
        fit.optimizer = method.optimizer(groups, fit)
    fit.scheduler = torch.optim.lr_scheduler.ConstantLR(fit.optimizer, factor=1.0)
    method.on_fit_start(model, fit)
    return fit


def largest(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Largest relative difference, without tensors that hold only rounding noise."""
    compared = {name: value for name, value in expected.items() if NOISE not in name}
    assert compared
    return max(distance(found[name], value) for name, value in compared.items())


def check_step(case: Case, method: Watched, model: nn.Module, fit: WatchedFit, record_parity: Parity) -> None:
    """Take one update and compare losses, norm, perturbations and parameters with the case."""
    prefix = f"step{fit.step + 1}/"
    train_step(method, model, case.batch("batch", fit.step), fit)
    parameters = dict(model.named_parameters())
    perturbations = dict(zip(parameters, method.perturbations, strict=True))
    limit = case.limit("parameters")
    record_parity(case, distance(torch.stack(fit.losses[-2:]), case.tensor(f"{prefix}loss")), case.limit("losses"))
    record_parity(case, distance(method.norm, case.tensor(f"{prefix}grad_norm")), limit)
    record_parity(case, largest(perturbations, case.group(f"{prefix}perturbation/")), limit)
    record_parity(case, largest(parameters, case.group(f"{prefix}param/")), limit)


@pytest.mark.parametrize("name", cases("sam*"))
def test_sam_steps_like_the_official_code(name: str, record_parity: Parity) -> None:
    case = Case(name)
    model = tiny_double(case)
    method = Watched(SAM.Config(rho=case.hyperparameters["rho"], adaptive=case.hyperparameters["adaptive"]))
    fit = started(case, method, model)
    for number in range(case.hyperparameters["steps"]):
        check_step(case, method, model, fit, record_parity)
        difference = largest(method.second, case.group(f"step{number + 1}/grad_second/"))
        record_parity(case, difference, case.limit("e"))
    assert fit.cost.backward_passes == 2 * case.hyperparameters["steps"]


@pytest.mark.parametrize("name", cases("fsam_*"))
def test_fsam_steps_like_the_official_code(name: str, record_parity: Parity) -> None:
    case = Case(name)
    given = case.hyperparameters
    model = tiny_double(case)
    every = given.get("mask_every", 1)
    settings = {"as_released": "beta" in given, "mask_every": every}
    steps = len([key for key in case.arrays if re.fullmatch(r"step\d+/loss", key)])
    method = WatchedFSAM(FSAM.Config(rho=given["rho"], keep=given["keep_ratio"], **settings))
    fit = started(case, method, model)
    for number in range(steps):
        check_step(case, method, model, fit, record_parity)
        masks = {name: method.masks[id(p)] for name, p in model.named_parameters() if id(p) in method.masks}
        expected = case.group(f"step{number + 1}/mask/")
        assert set(masks) == set(expected)
        for parameter, mask in expected.items():
            record_parity(case, (masks[parameter] != mask.bool()).sum(), case.limit("mask"))


def test_only_the_second_gradient_is_clipped() -> None:
    """If the first gradient were clipped instead, the second would not have the clipped norm."""
    case = own_case("sam")
    model = tiny_double(case)
    method = Watched(SAM.Config(rho=case.hyperparameters["rho"]))
    fit = started(case, method, model, clip_norm=0.1)
    train_step(method, model, case.batch("batch", 0), fit)
    perturbations = dict(zip((name for name, _ in model.named_parameters()), method.perturbations, strict=True))
    assert largest(perturbations, case.group("step1/perturbation/")) < case.limit("e")
    assert global_norm(list(method.second.values())).item() == pytest.approx(0.1, rel=1e-4)


def test_shared_dropout_gives_both_passes_the_same_masks() -> None:
    case = own_case("sam")
    case.hyperparameters["model"] |= {"hidden_dropout_prob": 0.3, "attention_probs_dropout_prob": 0.3}
    equal = []
    for shared in (True, False):
        method = Watched(SAM.Config(rho=0.0, shared_dropout=shared))
        model = tiny_double(case)
        fit = started(case, method, model)
        train_step(method, model, case.batch("batch", 0), fit)
        equal.append(torch.equal(*fit.losses))
    assert equal == [True, False]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(MethodError, match="rho of at least 0"):
        SAM.Config(rho=-0.1)
    with pytest.raises(MethodError, match="keep"):
        FSAM.Config(keep=0.0)
