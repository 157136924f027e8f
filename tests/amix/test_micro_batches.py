"""Micro-batches: parts of a batch have the gradients of the whole batch, dropout included; out of memory; bf16."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import cache
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

import amix.training.fit
import amix.training.loop
from amix.agwm.diagnostics import MODULES, PREFIX
from amix.data.splits import Splits, load_splits
from amix.models.loading import load_model, load_tokenizer
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.specs.tasks import find_task
from amix.training.fit import Fit
from amix.training.method import Method, whole_batches
from amix.training.micro_batches import WholeDraws, _Cutting, parts
from amix.training.multi_stage import MultiStageMethod, finetune
from amix.training.registry import built_in_methods, find_method
from amix.training.settings import full_settings, make_config
from baselines.vanilla import Vanilla
from helpers.toy_encoders import SHORT, Bench
from helpers.toy_suite import write_suite
from runners.planning.plan import make_plan
from runners.planning.suite import SuiteError, read_suite

TRAINING = {name: method for name, method in built_in_methods().items() if method.info.trains_by_steps}
SPLIT = sorted(name for name, method in TRAINING.items() if not whole_batches(method))
WHOLE = {"match_tuning", "scl", "setfit", "tmix"}
"""Methods that relate the examples of a batch."""
RECIPE = Recipe(lr=1e-3, steps=4, batch_size=8, max_length=24, warmup_ratio=0.0)
NONE: Mapping[str, Any] = MappingProxyType({})
OTHERS: list[tuple[str, str, str, Mapping[str, Any]]] = [
    ("vanilla", "roberta", "toy", NONE),
    ("vanilla", "deberta-v2", "toy", NONE),
    ("vanilla", "mpnet-mean", "toy", NONE),
    *((name, "bert", "toy-score", NONE) for name in ("rdrop", "r3f", "smart", "rose_first", "vibert", "lm_bff")),
    ("r3f", "bert", "toy", {"summed": True, "shared_dropout": True, "noise": "normal"}),
    ("rdrop", "bert", "toy", {"summed": True}),
    ("sam", "bert", "toy", {"shared_dropout": True}),
    ("smart", "bert", "toy", {"shared_dropout": True, "steps": 2}),
    ("hype", "bert", "toy", {"intermediate": True, "keep_dropout": True, "noise": "uniform"}),
    ("neftune", "bert", "toy", {"padded_length": True}),
    ("rose_second", "bert", "toy", {"two_passes": True}),
    ("mixout", "bert", "toy", {"keep_dropout": True}),
    ("dps_mix", "bert", "toy", {"no_dropout": False}),
    ("lora", "bert", "toy", {"dropout": 0.2}),
]
"""Other encoders, regression, and settings that take other branches: method, encoder, task, settings."""


BILEVEL: list[tuple[str, Mapping[str, Any]]] = [
    *(
        (name, NONE)
        for name in ("agwm", "agwm_fast", "agwm_official", "autolora", "bidora", "bidora_official", "bilora")
    ),
    *(("agwm", {"estimator": name, "point": "before"}) for name in ("exact", "forward", "first_order")),
    ("agwm", {"attention": "joint"}),
    ("agwm", {"masks": "independent"}),
    ("agwm", {"attention": "after", "attention_epochs": 2}),
]
"""Methods with passes outside the loss: method, settings."""


class Enough(Exception):
    """Ends a run after its first update."""


@cache
def beginning(bench: Bench, family: str, task: str, language_model: bool) -> tuple[Task, Splits, nn.Module]:
    """A task with eight training examples, and the model to start from."""
    name, toy = (bench.language_models if language_model else bench.encoders)[family], find_task(bench.tasks[task])
    return toy, load_splits(toy, 8, 1, load_tokenizer(name), name, 24), load_model(name, toy, 1)


def first_update(
    bench: Bench, method: str, family: str, task: str, settings: Mapping[str, Any], **recipe: Any
) -> tuple[list[Tensor], Fit]:
    """The gradients of a run's first update before clipping, and its Fit."""
    kind = find_method(method)
    toy, splits, model = beginning(bench, family, task, kind.info.needs_language_model)
    fit = Fit(toy, replace(RECIPE, **recipe), 1, splits.train, splits.dev)
    found: list[Tensor] = []

    def note(optimizer: torch.optim.Optimizer, clip_norm: float) -> None:
        found.extend(p.grad.clone() for group in optimizer.param_groups for p in group["params"] if p.grad is not None)
        raise Enough

    encoder = (bench.language_models if kind.info.needs_language_model else bench.encoders)[family]
    config = full_settings(kind, {**bench.toy_settings(method, encoder), **settings})
    instance, model = kind(make_config(kind, config)), deepcopy(model)
    fit.cost.watch(model)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(amix.training.loop, "clip_gradients", note)
        with suppress(Enough):
            finetune(instance, instance.prepare(model, fit), fit)
    return found, fit


def assert_equal_gradients(bench: Bench, method: str, family: str, task: str, settings: Mapping[str, Any]) -> None:
    """Eight examples at once, and in parts of three, three and two."""
    whole, fit = first_update(bench, method, family, task, settings)
    parts, split_fit = first_update(bench, method, family, task, settings, micro_batch=3)
    largest = max(float(gradient.abs().max()) for gradient in whole)
    assert largest > 1e-3
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-6 * max(1.0, largest))
    for name in ("forward_passes", "backward_passes", "tokens"):
        assert getattr(split_fit.cost, name) == getattr(fit.cost, name)
    assert split_fit.cost.redrawn_masks == 0


@pytest.mark.filterwarnings("ignore:Invalid `oft_block_size`")  # The encoder is narrower than a block.
@pytest.mark.parametrize("method", SPLIT)
def test_parts_have_the_gradients_of_the_whole_batch(bench: Bench, method: str) -> None:
    assert_equal_gradients(bench, method, "bert", "toy", NONE)


@pytest.mark.parametrize(("method", "family", "task", "settings"), OTHERS)
def test_so_they_have_with_other_encoders_tasks_and_settings(
    bench: Bench, method: str, family: str, task: str, settings: Mapping[str, Any]
) -> None:
    assert_equal_gradients(bench, method, family, task, settings)


@pytest.mark.parametrize(("method", "settings"), BILEVEL)
def test_a_bilevel_search_in_parts_moves_both_levels_alike(
    bench: Bench, method: str, settings: Mapping[str, Any]
) -> None:
    """Several iterations in float64, so that differences of gradients are compared below their rounding errors."""

    def trained(**recipe: Any) -> tuple[dict[str, Tensor], dict[str, list[Any]], Fit]:
        toy, splits, model = beginning(bench, "bert", "toy", False)
        fit = Fit(toy, replace(RECIPE, **recipe), 1, splits.train, splits.dev)
        kind = find_method(method)
        config = full_settings(kind, {**bench.toy_settings(method, bench.encoders["bert"]), **settings})
        instance, model = kind(make_config(kind, config)), deepcopy(model).double()
        fit.cost.watch(model)
        result = finetune(instance, instance.prepare(model, fit), fit)
        return dict(result.state_dict()), fit.diagnostics, fit

    (whole, noted, fit), (parts, noted_in_parts, split_fit) = trained(), trained(micro_batch=3)
    assert noted.keys() == noted_in_parts.keys() != set()
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=0, atol=1e-9)
    for name, values in noted.items():
        for one, other in zip(values, noted_in_parts[name], strict=True):
            if name != f"{PREFIX}{MODULES}":
                numpy.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-6)
    for name in ("forward_passes", "backward_passes", "optimizer_steps", "tokens"):
        assert getattr(split_fit.cost, name) == getattr(fit.cost, name)


def test_dropout_is_at_work_in_these_comparisons(bench: Bench) -> None:
    (dropped, _), (kept, _) = (
        first_update(bench, name, "bert", "toy", NONE) for name in ("vanilla", "vanilla_no_dropout")
    )
    assert max(float((a - b).abs().max()) for a, b in zip(dropped, kept, strict=True)) > 1e-3


def repeated(x: Tensor) -> Tensor:
    """Noise on a batch that a method repeats in one pass."""
    return torch.rand_like(torch.cat([x, x])).unflatten(0, (2, len(x))).transpose(0, 1)


OWN = torch.Generator()
DRAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "dropout": lambda x: nn.functional.dropout(x, 0.3),
    "fused dropout": lambda x: torch.native_dropout(x, 0.3, True)[0],
    "uniform": torch.rand_like,
    "normal": torch.randn_like,
    "bernoulli": lambda x: torch.bernoulli(x, 0.4),
    "own generator": lambda x: torch.empty_like(x).normal_(generator=OWN) + torch.empty_like(x).uniform_(generator=OWN),
    "repeated batch": repeated,
    "shared by all": lambda x: x * torch.empty(7).uniform_()[0] * torch.empty(7).uniform_(generator=OWN)[0],
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("size", [1, 3, 5])
def test_parts_draw_what_their_rows_get_in_the_whole_batch(draw: Callable[[Tensor], Tensor], size: int) -> None:
    x, cpu = torch.linspace(0.1, 1, 11 * 6).view(11, 6), torch.device("cpu")
    torch.manual_seed(5)
    OWN.manual_seed(6)
    whole = torch.stack([draw(x), draw(x)])
    after = torch.rand(1), torch.rand(1, generator=OWN)
    torch.manual_seed(5)
    OWN.manual_seed(6)
    draws, found = WholeDraws(cpu), []
    for part in parts({"labels": torch.zeros(11), "x": x}, size):
        with draws.of(part):
            found.append(torch.stack([draw(part.batch()["x"]), draw(part.batch()["x"])]))
    torch.testing.assert_close(torch.cat(found, dim=1), whole, rtol=0, atol=1e-6)
    assert (torch.rand(1), torch.rand(1, generator=OWN)) == after
    assert draws.redrawn == 0


class Kernel:
    """Stands in for a fused attention kernel, which draws its mask from a GPU's generator."""

    __name__ = "_scaled_dot_product_efficient_attention"
    _schema = torch.ops.aten._scaled_dot_product_efficient_attention.default._schema

    def __init__(self, generator: "GpuGenerator") -> None:
        self.generator = generator
        self.seen: list[tuple[int, int]] = []

    def __call__(self, *arguments: object) -> None:
        self.seen.append((self.generator.seed, self.generator.offset))
        self.generator.offset += 4


class GpuGenerator:
    """The parts of a GPU's generator that are used, whose state is a seed and an offset."""

    seed, offset = 9, 40

    def initial_seed(self) -> int:
        return self.seed

    def manual_seed(self, seed: int) -> None:
        self.seed, self.offset = seed, 0

    def get_offset(self) -> int:
        return self.offset

    def set_offset(self, offset: int) -> None:
        self.offset = offset


def test_fused_attention_has_masks_of_its_own_in_every_part_and_they_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = GpuGenerator()
    kernel, draws = Kernel(generator), WholeDraws(torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "default_generators", [generator])
    query = SimpleNamespace(device=SimpleNamespace(index=0))
    for part in parts({"labels": torch.zeros(5)}, 3):
        generator.offset = 40  # As restored for every part.
        for dropout in (0.1, 0.0):
            _Cutting(part, draws).__torch_dispatch__(kernel, (), (query, None, None, None, True, dropout))
    assert kernel.seen == [(9, 40), (9, 44), (12, 40), (9, 44)]
    assert (generator.seed, generator.offset, draws.redrawn) == (9, 48, 2)


def test_every_other_method_refuses_micro_batches(bench: Bench) -> None:
    assert set(TRAINING) - set(SPLIT) == WHOLE
    record, _ = bench.execute("tmix", "bert", recipe=replace(SHORT, micro_batch=4))
    assert record["error"]["message"] == "micro_batch 4: tmix needs whole batches"

    class OwnLoss(Method):
        name, info = "own_loss", Vanilla.info

        def loss(self, model: nn.Module, batch: dict[str, Tensor], fit: Fit) -> Tensor:
            return super().loss(model, batch, fit)

    class OwnRun(MultiStageMethod):
        name, info = "own_run", Vanilla.info

    for kind in (OwnLoss, OwnRun):
        assert whole_batches(kind) == f"{kind.name} needs whole batches"
        kind.info = replace(kind.info, micro_batches=True)
        assert whole_batches(kind) == ""
    assert whole_batches(Vanilla) == ""
    assert "whole shares" in whole_batches(Vanilla, 2)


def test_a_suite_with_such_a_method_is_refused_in_one_line_unless_its_row_goes_without(tmp_path: Any) -> None:
    suite = write_suite(tmp_path, "minilm-l2", methods="vanilla, scl")
    suite.write_text(suite.read_text().replace("training: {", "training: {micro_batch: 2, "))
    with pytest.raises(SuiteError, match="micro_batch: scl needs whole batches") as refused:
        make_plan(read_suite(suite))
    assert "\n" not in str(refused.value)
    suite.write_text(suite.read_text().replace("scl", "{scl: {training: {micro_batch: null}}}"))
    sizes = {run.label: run.spec.training.get("micro_batch") for run in make_plan(read_suite(suite)).runs}
    assert sizes == {"vanilla": 2, "scl": None}


def test_the_setting_is_part_of_a_key_only_if_it_is_used() -> None:
    assert "micro_batch" not in Recipe().as_dict()
    assert Recipe(micro_batch=4).as_dict()["micro_batch"] == 4


def small_device(monkeypatch: pytest.MonkeyPatch, most: int, error: Exception) -> list[int]:
    """Let a device run out of memory on passes over more than this many examples; returns the sizes of all passes."""
    sizes, logits = [], Fit.logits

    def limited(self: Fit, model: nn.Module, batch: dict[str, Tensor], **inputs: Any) -> Tensor:
        if torch.is_grad_enabled():
            sizes.append(len(batch["labels"]))
            if sizes[-1] > most:
                raise error
        return logits(self, model, batch, **inputs)

    monkeypatch.setattr(Fit, "logits", limited)
    return sizes


FULL = [torch.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), RuntimeError("CUDA error: out of memory")]


@pytest.mark.parametrize("error", FULL, ids=["torch", "cuda"])
def test_a_run_that_does_not_fit_is_repeated_with_half_the_micro_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    expected, arrays = bench.execute("vanilla", "bert")
    sizes = small_device(monkeypatch, 4, error)
    record, found = bench.execute("vanilla", "bert")
    assert (record["status"], record["error"]) == ("ok", None)
    assert sizes[:4] == [16, 8, 4, 4]
    assert (record["cost"]["micro_batch"], record["cost"]["redrawn_masks"]) == (4, 0)
    assert (record["key"], record["spec"]) == (expected["key"], expected["spec"])
    for name in ("forward_passes", "backward_passes", "optimizer_steps", "flops"):
        assert record["cost"][name] == expected["cost"][name]
    torch.testing.assert_close(found["test_logits"], arrays["test_logits"], rtol=0, atol=2e-3)
    assert "micro_batch" not in expected["cost"]


def test_a_run_that_never_fits_is_out_of_memory_after_single_examples(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = small_device(monkeypatch, 0, FULL[0])
    record, _ = bench.execute("vanilla", "bert")
    assert sizes == [16, 8, 4, 2, 1]
    assert record["status"] == "oom"
    assert record["cost"]["micro_batch"] == 1


def test_a_method_that_needs_whole_batches_is_not_repeated(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = small_device(monkeypatch, 4, FULL[0])
    record, _ = bench.execute("tmix", "bert")
    assert (record["status"], sizes) == ("oom", [16])
    assert "(tmix needs whole batches: no micro-batch was tried)" in record["error"]["message"]


class Bf16OnTheCpu:
    """Stands in for the Accelerator of a GPU."""

    device = torch.device("cpu")

    def autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16)

    def backward(self, loss: Tensor) -> None:
        loss.backward()


@pytest.mark.parametrize("method", ["vanilla", "rdrop", "lora", "vibert", "smart"])
def test_bf16_autocast_on_the_cpu_has_fp32_gradients_near_those_of_fp32_in_parts_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    precise, _ = first_update(bench, method, "bert", "toy", NONE)
    monkeypatch.setattr(amix.training.fit, "accelerator", Bf16OnTheCpu)
    whole, _ = first_update(bench, method, "bert", "toy", NONE)
    parts, _ = first_update(bench, method, "bert", "toy", NONE, micro_batch=3)
    largest = max(float(gradient.abs().max()) for gradient in precise)
    assert {gradient.dtype for gradient in (*whole, *parts)} == {torch.float32}
    for exact, one, other in zip(precise, whole, parts, strict=True):
        torch.testing.assert_close(one, exact, rtol=0, atol=0.1 * largest)
        torch.testing.assert_close(other, one, rtol=0, atol=0.05 * largest)
    assert any(not torch.equal(one, exact) for exact, one in zip(precise, whole, strict=True))
