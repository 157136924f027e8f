"""RecAdam against the steps of its official optimizer."""

import pytest
from torch import nn

from baselines.towards_pretrained.recadam import RecAdam
from helpers.golden_cases import Case, distance
from helpers.parity import golden_fit, set_lr, step


class Named(nn.Module):
    """The tensors of a case under their names: a body and a head."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        values = case.group("pretrained/")
        self.enc = nn.Linear(*reversed(values["enc.weight"].shape))
        self.head = nn.Linear(*reversed(values["head.weight"].shape), bias=False)
        self.double().load_state_dict(values, strict=True)

    @property
    def base_model(self) -> nn.Module:
        return self.enc


def configuration(case: Case, official_form: bool) -> RecAdam.Config:
    settings = case.hyperparameters
    return RecAdam.Config(
        gamma=settings["pretrain_cof"],
        anneal=settings["anneal"],
        k=settings["k"],
        t0=settings["t0"],
        run_length=None,
        official_form=official_form,
    )


@pytest.mark.parametrize("official_form", [True, False])
@pytest.mark.parametrize("name", ["recadam_linear", "recadam_sigmoid"])
def test_the_official_steps(name: str, official_form: bool) -> None:
    """torch's form of AdamW differs by the order of its decay, lr^2 * decay at each step."""
    case = Case(name)
    settings = case.hyperparameters
    decay = settings["weight_decay"]["enc.weight"]
    model, fit = Named(case), golden_fit(total_steps=settings["steps"], weight_decay=decay)
    method = RecAdam(configuration(case, official_form))
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    method.on_fit_start(model, fit)
    model.load_state_dict(case.group("init/"), strict=True)
    parameters = dict(model.named_parameters())
    largest = 0.0
    for number, lr in enumerate(settings["lr_per_step"]):
        expected = float(case.arrays["lambda"][number])
        assert method.share(number + 1, fit.total_steps) == pytest.approx(expected, rel=1e-14)
        set_lr(fit, lr)
        step(method, model, fit, {name: values[number] for name, values in case.group("grad/").items()})
        for one, values in case.group("param/").items():
            largest = max(largest, distance(parameters[one], values[number]))
    assert largest < 1e-12 if official_form else 1e-7 < largest < 1e-4


def test_the_annealing_keeps_its_place_in_runs_of_any_length() -> None:
    method = RecAdam()
    for steps in (57, 5336, 100_000):
        assert method.share(steps // 10, steps) < 1e-3
        assert method.share(3 * steps // 10, steps) > 1 - 1e-3
    assert method.share(5336 // 5, 5336) == RecAdam(RecAdam.Config(run_length=None)).share(5336 // 5, 5336)


def test_the_pull_does_not_overshoot() -> None:
    """At lr * gamma = 50 the weights are where they were, while the official step would throw them 49 times as far."""
    case = Case("recadam_sigmoid")
    model, fit = Named(case), golden_fit(total_steps=1000)
    method = RecAdam()
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    method.on_fit_start(model, fit)
    set_lr(fit, 0.01)
    step(method, model, fit, {name: values[0] for name, values in case.group("grad/").items()})
    assert distance(model.enc.weight, case.tensor("pretrained/enc.weight")) == 0.0
    assert distance(model.head.weight, case.tensor("pretrained/head.weight")) > 0.0
