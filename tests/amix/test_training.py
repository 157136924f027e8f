"""The loop: order of the hooks, pairing between methods, schedule, clipping, divergence, dev scores."""

import dataclasses
import errno
import math
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from amix.data.splits import load_splits
from amix.models.architecture import head_names, set_dropout
from amix.models.loading import load_model, load_tokenizer
from amix.runs.context import RunContext
from amix.runs.execute import execute
from amix.specs.recipe import Recipe
from amix.specs.run_spec import RunSpec
from amix.specs.tasks import find_task
from amix.training.evaluation import predict
from amix.training.fit import Diverged, Fit
from amix.training.loop import clip_gradients, train
from amix.training.method import Method, MethodError
from amix.training.micro_batches import out_of_memory
from amix.training.registry import source_hash
from amix.training.schedules import warmup_steps
from amix.training.settings import full_settings
from baselines.vanilla import Vanilla
from helpers import warm_processes
from helpers.toy_encoders import Bench
from runners.cli.app import app

RECIPE = Recipe(lr=1e-3, epochs=2, max_length=24)


def new_fit(bench: Bench, family: str = "bert", seed: int = 1, **recipe: Any) -> Fit:
    task, name = find_task(bench.tasks["toy"]), bench.encoders[family]
    splits = load_splits(task, 48, seed, load_tokenizer(name), name, 24)
    return Fit(task, dataclasses.replace(RECIPE, **recipe), seed, splits.train, splits.dev)


def new_model(bench: Bench, fit: Fit, family: str = "bert") -> nn.Module:
    model = load_model(bench.encoders[family], fit.task, fit.seed)
    fit.cost.watch(model)
    return model


class Noting(Vanilla):
    """Plain finetuning that records what it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.heads: list[Tensor] = []
        self.batches: list[Tensor] = []
        self.logits: list[Tensor] = []

    def on_fit_start(self, model: nn.Module, fit: Fit) -> None:
        self.heads = [model.get_parameter(name).detach().clone() for name in sorted(head_names(model))]

    def loss(self, model: nn.Module, batch: dict[str, Tensor], fit: Fit) -> Tensor:
        logits = fit.logits(model, batch)
        self.batches.append(batch["input_ids"])
        self.logits.append(logits.detach())
        return fit.task_loss(logits, batch)


class Greedy(Noting):
    """The same, with extra forward passes and random draws in every hook."""

    def waste(self, model: nn.Module, fit: Fit) -> None:
        torch.rand(7)
        for batch in fit.batches(5):
            fit.logits(model, batch)

    def on_fit_start(self, model: nn.Module, fit: Fit) -> None:
        super().on_fit_start(model, fit)
        self.waste(model, fit)

    def before_step(self, model: nn.Module, fit: Fit) -> None:
        self.waste(model, fit)

    def after_step(self, model: nn.Module, fit: Fit) -> None:
        self.waste(model, fit)


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_extra_forward_passes_do_not_advance_shared_streams(bench: Bench, family: str) -> None:
    methods = Noting(), Greedy()
    models = []
    for method in methods:
        fit = new_fit(bench, family)
        models.append(train(method, new_model(bench, fit, family), fit))
    plain, greedy = methods
    for mine, theirs in ((plain.heads, greedy.heads), (plain.batches, greedy.batches), (plain.logits, greedy.logits)):
        assert len(mine) == len(theirs)
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True))


@pytest.mark.parametrize("method", ["mixout", "childtuning_d", "r3f", "lora", "agwm"])
def test_methods_with_the_same_seed_see_the_same_subset(bench: Bench, method: str) -> None:
    mine, reference = (bench.short(name, "bert")[0]["data"] for name in (method, "vanilla"))
    assert mine == reference
    other, _ = bench.execute(method, "bert", seed=2)
    assert other["data"]["ids_sha256"] != reference["ids_sha256"]


HOOKS = ("param_groups", "optimizer", "schedule", "on_fit_start", "before_loss", "loss", "after_step", "for_evaluation")


class Order(Vanilla):
    """Plain finetuning that records the order of hooks, and the gradient's norm in each."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.norms: dict[str, float] = {}

    def __getattribute__(self, name: str) -> Any:
        if name in HOOKS:
            self.calls.append(name)
        return super().__getattribute__(name)

    def after_backward(self, model: nn.Module, fit: Fit) -> None:
        self.note("after_backward", model)

    def before_step(self, model: nn.Module, fit: Fit) -> None:
        self.note("before_step", model)

    def note(self, name: str, model: nn.Module) -> None:
        self.calls.append(name)
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        self.norms[name] = float(torch.stack([gradient.norm() for gradient in gradients]).norm())


def test_hooks_are_called_in_the_documented_order_around_clipping(bench: Bench) -> None:
    fit = new_fit(bench, steps=2, clip_norm=0.01)
    method = Order()
    train(method, new_model(bench, fit), fit)
    step = ["before_loss", "loss", "after_backward", "before_step", "after_step"]
    assert method.calls == ["optimizer", "param_groups", "schedule", "on_fit_start", *step, *step, "for_evaluation"]
    assert method.norms["after_backward"] > 0.02
    assert method.norms["before_step"] == pytest.approx(0.01, rel=1e-3)


def test_clipping_leaves_a_small_gradient_as_it_is() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([0.3, 0.4])
    norm = clip_gradients(torch.optim.SGD([parameter], lr=1.0), 1.0)
    assert float(norm) == pytest.approx(0.5)
    assert parameter.grad.tolist() == pytest.approx([0.3, 0.4])


class Rates(Vanilla):
    """Plain finetuning that records the learning rate of each step."""

    rates: list[float]

    def on_fit_start(self, model: nn.Module, fit: Fit) -> None:
        self.rates = []

    def before_step(self, model: nn.Module, fit: Fit) -> None:
        assert fit.optimizer is not None
        self.rates.append(fit.optimizer.param_groups[0]["lr"])


def test_the_learning_rate_rises_then_falls_to_zero(bench: Bench) -> None:
    fit = new_fit(bench, lr=1.0, steps=11, warmup_ratio=0.1)
    method = Rates()
    train(method, new_model(bench, fit), fit)
    assert warmup_steps(fit.recipe, 11) == 2
    assert method.rates == pytest.approx([0, 0.5, *(left / 9 for left in range(9, 0, -1))])
    assert (fit.step, fit.total_steps, fit.epoch) == (11, 11, 3)


def test_a_single_step_trains(bench: Bench) -> None:
    fit = new_fit(bench, lr=1.0, steps=1, warmup_ratio=0.1)
    method = Rates()
    train(method, new_model(bench, fit), fit)
    assert method.rates == [1.0]


def test_passes_and_steps_are_counted_without_those_of_evaluation(bench: Bench) -> None:
    fit = new_fit(bench)
    train(Vanilla(), new_model(bench, fit), fit)
    assert (fit.cost.forward_passes, fit.cost.backward_passes, fit.cost.optimizer_steps) == (6, 6, 6)
    assert fit.cost.tokens == sum(batch["input_ids"].numel() for epoch in (0, 1) for batch in fit.batches(epoch))


class Exploding(Vanilla):
    """A loss that is nan in the second epoch."""

    def loss(self, model: nn.Module, batch: dict[str, Tensor], fit: Fit) -> Tensor:
        loss = super().loss(model, batch, fit)
        return loss * math.nan if fit.epoch == 1 else loss


def test_a_loss_that_is_not_finite_ends_the_training(bench: Bench) -> None:
    fit = new_fit(bench, epochs=5)
    with pytest.raises(Diverged, match="stage main, epoch 2: the training loss is nan"):
        train(Exploding(), new_model(bench, fit), fit)
    assert len(fit.curve) == 1


def test_the_best_dev_weights_are_those_of_the_first_best_epoch(bench: Bench) -> None:
    fit = new_fit(bench, epochs=6, lr=5e-3)
    model = train(Vanilla(), new_model(bench, fit), fit)
    scores = [point["dev"]["accuracy"] for point in fit.curve]
    assert fit.best.score == max(scores)
    assert fit.best.epoch == scores.index(max(scores)) + 1
    model.load_state_dict(fit.best.state)
    found = predict(model, fit.dev, fit).predictions == fit.dev.labels.numpy()
    assert found.mean() == pytest.approx(fit.best.score)


def test_another_stage_has_its_own_batches_and_no_dev_scores(bench: Bench) -> None:
    fit = new_fit(bench)
    other = fit.for_stage("search", train=fit.train.select(range(32)))
    assert [b["labels"].tolist() for b in other.batches(0)] != [b["labels"].tolist() for b in fit.batches(0)]
    train(Vanilla(), new_model(bench, fit), other)
    assert [set(point) for point in fit.curve] == [{"stage", "step", "epoch", "train_loss"}] * 2
    assert fit.cost.optimizer_steps == 4


def test_predictions_have_the_order_of_the_split_and_keep_the_mode(bench: Bench) -> None:
    fit = new_fit(bench)
    model = new_model(bench, fit)
    whole = predict(model, fit.train, fit).logits
    assert model.training
    one_by_one = [predict(model, fit.train.select([row]), fit).logits[0] for row in range(len(fit.train))]
    numpy.testing.assert_allclose(whole, one_by_one, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "bert-mean"])
def test_dropout_can_be_switched_off_everywhere(bench: Bench, family: str) -> None:
    fit = new_fit(bench, family)
    model = new_model(bench, fit, family).train()
    batch = next(fit.batches(0))
    assert not torch.equal(fit.logits(model, batch), fit.logits(model, batch))
    set_dropout(model, 0.0)
    assert torch.equal(fit.logits(model, batch), fit.logits(model, batch))


def parameters_of(groups: list[dict[str, Any]]) -> Iterator[int]:
    return (id(parameter) for group in groups for parameter in group["params"])


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "bert-mean"])
def test_every_parameter_is_in_one_group_and_norms_and_biases_do_not_decay(bench: Bench, family: str) -> None:
    fit = new_fit(bench, family)
    model = new_model(bench, fit, family)
    groups = Method.param_groups(Vanilla(), model, fit)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert sorted(parameters_of(groups)) == sorted(names)
    (undecayed,) = (group for group in groups if group["weight_decay"] == 0)
    for parameter in parameters_of([undecayed]):
        assert names[parameter].endswith("bias") or "LayerNorm" in names[parameter]


def test_running_out_of_memory_is_an_accident_on_the_cpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: object) -> None:
        torch.empty(2**60, dtype=torch.uint8)

    monkeypatch.setattr("amix.runs.execute.load_splits", load)
    spec = RunSpec("mini-rte", 24, 1, "vanilla", "minilm-l2", full_settings(Vanilla, {}))
    record, _ = execute(spec, RunContext())
    assert record["error"]["type"] == "RuntimeError"
    assert "can't allocate memory" in record["error"]["message"]
    assert record["status"] == "oom"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (OSError(errno.ENOENT, "No such file"), False),
    ],
)
def test_out_of_memory_errors_are_recognised(error: Exception, expected: bool) -> None:
    assert out_of_memory(error) == expected


WENT_WRONG = [
    (Diverged("loss is nan"), "diverged"),
    (FloatingPointError("overflow"), "failed"),
    (torch.linalg.LinAlgError("singular"), "failed"),
    (numpy.linalg.LinAlgError("singular"), "failed"),
    (MethodError("two classes at most"), "failed"),
    (MemoryError(), "oom"),
    (RuntimeError("could not create a primitive"), "accident"),
    (OSError(errno.ENOSPC, "No space left on device"), "accident"),
    (TypeError("a slip of the pen"), "accident"),
    (SystemExit(0), "accident"),
]


@pytest.mark.parametrize(("error", "status"), WENT_WRONG, ids=[type(error).__name__ for error, _ in WENT_WRONG])
def test_only_errors_that_methods_cause_are_their_failures(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: str
) -> None:
    def loss(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(Vanilla, "loss", loss)
    spec = RunSpec("mini-rte", 24, 1, "vanilla", "minilm-l2", full_settings(Vanilla, {}))
    record, _ = execute(replace(spec, method_source=source_hash(Vanilla)), RunContext())
    assert (record["status"], record["error"]["type"]) == (status, type(error).__name__)


def test_arithmetic_errors_outside_the_method_are_not_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("amix.runs.execute.load_splits", load)
    spec = RunSpec("mini-rte", 24, 1, "vanilla", "minilm-l2", full_settings(Vanilla, {}))
    record, _ = execute(replace(spec, method_source=source_hash(Vanilla)), RunContext())
    assert (record["status"], record["error"]["type"]) == ("accident", "ZeroDivisionError")


def test_the_loop_is_compared_with_its_bare_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ratios need an idle machine; this only checks that both are measured and printed."""
    monkeypatch.setattr(subprocess, "run", warm_processes.run)
    result = CliRunner().invoke(app, ["bench", "loop", "--encoder", "minilm-l2", "--size", "16", "--repeats", "1"])
    found = re.search(r"training loop (\S+) s, bare passes (\S+) s, ratio (\S+)", result.output)
    assert found, result.output
    ours, bare, ratio = map(float, found.groups())
    assert ours > 0
    assert ratio == pytest.approx(ours / bare, rel=0.1)
