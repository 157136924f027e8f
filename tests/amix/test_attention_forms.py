"""Scalar shares and logits: derivatives against autograd, hypergradients against the unrolled step, limits, keys."""

from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import nn

from amix.agwm.diagnostics import Noted
from amix.agwm.method import AGWMConfig
from amix.agwm.presets import FastConfig, ReleasedCodeConfig
from amix.mixup.weight_mixup import WeightMixup
from amix.training.method import MethodError
from amix.training.registry import find_method
from amix.training.settings import full_settings
from tests.amix.test_agwm import assert_same, differ, finetuned, new_model, noted_by
from tests.amix.test_bilevel import RATE, Problem, flat, plain, relative

FORMS: dict[str, dict[str, Any]] = {
    "rank-one logits": {"parameterisation": "logits", "start": 0.7},
    "rank-three convex logits": {"rank": 3, "combination": "convex", "parameterisation": "logits", "start": 0.7},
    "scalar": {"share": "scalar", "combination": "convex", "start": 0.7},
    "scalar logits": {"share": "scalar", "combination": "convex", "parameterisation": "logits", "start": 0.7},
    "scalar above one": {"share": "scalar", "combination": "convex", "start": 1.5, "limit": 2.0},
}
every_form = pytest.mark.parametrize("form", FORMS)


def effective(mixup: WeightMixup, task: list[torch.Tensor], numbers: list[torch.Tensor]) -> list[torch.Tensor]:
    """The effective weights from what both levels train, by definition and differentiable."""
    left, weights, form = list(numbers), [], mixup.form
    for mixed, W in zip(mixup.mixed, task, strict=True):
        own = [left.pop(0) for _ in mixed.factors]
        a = [torch.exp(x) / (1 + torch.exp(x)) for x in own] if form.parameterisation == "logits" else own
        if form.share == "scalar":
            A = a[0] * torch.ones_like(W)
            B = 1 - A
        else:
            terms = range(form.rank)
            A = sum(torch.outer(a[0][:, k], a[1][k]) for k in terms) / form.rank
            B = sum(torch.outer(1 - a[0][:, k], 1 - a[1][k]) for k in terms) / form.rank
            B = 1 - A if form.combination == "convex" else B
        weights.append(A * W + B * mixed.pretrained)
    return weights


def displaced(mixup: WeightMixup) -> None:
    """Task weights away from the pretrained ones, the attention spread around its start."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for task in mixup.task:
            task.add_(0.1 * torch.randn(task.shape, generator=generator))
    mixup.draw_attention(0.1, generator)


@every_form
def test_gradients_equal_autograd(form: str) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(6, 5).double()
    mixup = WeightMixup(linear, modules=[""], **FORMS[form])
    displaced(mixup)
    (mixed,) = mixup.mixed
    x = torch.randn(7, 6, dtype=torch.float64)
    linear(x).pow(3).sum().backward()
    mixup.pull_back(attention=True)
    task, *numbers = (t.detach().clone().requires_grad_() for t in (mixed.task, *mixup.attention))
    (weight,) = effective(mixup, [task], numbers)
    assert torch.allclose(weight, mixed.effective, rtol=0, atol=1e-14)
    expected = torch.autograd.grad((x @ weight.T + linear.bias.detach()).pow(3).sum(), (task, *numbers))
    for found, wanted in zip((mixed.task, *mixup.attention), expected, strict=True):
        assert found.grad is not None
        assert torch.allclose(found.grad, wanted, rtol=1e-12, atol=1e-12)


class FormProblem(Problem):
    """The problem of the bi-level tests with another form of the attention."""

    def __init__(self, form: str) -> None:
        super().__init__("mlp", "factored", 1)
        pretrained = {mixed.name: mixed.pretrained for mixed in self.mixup.mixed}
        self.mixup = WeightMixup(self.model, pretrained, modules=["."], **FORMS[form])
        displaced(self.mixup)

    def unrolled(self) -> list[torch.Tensor]:
        """d/d numbers of the upper loss after one step, by automatic differentiation of the whole map."""
        lower = {name: p.detach().clone().requires_grad_() for name, p in self.mixup.lower.items()}
        numbers = [p.detach().clone().requires_grad_() for p in self.mixup.attention]

        def parameters(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            mixed = [one.name for one in self.mixup.mixed]
            return values | dict(zip(mixed, effective(self.mixup, [values[n] for n in mixed], numbers), strict=True))

        gradients = torch.autograd.grad(self.loss(0, parameters(lower)), list(lower.values()), create_graph=True)
        stepped = {name: p - RATE * g for (name, p), g in zip(lower.items(), gradients, strict=True)}
        return list(torch.autograd.grad(self.loss(1, parameters(stepped)), numbers))


@every_form
def test_exact_equals_the_unrolled_step(form: str) -> None:
    expected = flat(FormProblem(form).unrolled())
    found = FormProblem(form).step(plain("exact"))
    assert relative(flat(found.total()), expected) < 1e-8
    assert relative(flat(found.direct), expected) > 1e-3  # The implicit term is not negligible here.


@every_form
@pytest.mark.parametrize(("estimator", "order"), [("central", 2), ("forward", 1)])
def test_finite_differences_converge_to_the_exact_term_at_their_order(form: str, estimator: str, order: int) -> None:
    exact = flat(FormProblem(form).step(plain("exact")).implicit)
    errors = [relative(flat(FormProblem(form).step(plain(estimator, radius=r)).implicit), exact) for r in (0.02, 0.01)]
    assert errors[1] < 0.02
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.25)


def test_a_new_mixup_is_at_its_start_and_a_drawn_one_near_it() -> None:
    for form in FORMS.values():
        mixup = WeightMixup(new_model(), **form)
        values = torch.cat([a.flatten() for mixed in mixup.mixed for a in mixed.attention()])
        assert torch.allclose(values, torch.tensor(form["start"]))
        mixup.draw_attention(0.05, torch.Generator().manual_seed(2))
        values = torch.cat([a.flatten() for mixed in mixup.mixed for a in mixed.attention()])
        assert 0.02 < float(values.std()) < 0.09
        assert abs(float(values.mean()) - form["start"]) < 0.05


def test_logits_drawn_at_the_border_stay_finite() -> None:
    mixup = WeightMixup(new_model(), parameterisation="logits", start=0.99)
    mixup.draw_attention(0.5, torch.Generator().manual_seed(2))
    assert all(bool(numbers.isfinite().all()) for numbers in mixup.attention)


def test_clamping_goes_up_to_the_limit_and_leaves_logits_alone() -> None:
    for form, bounds in ((FORMS["scalar above one"], (0.0, 2.0)), (FORMS["scalar logits"], (-7.0, 7.0))):
        mixup = WeightMixup(new_model(), **form)
        with torch.no_grad():
            for number, factor in enumerate(mixup.attention):
                factor.fill_(7.0 if number % 2 else -7.0)
        mixup.clamp()
        assert {factor.item() for factor in mixup.attention} == set(bounds)


def test_with_attention_above_one_a_matrix_moves_further_than_it_was_trained() -> None:
    mixup = WeightMixup(new_model(), **FORMS["scalar above one"])
    displaced(mixup)
    mixed = mixup.mixed[0]
    a = mixed.attention()[0]
    assert a > 1
    assert torch.allclose(mixed.effective - mixed.pretrained, a * (mixed.task - mixed.pretrained), atol=1e-6)


def test_held_numbers_are_restored_even_after_an_error() -> None:
    mixup = WeightMixup(new_model(), **FORMS["scalar"])
    displaced(mixup)
    before = [p.detach().clone() for p in (*mixup.attention, *mixup.effective)]
    with suppress(KeyError), mixup.holding([torch.ones_like(a) for a in mixup.attention]):
        assert all(torch.equal(m.effective, m.task) for m in mixup.mixed)
        raise KeyError
    assert all(torch.equal(p, old) for p, old in zip((*mixup.attention, *mixup.effective), before, strict=True))


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"share": "head"}, "share 'head' is unknown; known: rank_one, scalar"),
        ({"parameterisation": "probits"}, "known: clamped, logits"),
        ({"share": "scalar"}, "needs combination 'convex' and rank 1"),
        ({"share": "scalar", "combination": "convex", "rank": 2}, "needs combination 'convex' and rank 1"),
        ({"parameterisation": "logits"}, r"cannot start at an attention of 1\.0"),
        ({"start": 1.2}, "between 0 and its limit 1.0, not at 1.2"),
        ({"start": -0.1}, "between 0 and its limit"),
        ({"start": float("nan")}, "not at nan"),
        ({"limit": 2.0}, "above 1 for a clamped scalar share, not 2.0"),
        ({"limit": 0.5, "share": "scalar", "combination": "convex"}, "limit is 1, or above 1"),
        ({"limit": float("nan"), "share": "scalar", "combination": "convex"}, "limit nan"),
    ],
)
def test_contradicting_options_are_refused(form: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WeightMixup(new_model(), **form)
    settings = {{"start": "attention_start", "limit": "attention_limit"}.get(name, name): v for name, v in form.items()}
    with pytest.raises(MethodError, match=words):
        AGWMConfig(**settings)


def test_a_penalty_on_logits_is_refused() -> None:
    with pytest.raises(MethodError, match="to logits is not defined"):
        AGWMConfig(parameterisation="logits", attention_start=0.9, attention_l1=0.1)


NEUTRAL = {"share": "rank_one", "parameterisation": "clamped", "attention_start": 1, "attention_limit": 1}
NEUTRAL |= {"attention_epochs": 0}


@pytest.mark.parametrize("config", [AGWMConfig, ReleasedCodeConfig, FastConfig])
def test_the_keys_of_old_runs_stay_the_same(config: type[AGWMConfig]) -> None:
    method = find_method({AGWMConfig: "agwm", ReleasedCodeConfig: "agwm_official", FastConfig: "agwm_fast"}[config])
    assert NEUTRAL.keys().isdisjoint(full_settings(method, {}))
    assert full_settings(method, NEUTRAL) == full_settings(method, {})
    assert full_settings(method, {"attention_start": 0.9})["attention_start"] == 0.9


@pytest.mark.parametrize("rule", ["bilevel", "joint", "random_walk"])
def test_logits_move_and_diagnostics_record_the_attention(rule: str) -> None:
    settings = {"share": "scalar", "combination": "convex", "parameterisation": "logits", "attention_start": 0.9}
    _, fit = finetuned("agwm", splits=1, finetune=False, attention=rule, attention_lr=0.3, **settings)
    means = noted_by(fit)[Noted.ATTENTION_MEAN]
    assert abs(float(means[0, 0].mean()) - 0.9) < 0.02
    assert (abs(means[0, -1] - means[0, 0]) > 1e-3).all()
    assert ((means > 0) & (means < 1)).all()
    assert noted_by(fit).at_end(Noted.TASK_SHARE)[0] == pytest.approx(means[0, -1], rel=1e-6)


def test_a_start_below_one_gives_the_pretrained_weight_a_share_and_zero_splits_stay_plain_finetuning() -> None:
    settings = {"combination": "convex", "attention_start": 0.5, "attention_std": 0.0}
    _, fit = finetuned("agwm", splits=1, finetune=False, **settings)
    assert (noted_by(fit).at_end(Noted.PRETRAINED_SHARE) > 0.6).all()
    plainly, _ = finetuned("vanilla")
    assert_same(finetuned("agwm", splits=0, **settings)[0], plainly)
    assert differ(finetuned("agwm", splits=1, **settings)[0], plainly)
