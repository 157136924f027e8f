"""Child-Tuning and DPS against the numbers of their official code."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from amix.models.architecture import decay_groups
from amix.training.optimizers import DecayAfterAdamW
from baselines.subnetwork.childtuning import ChildTuningD, ChildTuningF
from baselines.subnetwork.dps import DPS, DPSDense, DPSMix
from helpers.golden_cases import distance, tiny_bert
from helpers.official_cases import Case, Parity, cases, own_case
from helpers.parity import NOISE, GoldenFit, golden_fit, set_lr, step


def official_adamw(model: nn.Module, case: Case) -> DecayAfterAdamW:
    """The optimizer of the official code, which decays after the update."""
    given = case.hyperparameters
    groups = decay_groups(model, given["weight_decay"])
    return DecayAfterAdamW(groups, betas=tuple(given["betas"]), eps=given["eps"])


def childtuning_fit(case: Case) -> GoldenFit:
    """A fit with the training examples in the reference's order."""
    data = case.group("data/")
    order, sizes = data.pop("order"), data.pop("batch_sizes")
    batches = [{name: tensor[rows] for name, tensor in data.items()} for rows in order.split(sizes.tolist())]
    return golden_fit(batches, clip_norm=case.hyperparameters["per_tensor_clip_norm"])


@pytest.mark.parametrize("name", cases("childtuning_d*"))
def test_childtuning_d_has_the_official_fisher_information_and_masks(name: str, record_parity: Parity) -> None:
    case = Case(name)
    model, fit = tiny_bert(case), childtuning_fit(case)
    method = ChildTuningD(ChildTuningD.Config(p=case.hyperparameters["reserve_p"]))
    method.on_fit_start(model, fit)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert [names[id(parameter)] for parameter in method.parameters] == case.arrays["mask_names"].tolist()
    threshold = float(case.arrays["threshold"])
    record_parity(case, abs(float(method.threshold) / threshold - 1), case.limit("threshold"))
    for parameter, values in zip(method.parameters, method.fisher_information(model, fit), strict=True):
        tensor = names[id(parameter)]
        if NOISE not in tensor:
            record_parity(case, distance(values, case.tensor(f"fisher/{tensor}")), case.limit("fisher"))
    for parameter, mask in zip(method.parameters, method.masks, strict=True):
        expected = case.tensor(f"mask/{names[id(parameter)]}").bool()
        record_parity(case, (mask != expected).sum(), case.limit("mask"))


@pytest.mark.parametrize("limit", [0.5, 1.0, 50.0])
def test_childtuning_d_clips_each_tensor_to_the_recipes_norm(limit: float) -> None:
    """The reference is torch's clipping of one tensor at a time."""
    case = own_case("childtuning_d")
    model, fit = tiny_bert(case), childtuning_fit(case)
    fit.recipe = fit.recipe.with_changes({"clip_norm": limit})
    method = ChildTuningD()
    method.on_fit_start(model, fit)
    expected = [torch.zeros_like(parameter) for parameter in method.parameters]
    for batch in fit.batches(0):
        model.zero_grad()
        fit.task_loss(fit.logits(model, batch), batch).backward()
        for values, parameter in zip(expected, method.parameters, strict=True):
            nn.utils.clip_grad_norm_([parameter], limit)
            values.add_(parameter.grad.square() / len(fit.given))
    for fisher, values in zip(method.fisher_information(model, fit), expected, strict=True):
        assert (fisher - values).abs().max() <= 1e-12 * max(values.max(), 1e-20)


@pytest.mark.parametrize("name", cases("childtuning_d*"))
def test_childtuning_d_steps_like_the_official_optimizer(name: str, record_parity: Parity) -> None:
    case = Case(name)
    model, fit = tiny_bert(case), childtuning_fit(case)
    method = ChildTuningD(ChildTuningD.Config(p=case.hyperparameters["reserve_p"]))
    method.on_fit_start(model, fit)
    fit.optimizer = official_adamw(model, case)
    parameters = dict(model.named_parameters())
    for number, lr in enumerate(case.hyperparameters["lr_per_step"]):
        set_lr(fit, lr)
        step(method, model, fit, {name: values[number] for name, values in case.group("step_grad/").items()})
        for tensor, values in case.group("step_param/").items():
            record_parity(case, distance(parameters[tensor], values[number]), case.limit("parameters"))


class Named(nn.Module):
    """The tensors of the Child-Tuning-F case under their names."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        values = case.group("init/")
        self.layer = nn.Linear(*reversed(values["layer.weight"].shape))
        self.LayerNorm = nn.LayerNorm(len(values["LayerNorm.weight"]), bias=False)
        self.classifier = nn.Linear(*reversed(values["classifier.weight"].shape), bias=False)
        self.double().load_state_dict(values, strict=True)


class StoredMasks(ChildTuningF):
    """Child-Tuning-F with the reference's masks."""

    masks: Iterator[Tensor]

    def draw_mask(self, gradient: Tensor) -> Tensor:
        return next(self.masks).to(gradient.dtype)


@pytest.mark.parametrize("name", cases("childtuning_f*"))
def test_childtuning_f_steps_like_the_official_optimizer(name: str, record_parity: Parity) -> None:
    case = Case(name)
    model, fit = Named(case), golden_fit()
    method = StoredMasks(ChildTuningF.Config(p=case.hyperparameters["reserve_p"]))
    method.on_fit_start(model, fit)
    fit.optimizer = official_adamw(model, case)
    parameters = dict(model.named_parameters())
    for number, lr in enumerate(case.hyperparameters["lr_per_step"]):
        set_lr(fit, lr)
        method.masks = iter([case.tensor(f"mask/{name}")[number] for name in parameters])
        step(method, model, fit, {name: values[number] for name, values in case.group("grad/").items()})
        for tensor, values in case.group("param/").items():
            record_parity(case, distance(parameters[tensor], values[number]), case.limit("parameters"))


def dps_start(case: Case, kind: type[DPS]) -> tuple[DPS, nn.ModuleDict, GoldenFit]:
    """The method at the start of its case, the case's layers, and a fit."""
    given = case.hyperparameters
    model = nn.ModuleDict(
        {layer: nn.Linear(*reversed(w.shape), bias=False) for layer, w in case.group("init/").items()}
    )
    model.double().load_state_dict({f"{layer}.weight": w for layer, w in case.group("init/").items()})
    fit = golden_fit(total_steps=given["max_steps"], lr=given["lr"], weight_decay=given["weight_decay"])
    method = kind(kind.Config(p=given["reserve_p"], ratio=given["update_ratio"]))
    fit.optimizer = method.optimizer(method.param_groups(model, fit), fit)
    if given["optimizer"] == "sgd":
        fit.optimizer = torch.optim.SGD(model.parameters(), lr=given["lr"])
    method.on_fit_start(model, fit)
    assert method.window == given["u"]
    return method, model, fit


@pytest.mark.parametrize("name", cases("dps_dense*"))
def test_dps_dense_scores_masks_and_steps_like_the_official_code(name: str, record_parity: Parity) -> None:
    case = Case(name)
    method, model, fit = dps_start(case, DPSDense)
    limit = case.limit("parameters")
    refreshes = case.arrays["refresh_steps"].tolist()
    for number in range(case.hyperparameters["steps"]):
        step(method, model, fit, {f"{layer}.weight": g[number] for layer, g in case.group("G/").items()})
        for position, (layer, linear) in enumerate(model.items()):
            record_parity(case, distance(linear.weight.grad, case.tensor(f"grad/{layer}")[number]), limit)
            record_parity(case, distance(linear.weight, case.tensor(f"param/{layer}")[number]), limit)
            if number + 1 in refreshes:
                row = refreshes.index(number + 1)
                differing = method.masks[position] != case.tensor(f"mask_at_refresh/{layer}")[row].bool()
                record_parity(case, differing.sum(), case.limit("masks"))
                scores = case.tensor(f"score_sum_at_refresh/{layer}")[row]
                record_parity(case, distance(method.scores[position] / 1000, scores), limit)


class StoredColumns(DPSMix):
    """DPS-mix with the reference's masks of columns."""

    columns: list[Tensor]

    def draw_masks(self) -> list[Tensor]:
        return self.columns


@pytest.mark.parametrize("name", cases("dps_mix*"))
def test_dps_mix_mixes_scores_masks_and_steps_like_the_official_code(name: str, record_parity: Parity) -> None:
    case = Case(name)
    method, model, fit = dps_start(case, StoredColumns)
    limit = case.limit("parameters")
    assert isinstance(method, StoredColumns)
    refreshes = case.arrays["refresh_steps"].tolist()
    for number in range(case.hyperparameters["steps"]):
        masks = {layer: case.tensor(f"M/{layer}")[number].double() for layer in model}
        method.columns = [values[0] for values in masks.values()]
        method.mix(fit)
        for position, (layer, linear) in enumerate(model.items()):
            record_parity(case, distance(linear.weight, case.tensor(f"forward_weight/{layer}")[number]), limit)
            assert torch.equal(method.masks[position].expand_as(linear.weight), masks[layer])
            if number + 1 in refreshes:
                row = refreshes.index(number + 1)
                differing = method.masks[position] != case.tensor(f"mask_at_refresh/{layer}")[row].double()
                record_parity(case, differing.sum(), case.limit("masks"))
                scores = case.tensor(f"score_sum_at_refresh/{layer}")[row]
                record_parity(case, distance(method.scores[position] / 1000, scores), limit)
                counts = case.tensor(f"count_at_refresh/{layer}")[row]
                assert torch.equal(method.counts[position].expand(counts.shape), counts.double())
        step(method, model, fit, {f"{layer}.weight": g[number] for layer, g in case.group("G/").items()})
        for layer, linear in model.items():
            record_parity(case, distance(linear.weight.grad, case.tensor(f"grad/{layer}")[number]), limit)
            record_parity(case, distance(linear.weight, case.tensor(f"param/{layer}")[number]), limit)
    for layer, linear in model.items():
        record_parity(case, distance(linear.weight, case.tensor(f"eval_weight/{layer}")), limit)


def test_the_window_is_at_least_one_step_at_300_examples() -> None:
    method, fit = DPSDense(), golden_fit(total_steps=19)
    method.on_fit_start(nn.Linear(2, 2), fit)
    assert method.window == 1
