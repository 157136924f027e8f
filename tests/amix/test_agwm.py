"""The method in the suite: null settings, controls, streams, passes, variants."""

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from amix.agwm.diagnostics import Noted, SearchNotes, read
from amix.agwm.method import AGWMConfig
from amix.agwm.search_rules import RULES
from amix.agwm.split_search import AttentionRule
from amix.agwm.splits import SplitConfig, split_positions
from amix.data.encoded import Encoded
from amix.mixup.weight_mixup import WeightMixup
from amix.specs.recipe import Recipe
from amix.specs.tasks import find_task
from amix.training.evaluation import predict
from amix.training.fit import Fit
from amix.training.loop import start, train
from amix.training.method import Method, MethodError
from amix.training.multi_stage import finetune
from amix.training.registry import find_method
from amix.training.settings import make_config

N_TRAIN, BATCH = 40, 8
AT_END = {Noted.TASK_SHARE, Noted.PRETRAINED_SHARE, Noted.ATTENTION_DECILES}


def encoded(n: int, seed: int) -> Encoded:
    """Sentences of 3 to 9 tokens whose label says whether token 5 occurs."""
    generator = numpy.random.default_rng(seed)
    lengths = generator.integers(3, 10, n)
    ids = generator.integers(4, 40, (n, 9))
    mask = numpy.arange(9) < lengths[:, None]
    ids, labels = numpy.where(mask, ids, 0), generator.integers(0, 2, n)
    ids[:, 0] = numpy.where(labels == 1, 5, 6)
    inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(numpy.int64))}
    return Encoded(inputs, torch.from_numpy(lengths), torch.from_numpy(labels))


def new_fit() -> Fit:
    recipe = Recipe(lr=1e-3, epochs=2, batch_size=BATCH)
    return Fit(find_task("sst2"), recipe, 1017, encoded(N_TRAIN, 1), encoded(12, 2))


def new_model() -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def finetuned(name: str, **settings: Any) -> tuple[nn.Module, Fit]:
    """A tiny encoder after a run of this method."""
    cls = find_method(name)
    method, fit, model = cls(make_config(cls, settings)), new_fit(), new_model()
    fit.cost.watch(model)
    model = finetune(method, method.prepare(model, fit), fit)
    return method.export(model, fit), fit


def noted_by(fit: Fit) -> SearchNotes:
    """The diagnostics of a run's searches, as read from its side file."""
    notes = read({f"diagnostics/{name}": numpy.asarray(values) for name, values in fit.diagnostics.items()})
    assert notes is not None
    return notes


def assert_same(first: nn.Module, second: nn.Module) -> None:
    others = dict(second.named_parameters())
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, others[name]), name


def differ(first: nn.Module, second: nn.Module) -> bool:
    others = dict(second.named_parameters())
    return any(not torch.equal(parameter, others[name]) for name, parameter in first.named_parameters())


@pytest.mark.parametrize("name", ["agwm", "agwm_official", "agwm_fast", "soup", "vanilla_matched"])
def test_without_splits_it_is_plain_finetuning(name: str) -> None:
    assert_same(finetuned(name, splits=0)[0], finetuned("vanilla")[0])


@pytest.mark.parametrize("finetune", [True, False])
@pytest.mark.parametrize("rank", [1, 3])
def test_attention_fixed_at_one_is_the_soup(finetune: bool, rank: int) -> None:
    mixed, _ = finetuned("agwm", attention="fixed", attention_std=0.0, splits=3, finetune=finetune, rank=rank)
    assert_same(mixed, finetuned("soup", splits=3, finetune=finetune)[0])


def test_one_split_without_attention_and_second_stage_is_plain_finetuning_on_it() -> None:
    mixed, _ = finetuned("agwm", attention="fixed", attention_std=0.0, splits=1, finetune=False)
    fit = new_fit()
    lower, _ = split_positions(SplitConfig(), N_TRAIN, fit.seed, 0)
    assert len(lower) == 32
    recipe = replace(fit.recipe, steps=3 * 32 // BATCH, clip_norm=5.0)
    plain_fit = replace(fit, train=fit.train.select(lower), recipe=recipe, stage="search-0")
    assert_same(mixed, train(Method(), new_model(), plain_fit))


def test_split_parts_are_disjoint_resamples_of_their_own_stream() -> None:
    config = SplitConfig()
    splits = [split_positions(config, 100, 1017, number) for number in range(5)]
    for lower, held_out in splits:
        assert (len(lower), len(held_out)) == (80, 20)
        assert sorted([*lower, *held_out]) == list(range(100))
    assert len({tuple(held_out) for _, held_out in splits}) == 5
    assert len({int(position) for _, held_out in splits for position in held_out}) < 100  # Not folds.
    half = replace(config, lower_share=0.5)
    assert len(split_positions(half, 100, 1017, 0)[1]) == 50


def test_the_same_seed_gives_the_same_weights_and_the_attention_matters() -> None:
    first, second = (finetuned("agwm", splits=2)[0] for _ in range(2))
    assert_same(first, second)
    assert differ(first, finetuned("soup", splits=2)[0])


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        ({"estimator": "central"}, 4),
        ({"estimator": "central", "point": "before"}, 4),
        ({"estimator": "forward", "point": "before"}, 3),
        ({"estimator": "first_order"}, 2),
        ({"attention": "joint"}, 1),
        ({"attention": "fixed"}, 1),
        ({"attention": "random_walk"}, 1),
        ({"attention_every": 3}, 2),
        ({"attention_every": 5}, 1.75),  # after iterations 1, 6 and 11 of 12
    ],
)
def test_counted_passes_equal_the_predicted_ones(settings: dict[str, Any], passes: float) -> None:
    _, fit = finetuned("agwm", splits=1, **settings)
    iterations = 3 * (N_TRAIN if settings.get("attention") == "joint" else 32) // BATCH
    plain = 2 * N_TRAIN // BATCH
    assert fit.cost.forward_passes == fit.cost.backward_passes == plain + passes * iterations
    cls = find_method("agwm")
    foretold = cls(make_config(cls, {"splits": 1, **settings})).relative_passes(N_TRAIN, fit.recipe)
    assert foretold * plain == pytest.approx(plain + passes * iterations)


def test_as_run_makes_two_updates_of_five_passes_and_one_iteration_more_per_epoch() -> None:
    _, fit = finetuned("agwm_official", splits=1, finetune=False)
    assert fit.cost.optimizer_steps == 2 * 15  # 3 epochs of 32 // 8 + 1
    assert fit.cost.forward_passes == fit.cost.backward_passes == 5 * 15


def test_a_second_update_uses_the_rate_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from amix.training import optimizers

    rates: list[float] = []
    update = optimizers.DecayAfterAdamW._update

    def remember(self: Any, group: dict[str, Any], step: int, parameters: list[torch.Tensor]) -> None:
        rates.append(group["lr"])
        update(self, group, step, parameters)

    monkeypatch.setattr(optimizers.DecayAfterAdamW, "_update", remember)
    finetuned("agwm_official", splits=1, finetune=False)
    per_update = rates[::2]  # Two parameter groups.
    assert per_update[0::2] == per_update[1::2]
    assert len(set(per_update)) > 5


@pytest.mark.parametrize("rule", ["bilevel", "joint", "random_walk", "as_run"])
def test_every_rule_moves_the_attention_and_reports_it(rule: AttentionRule) -> None:
    _, fit = finetuned("agwm", attention=rule, splits=2, finetune=False)
    notes = noted_by(fit)
    means, lowest = notes[Noted.ATTENTION_MEAN], notes[Noted.ATTENTION_MIN]
    iterations = {"as_run": 15, "joint": 15}.get(rule, 12)
    assert means.shape == (2, iterations, 13)
    assert not numpy.array_equal(means[:, 0], means[:, -1])
    assert len(notes.modules) == 13
    assert ((lowest > 0) & (lowest < 1)).all()
    # a1 and a2 are independent, so A averages to about the square of the factors' mean.
    assert notes.at_end(Noted.TASK_SHARE) == pytest.approx(means[:, -1] ** 2, abs=2e-3)
    remainder = notes.at_end(Noted.PRETRAINED_SHARE)
    assert ((remainder >= 0) & (remainder < 0.01)).all()
    deciles = notes.at_end(Noted.ATTENTION_DECILES)
    assert deciles.shape == (2, 13, 11)
    assert deciles[..., 0] == pytest.approx(lowest[:, -1])
    assert notes.has(Noted.UPPER_LOSS) == RULES[rule].follows_upper_loss


def test_fixed_attention_records_no_diagnostics() -> None:
    _, fit = finetuned("agwm", attention="fixed", splits=2, finetune=False)
    assert not fit.diagnostics


def test_joint_attention_uses_only_the_gradient_of_its_own_step() -> None:
    model, fit = new_model(), new_fit()
    mixup = WeightMixup(model)
    config = AGWMConfig(attention="joint", attention_every=2)
    method = config.rule(config, mixup, fit.dev)
    start(method, model, fit)
    batch = next(fit.batches(0))
    for turn in (True, False):
        assert fit.optimizer is not None
        fit.backward(method.loss(model, batch, fit))
        method.after_backward(model, fit)
        assert all((factor.grad is not None) == turn for factor in mixup.attention)
        fit.optimizer.zero_grad()
        method.after_step(model, fit)
        fit.step += 1


def test_bilevel_search_records_all_diagnostics() -> None:
    _, fit = finetuned("agwm", splits=2, finetune=False)
    notes = noted_by(fit)
    assert set(notes.arrays) == set(Noted)
    for name, values in notes.arrays.items():
        assert values.shape[:2] == (2, 1 if name in AT_END else 12), name
        assert numpy.isfinite(values).all(), name


FULL, HALF = torch.float32, torch.bfloat16


@pytest.mark.parametrize(
    ("settings", "passes"),
    [
        ({}, [HALF, HALF, FULL, FULL]),  # lower, upper, and the two whose difference is taken
        ({"full_precision": False}, [HALF] * 4),
        ({"estimator": "forward", "point": "before"}, [FULL, HALF, FULL]),  # the lower pass is one of the two
        ({"estimator": "first_order"}, [HALF, HALF]),
    ],
)
def test_finite_differences_compare_passes_in_full_precision(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], passes: list[torch.dtype]
) -> None:
    half = SimpleNamespace(
        device=torch.device("cpu"),
        autocast=lambda: torch.autocast("cpu", HALF),
        backward=lambda loss: loss.backward(),
    )
    monkeypatch.setattr("amix.training.fit.accelerator", lambda: half)
    cls, model, fit = find_method("agwm"), new_model(), new_fit()
    found: list[torch.dtype] = []
    model.classifier.register_forward_hook(lambda module, inputs, output: found.append(output.dtype))
    cls(make_config(cls, {"splits": 1, "finetune": False, **settings})).run(model, fit)
    assert found == passes * 12


def test_attention_only_restarts_the_task_weights() -> None:
    model, _ = finetuned("agwm", splits=2, average="attention", attention_lr=0.0, attention_std=0.0, finetune=False)
    assert_same(model, new_model())


@pytest.mark.parametrize("average", ["all", "attention"])
def test_the_chosen_weights_are_averaged_over_the_splits(average: str) -> None:
    """The means of task weights and attention by hand, from the two searches, and the weights they give."""
    settings = {"splits": 2, "average": average, "attention_lr": 0.1, "finetune": False}
    cls, start = find_method("agwm"), new_model()
    method = cls(make_config(cls, settings))
    pretrained = {name: p.detach().clone() for name, p in start.named_parameters()}
    stages = []
    for number in range(2):
        left = method.run_stage(new_model(), replace(new_fit(), pretrained=pretrained), number)
        stages.append({name: tensor.detach().clone() for name, tensor in left.items()})
    means = {name: (stages[0][name] + stages[1][name]) / 2 for name in stages[0]}
    expected = WeightMixup(start, pretrained)
    with torch.no_grad():
        for name, tensor in {**expected.lower, **expected.named_attention()}.items():
            if name in means:
                tensor.copy_(means[name])
    assert set(expected.named_attention()) <= set(means)
    assert (set(expected.lower) <= set(means)) == (average == "all")
    assert_same(finetuned("agwm", **settings)[0], expected.export())
    assert differ(expected.export(), new_model())


def test_export_is_the_model_in_training() -> None:
    model, fit = finetuned("agwm", splits=1)
    plain = new_model()
    plain.load_state_dict(copy.deepcopy(model.state_dict()))
    assert numpy.array_equal(predict(plain, fit.dev, fit).logits, predict(model, fit.dev, fit).logits)


def test_the_fast_preset_costs_at_most_2_3_times_plain_finetuning() -> None:
    recipe = Recipe()
    costs = {
        name: find_method(name)().relative_passes(300, recipe) for name in ("agwm", "agwm_fast", "vanilla_matched")
    }
    assert costs["agwm"] == costs["vanilla_matched"] == pytest.approx(1 + 5 * 45 * 4 / 57)
    assert 1 < costs["agwm_fast"] <= 2.3


def test_matched_control_makes_as_many_passes() -> None:
    _, matched = finetuned("vanilla_matched", splits=2)
    _, mixed = finetuned("agwm", splits=2)
    assert matched.cost.forward_passes == mixed.cost.forward_passes


def test_no_dropout_control_is_deterministic_in_train_mode() -> None:
    cls = find_method("vanilla_no_dropout")
    fit = new_fit()
    model = cls().prepare(new_model(), fit).train()
    batch = next(fit.batches(0))
    assert torch.equal(fit.logits(model, batch), fit.logits(model, batch))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"splits": -1}, "splits: at least 0 is needed, found -1"),
        ({"attention": "sometimes"}, "known: bilevel, joint, fixed, random_walk, as_run"),
        ({"combination": "conves"}, "combination: unknown 'conves'; did you mean convex"),
        ({"rank": 0}, "at least 1"),
        ({"attention": "as_run", "estimator": "first_order"}, "uses central differences"),
        ({"average": "some"}, "known: all, attention"),
        ({"attention_every": 0}, "at least 1, not 0"),
        ({"estimator": "forward"}, "needs point='before'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises((MethodError, ValueError), match=words):
        make_config(find_method("agwm"), settings)
