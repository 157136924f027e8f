"""RecAdam against the steps of the official optimizer."""

import pytest
from torch import nn

from baselines.towards_pretrained.recadam import RecAdam
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases, own_case
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


def differences(case: Case, official_form: bool) -> tuple[float, float]:
    """Largest relative differences to the case: of the annealed share, and of the parameters."""
    settings = case.hyperparameters
    decay = settings["weight_decay"]["enc.weight"]
    model, fit = Named(case), golden_fit(total_steps=settings["steps"], weight_decay=decay)
    method = RecAdam(configuration(case, official_form))
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    method.on_fit_start(model, fit)
    model.load_state_dict(case.group("init/"), strict=True)
    parameters = dict(model.named_parameters())
    share, largest = 0.0, 0.0
    for number, lr in enumerate(settings["lr_per_step"]):
        expected = float(case.arrays["lambda"][number])
        share = max(share, abs(method.share(number + 1, fit.total_steps) / expected - 1))
        set_lr(fit, lr)
        step(method, model, fit, {name: values[number] for name, values in case.group("grad/").items()})
        for name, values in case.group("param/").items():
            largest = max(largest, distance(parameters[name], values[number]))
    return share, largest


@pytest.mark.parametrize("name", cases("recadam_*"))
def test_recadam_steps_like_the_official_optimizer(name: str, record_parity: Parity) -> None:
    case = Case(name)
    share, parameters = differences(case, official_form=True)
    record_parity(case, share, case.limit("lambda"))
    record_parity(case, parameters, case.limit("parameters"))


@pytest.mark.parametrize("name", ["recadam_linear", "recadam_sigmoid"])
def test_the_default_differs_only_by_the_order_of_the_decay(name: str) -> None:
    """They differ by about lr^2 * decay per step."""
    share, parameters = differences(own_case(name), official_form=False)
    assert share < 1e-12
    assert 1e-7 < parameters < 1e-4


def test_the_annealing_scales_with_the_length_of_the_run() -> None:
    method = RecAdam()
    for steps in (57, 5336, 100_000):
        assert method.share(steps // 10, steps) < 1e-3
        assert method.share(3 * steps // 10, steps) > 1 - 1e-3
    assert method.share(5336 // 5, 5336) == RecAdam(RecAdam.Config(run_length=None)).share(5336 // 5, 5336)


def test_the_pull_does_not_overshoot() -> None:
    """At lr * gamma = 50 the weights return to w0; the official step would overshoot it by 49 times the distance."""
    case = own_case("recadam_sigmoid")
    model, fit = Named(case), golden_fit(total_steps=1000)
    method = RecAdam()
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    method.on_fit_start(model, fit)
    set_lr(fit, 0.01)
    step(method, model, fit, {name: values[0] for name, values in case.group("grad/").items()})
    assert distance(model.enc.weight, case.tensor("pretrained/enc.weight")) == 0.0
    assert distance(model.head.weight, case.tensor("pretrained/head.weight")) > 0.0
