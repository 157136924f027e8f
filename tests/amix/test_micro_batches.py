"""Micro-batches: the parts of a batch give the gradients of the whole batch, dropout included, in less memory."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amix.data.splits import load_splits
from amix.models.loading import load_model, load_tokenizer
from amix.specs.recipe import Recipe
from amix.specs.tasks import find_task
from amix.training import loop
from amix.training.fit import Fit
from amix.training.multi_stage import finetune
from amix.training.registry import find_method, methods
from amix.training.settings import make_config
from helpers.toy_encoders import Bench

SPLIT = [name for name, method in methods().items() if method.info.trains_by_steps and method.splits_updates()]
"""The methods that take micro-batches."""
RECIPE = Recipe(lr=1e-3, steps=1, batch_size=8, max_length=24, warmup_ratio=0.0)


class Start:
    """A model and a Fit before the first step, made once for an encoder and a task."""

    def __init__(self, bench: Bench, family: str, task: str, language_model: bool = False) -> None:
        name = (bench.language_models if language_model else bench.encoders)[family]
        self.task, self.name = find_task(bench.tasks[task]), name
        self.splits = load_splits(self.task, 8, 1, load_tokenizer(name), name, 24)

    def model(self) -> nn.Module:
        return load_model(self.name, self.task, 1)

    def fit(self, **recipe: Any) -> Fit:
        return Fit(self.task, replace(RECIPE, **recipe), 1, self.splits.train, self.splits.dev.select([0]))


def gradients(
    method: str, start: Start, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any] | None = None, **recipe: Any
) -> tuple[list[Tensor], Fit]:
    """The gradients of every update, before clipping, and the finished Fit."""
    kind, fit, found = find_method(method), start.fit(**recipe), []

    def note(optimizer: torch.optim.Optimizer, clip_norm: float) -> None:
        found.extend(p.grad.clone() for group in optimizer.param_groups for p in group["params"] if p.grad is not None)

    monkeypatch.setattr(loop, "clip_gradients", note)
    instance = kind(make_config(kind, kind.info.toy_settings if settings is None else settings))
    model = start.model()
    fit.cost.watch(model)
    finetune(instance, instance.prepare(model, fit), fit)
    return found, fit

import time
@pytest.mark.parametrize("method", SPLIT)
def test_parts_have_the_gradients_of_the_whole_batch(
    bench: Bench, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Start(bench, "bert", "toy", find_method(method).info.needs_language_model)
    t=time.perf_counter()
    whole, fit = gradients(method, start, monkeypatch)
    parts, split_fit = gradients(method, start, monkeypatch, micro_batch=3)
    t=time.perf_counter()-t
    assert len(whole) == len(parts) > 0
    scale = max(float(g.abs().max()) for g in whole)
    diff = max(float((a-b).abs().max()) for a,b in zip(whole,parts))
    print("RES", method, diff, diff/scale, round(t,3), fit.cost.forward_passes, split_fit.cost.forward_passes, fit.cost.tokens, split_fit.cost.tokens)
    assert diff <= 1e-6*max(1,scale)
    assert [p["train_loss"] for p in fit.curve] == pytest.approx([p["train_loss"] for p in split_fit.curve], abs=1e-6)
