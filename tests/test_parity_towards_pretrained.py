"""Mixout and the decay towards the pretrained weights against the numbers of their official code."""

import pytest
import torch
from golden_agwm import Case, distance
from parity import golden_fit, step
from torch import Tensor, nn

from baselines.towards_pretrained import Mixout, PretrainedDecay


class StoredMask(Mixout):
    """Mixout with the mask that the reference drew."""

    mask: Tensor

    def draw_masks(self) -> list[Tensor]:
        return [self.mask]


@pytest.mark.parametrize("unscaled", [True, False])
@pytest.mark.parametrize("name", ["mixout_drop", "mixout_mix"])
def test_mixout_gives_the_official_outputs_and_gradients(name: str, unscaled: bool) -> None:
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
    assert distance(y, case.tensor("y_train")) < 1e-12
    assert distance(linear.weight.grad, case.tensor("grad_W" if unscaled else "grad_W_true")) < 1e-12
    assert distance(linear.bias.grad, case.tensor("grad_b")) < 1e-12
    assert distance(x.grad, case.tensor("grad_x")) < 1e-12
    assert torch.equal(linear.weight, case.tensor("W"))
    assert distance(model(x), case.tensor("y_eval")) < 1e-12


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


@pytest.mark.parametrize("pull_head", [True, False])
def test_decay_towards_the_pretrained_weights_steps_as_the_official_optimizer(pull_head: bool) -> None:
    case = Case("prior_wd")
    model, fit = Named(case), golden_fit(lr=case.hyperparameters["lr"], weight_decay=0.0)
    decay = case.hyperparameters["lam"]["enc.weight"]
    method = PretrainedDecay(PretrainedDecay.Config(decay=decay, pull_head=pull_head))
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    method.on_fit_start(model, fit)
    parameters = dict(model.named_parameters())
    for number in range(case.hyperparameters["steps"]):
        step(method, model, fit, {name: values[number] for name, values in case.group("grad/").items()})
        for name, values in case.group("param/").items():
            same = distance(parameters[name], values[number]) < 1e-12
            # The reference pulls the head too, which shows from the second step on.
            assert same == (pull_head or name != "head.weight" or number == 0), name
