"""Attention learned after the task weights: what is fixed when, what is evaluated, what is learned."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from amix.agwm.attention_after import LearnedAfterwards, MixedWhenEvaluated, ones
from amix.agwm.diagnostics import Noted
from amix.agwm.method import AGWMConfig
from amix.agwm.splits import split_fit
from amix.data.metrics import task_scores
from amix.mixup.weight_mixup import WeightMixup
from amix.training.evaluation import predict
from amix.training.fit import Diverged
from amix.training.method import MethodError
from amix.training.registry import find_method
from amix.training.settings import make_config
from tests.amix.test_agwm import BATCH, N_TRAIN, assert_same, differ, finetuned, new_fit, new_model, noted_by

AFTER: dict[str, Any] = {
    "attention": "after", "share": "scalar", "combination": "convex", "attention_epochs": 10, "attention_lr": 0.05,
    "attention_limit": 2.0, "attention_std": 0.0,
}  # fmt: skip


def split(**settings: Any) -> tuple[LearnedAfterwards, Any, Any]:
    """A split after its search: the rule, the model and the fit."""
    config = AGWMConfig(**AFTER | settings)
    model = new_model()
    search_fit, held_out = split_fit(config, new_fit(), 0)
    rule = LearnedAfterwards(config, config.mixup(model, None), held_out)
    rule.mixup.draw_attention(config.attention_std)
    rule.search(model, search_fit)
    return rule, model, search_fit


def test_the_task_weights_are_those_of_a_split_trained_alone() -> None:
    settings = AFTER | {"average": "all", "finetune": False, "splits": 2}
    alone = finetuned("soup", splits=2, finetune=False)[0]
    assert_same(finetuned("agwm", **settings | {"attention_lr": 0.0})[0], alone)
    assert differ(finetuned("agwm", **settings)[0], alone)


def test_with_the_attention_averaged_alone_the_second_stage_is_plain_finetuning() -> None:
    plainly = finetuned("vanilla")[0]
    settings = AFTER | {"average": "attention", "splits": 2}
    assert_same(finetuned("agwm", **settings | {"attention_lr": 0.0})[0], plainly)
    mixed, fit = finetuned("agwm", **settings)
    a = noted_by(fit).at_end(Noted.TASK_SHARE).mean(axis=0)
    start = WeightMixup(new_model())
    for module, share in zip(start.mixed, a, strict=True):
        W, found = plainly.get_parameter(module.name), mixed.get_parameter(module.name)
        assert torch.allclose(found, share * W + (1 - share) * module.pretrained, atol=1e-6), module.name
        assert not torch.equal(found, W)


def test_the_second_stage_always_evaluates_the_mixture() -> None:
    model, fit = new_model(), new_fit()
    config = AGWMConfig(**AFTER)
    mixup = config.mixup(model, None)
    with torch.no_grad():
        for task in mixup.task:
            task.add_(0.3)
    learned = [torch.full_like(a, 0.25) for a in mixup.attention]
    with mixup.holding(ones(mixup)):
        stage = MixedWhenEvaluated(config, mixup, learned)
        evaluated = stage.for_evaluation(model, fit)
        for mixed in mixup.mixed:
            expected = mixed.pretrained + 0.25 * 0.3
            assert torch.allclose(evaluated.get_parameter(mixed.name), expected, atol=1e-6)
            assert torch.equal(mixed.effective, mixed.task)


def test_the_last_point_of_the_curve_belongs_to_the_final_model() -> None:
    run, final_fit = finetuned("agwm", **AFTER | {"splits": 1})
    last = final_fit.curve[-1]["dev"]
    found = predict(run, final_fit.dev, final_fit)
    assert last == task_scores(final_fit.task, final_fit.dev.labels.numpy(), found.predictions, found.logits)


def test_the_held_out_loss_falls_while_the_task_weights_are_fixed() -> None:
    still, *_ = split(attention_lr=0.0)
    rule, _, fit = split()
    assert all(torch.equal(a, b) for a, b in zip(rule.mixup.task, still.mixup.task, strict=True))
    loss = fit.diagnostics["search/upper_loss"][0]
    steps = 10 * -(-8 // BATCH)
    assert loss.shape == (steps,)
    assert loss[-1] < loss[0]
    assert all(a.item() == 1 for a in still.mixup.attention)
    assert any(a.item() != 1 for a in rule.mixup.attention)


def test_it_reaches_the_minimum_of_the_held_out_loss_over_the_attention() -> None:
    """No small change of any matrix's number lowers the loss: its derivative is near zero, or points out of [0, 2]."""
    rule, model, fit = split(attention_epochs=400, attention_lr=0.02)
    batch = next(replace(fit, train=rule.held_out).batches(0))
    loss = fit.task_loss(fit.logits(model, batch), batch)
    gradients = rule.mixup.attention_gradients(torch.autograd.grad(loss, rule.mixup.effective))
    for a, gradient in zip(rule.mixup.attention, gradients, strict=True):
        inwards = (a == 0 and gradient > 0) or (a == 2 and gradient < 0)
        assert inwards or abs(float(gradient)) < 0.02, (a, gradient)


def test_counted_passes_and_steps_equal_the_predicted_ones() -> None:
    settings = AFTER | {"splits": 2}
    _, fit = finetuned("agwm", **settings)
    plain, iterations, after = 2 * N_TRAIN // BATCH, 3 * 32 // BATCH, 10
    expected = plain + 2 * (iterations + after)
    assert fit.cost.forward_passes == fit.cost.backward_passes == expected
    cls = find_method("agwm")
    assert cls(make_config(cls, settings)).relative_passes(N_TRAIN, fit.recipe) * plain == pytest.approx(expected)


def test_its_diagnostics_count_steps_after_the_last_iteration() -> None:
    _, fit = finetuned("agwm", **AFTER | {"splits": 2, "attention_epochs": 20})
    notes = noted_by(fit)
    iterations = 3 * 32 // BATCH
    assert notes.iterations(Noted.LOWER_LOSS).tolist() == list(range(1, iterations + 1))
    for name in (Noted.UPPER_LOSS, Noted.ATTENTION_MEAN):  # More steps than iterations.
        assert notes.iterations(name).tolist() == list(range(iterations + 1, iterations + 21))


def test_a_held_out_loss_that_is_not_finite_is_a_divergence() -> None:
    rule, model, fit = split()
    with torch.no_grad():
        model.classifier.bias.fill_(float("nan"))
    with pytest.raises(Diverged, match="stage search-0: the loss of the held-out part is nan"):
        rule.learn(model, fit)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attention": "after"}, "attention_epochs must be at least 1 with attention 'after'"),
        ({"attention_epochs": 3}, "attention_epochs must be 0 with attention 'bilevel'"),
        ({"attention": "fixed", "attention_epochs": 3}, "attention_epochs must be 0 with attention 'fixed'"),
        ({"attention": "after", "attention_epochs": -1}, "attention_epochs must be at least 0, not -1"),
        (
            {"attention": "after", "attention_epochs": 1, "parameterisation": "logits", "attention_start": 0.5},
            "which logits cannot reach",
        ),
        ({"attention": "after", "attention_epochs": 1, "attention_l1": 0.1}, "attention 'after' does not follow"),
    ],
)
def test_unsupported_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MethodError, match=words):
        AGWMConfig(**settings)
