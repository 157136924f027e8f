"""SAGE and ROSE against the numbers of their official codes."""

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from amix.models.architecture import blocks, parameter_names
from baselines.subnetwork.rose import Rose, RoseEnsemble, RoseFirst, RoseSecond, averaged_losses, two_passes
from baselines.subnetwork.sage import SAGE
from helpers.golden_cases import distance
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import GoldenFit, golden_fit, set_lr, step


def named_module(values: dict[str, Tensor]) -> nn.Module:
    """Modules with these tensors under their names; LayerNorms and embeddings have the proper types."""
    root = nn.Module()
    for name, value in values.items():
        *path, last = name.split(".")
        module = root
        for part in path[:-1]:
            if part not in dict(module.named_children()):
                module.add_module(part, nn.ModuleList() if part == "layer" else nn.Module())
            module = module.get_submodule(part)
        if path[-1] not in dict(module.named_children()):
            module.add_module(path[-1], leaf(path[-1], value))
        module.get_submodule(path[-1]).register_parameter(last, nn.Parameter(value.clone()))
    return root


def leaf(name: str, value: Tensor) -> nn.Module:
    if name == "LayerNorm":
        return nn.LayerNorm(len(value), elementwise_affine=False)
    if name == "embeddings":
        return nn.Embedding(*value.shape)
    return nn.Linear(1, 1, bias=False)


class WithBody(nn.Module):
    """The tensors of a case, with the head outside the body."""

    def __init__(self, values: dict[str, Tensor], body: nn.Module) -> None:
        super().__init__()
        self.base_model = body
        self.classifier = named_module({"classifier.weight": values["classifier.weight"]}).classifier


def sage_model(case: Case) -> WithBody:
    """A block with the case's linear layer and LayerNorm, and the head."""
    values = case.group("init/")
    block = named_module({name: value for name, value in values.items() if not name.startswith("classifier")})
    return WithBody(values, nn.ModuleDict({"layers": nn.ModuleList([block])}))


def plain(name: str) -> str:
    """The case's name for a parameter."""
    return name.removeprefix("base_model.").removeprefix("layers.0.")


@pytest.mark.parametrize("name", cases("sage*", but="sage_groups*"))
def test_sage_steps_like_the_official_optimizer(name: str, record_parity: Parity) -> None:
    case = Case(name)
    given = case.hyperparameters
    model = sage_model(case)
    decay = max(given["weight_decay"].values())
    fit = golden_fit(lr=given["lr"], weight_decay=decay, betas=tuple(given["betas"]))
    config = SAGE.Config(
        beta3=given["beta3"],
        epsilon=given["eps"],
        tensor_clip_norm=given["per_tensor_clip_norm"],
        decay_at_peak_lr=True,
    )
    method = SAGE(config)
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    for group in fit.optimizer.param_groups:
        group["initial_lr"] = given["lr"]
    parameters = {plain(name): parameter for name, parameter in model.named_parameters()}
    for number, lr in enumerate(case.arrays["lr_t"].tolist()):
        set_lr(fit, lr)
        gradients = {name: values[number] for name, values in case.group("grad/").items()}
        step(method, model, fit, {name: gradients[plain(name)] for name, _ in model.named_parameters()})
        for tensor, values in case.group("param/").items():
            record_parity(case, distance(parameters[tensor], values[number]), case.limit("parameters"))
        for tensor, values in case.group("exp_avg_ipt/").items():
            sensitivity = fit.optimizer.state[parameters[tensor]]["mean_sensitivity"]
            record_parity(case, distance(sensitivity, values[number]), case.limit("exp_avg_ipt"))


def test_sage_decays_with_the_current_learning_rate_by_default() -> None:
    case = own_case("sage_schedule")
    model, fit = sage_model(case), golden_fit(lr=1.0, weight_decay=0.01)
    method = SAGE()
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    set_lr(fit, 0.5)
    before = model.classifier.weight.detach().clone()
    step(method, model, fit, {"classifier.weight": torch.zeros_like(before)})
    assert distance(model.classifier.weight, before * (1 - 0.5 * 0.01)) < 1e-15


@pytest.mark.parametrize("name", cases("sage_groups*"))
def test_sage_treats_the_official_parameters_as_sensitive(name: str, record_parity: Parity) -> None:
    case = Case(name)
    config = BertConfig(
        vocab_size=8, hidden_size=4, num_hidden_layers=case.hyperparameters["layers"], num_attention_heads=1,
        intermediate_size=4, max_position_embeddings=4,
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    groups = {}
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in SAGE().param_groups(model, golden_fit(weight_decay=max(case.arrays["weight_decay"]))):
        for parameter in group["params"]:
            groups[names[id(parameter)]] = ("mask" if group["sensitive"] else "common", group["weight_decay"])
    kinds, decays = case.arrays["type"].tolist(), case.arrays["weight_decay"].tolist()
    expected = dict(zip(case.arrays["names"].tolist(), zip(kinds, decays, strict=True), strict=True))
    assert set(groups) == set(expected)
    record_parity(case, sum(groups[tensor] != pair for tensor, pair in expected.items()), case.limit("tables"))


def rose_model(case: Case) -> WithBody:
    values = case.group("init/")
    inside = {name: value for name, value in values.items() if name != "classifier.weight"}
    return WithBody(values, named_module(inside))


TOTAL = 20
"""Steps of a run; any number that is at least the warm-up's gives the same result."""


def rose(case: Case, kind: type[Rose]) -> tuple[Rose, WithBody, GoldenFit]:
    """The method at the start of its case, the case's model, and a fit."""
    given = case.hyperparameters
    model = rose_model(case)
    quantiles = {"upper": given["upper_percent"] / 100, "lower": given["lower_percent"] / 100}
    settings = quantiles | ({"gamma": given["gamma"]} if kind is RoseEnsemble else {})
    fit = golden_fit(
        total_steps=TOTAL, warmup_ratio=given["warmup_steps_without_mask"] / TOTAL,
        weight_decay=max(given["weight_decay"].values()),
        betas=tuple(given["betas"]), adam_epsilon=given["eps"],
    )  # fmt: skip
    method = kind(kind.Config(**settings))
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    method.on_fit_start(model, fit)
    return method, model, fit


KINDS: dict[str, type[Rose]] = {"first": RoseFirst, "second": RoseSecond, "ensemble": RoseEnsemble}


@pytest.mark.parametrize("name", cases("rose_*", but="rose_losses*"))
def test_rose_masks_and_steps_like_the_official_optimizer(name: str, record_parity: Parity) -> None:
    case = Case(name)
    method, model, fit = rose(case, KINDS[name.split("_")[1]])
    named = {plain(name): parameter for name, parameter in model.named_parameters()}
    order = case.arrays["mask_order"].tolist()
    index = {id(tensor): number for number, tensor in enumerate(method.tensors)}
    indices = [index[id(named[tensor])] for tensor in order]
    assert len(method.tensors) == len(order)
    for number, lr in enumerate(case.hyperparameters["lr_per_step"]):
        set_lr(fit, lr)
        if isinstance(method, RoseFirst):
            disagreement = {id(named[n]): values[number] for n, values in case.group("kl_grad/").items()}
            method.set_mask([disagreement[id(tensor)] for tensor in method.tensors])
            differing = method.first[indices] != case.tensor("mask_first")[number].double()
            record_parity(case, differing.sum(), 0.0)
        masks = recorded_masks(method)
        gradients = {name: values[number] for name, values in case.group("ce_grad/").items()}
        step(method, model, fit, {name: gradients[plain(name)] for name, _ in model.named_parameters()})
        if masks:
            largest = (masks[0][indices] - case.tensor("mask_used")[number]).abs().max()
            record_parity(case, largest, case.limit("mask"))
        assert bool(masks) == (number >= case.hyperparameters["warmup_steps_without_mask"])
        for tensor, values in case.group("param/").items():
            record_parity(case, distance(named[tensor], values[number]), case.limit("parameters"))


def recorded_masks(method: Rose) -> list[Tensor]:
    """A list that collects the method's masks from now on."""
    masks: list[Tensor] = []

    def mask(fit: GoldenFit) -> Tensor:
        masks.append(type(method).mask(method, fit))
        return masks[-1]

    method.mask = mask  # type: ignore[method-assign, assignment]
    return masks


def test_rose_second_updates_all_tensors_without_a_history() -> None:
    method, model, fit = rose(own_case("rose_second"), RoseSecond)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert method.mask(fit).tolist() == [1.0] * 6


@pytest.mark.parametrize("name", cases("rose_losses*"))
def test_the_losses_of_two_passes_and_their_gradients_equal_the_official_ones(name: str, record_parity: Parity) -> None:
    case = Case(name)
    first, second = (case.tensor(f"logits{number}").requires_grad_() for number in (1, 2))
    loss, disagreement = averaged_losses(first, second, {"labels": case.tensor("labels")}, golden_fit())
    for kind, value in (("kl", disagreement), ("task", loss)):
        record_parity(case, distance(value, case.tensor(f"{kind}_loss")), case.limit("all"))
        for number, gradient in enumerate(torch.autograd.grad(value, (first, second), retain_graph=True), 1):
            record_parity(case, distance(gradient, case.tensor(f"{kind}_grad{number}")), case.limit("all"))


class Passes(nn.Module):
    """Returns the stored logits, one pass after the other."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.outputs = iter([case.tensor("logits1"), case.tensor("logits2")])

    def forward(self) -> nn.Module:
        self.logits = next(self.outputs)
        return self


def test_two_passes_are_two_forward_passes() -> None:
    case = own_case("rose_losses")
    loss, disagreement = two_passes(Passes(case), {"labels": case.tensor("labels")}, golden_fit())
    assert distance(loss, case.tensor("task_loss")) < 1e-12
    assert distance(disagreement, case.tensor("kl_loss")) < 1e-12


def test_rose_masks_the_weights_of_the_blocks_only() -> None:
    config = BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=2, num_attention_heads=1, intermediate_size=4)
    model = BertForSequenceClassification(config)
    method = RoseFirst()
    method.on_fit_start(model, golden_fit())
    inside = {id(tensor) for tensor in method.tensors}
    masked = {name for name, parameter in model.named_parameters() if id(parameter) in inside}
    assert masked == {name for name, _ in model.named_parameters() if "layer" in name and "weight" in name}
    assert masked < parameter_names(model, blocks(model))
