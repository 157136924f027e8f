"""Hypergradients against automatic differentiation through the lower step; restoring, masks, order of convergence."""

import gc
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, BertConfig

from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import Hypergradient, HypergradientOptions, LowerPass, hypergradient
from amix.mixup.step_jacobian import apply_step_jacobian_
from amix.mixup.weight_mixup import Combination, WeightMixup
from amix.models.loading import load_model
from amix.specs.tasks import find_task
from amix.training.optimizers import DecayAfterAdamW

RATE = 0.3


class Problem:
    """A model, a lower and an upper loss, and the same losses as functions of all parameters."""

    def __init__(self, kind: str, combination: Combination, rank: int, dropout: float = 0.0) -> None:
        torch.manual_seed(3)
        modules = None
        if kind == "mlp":
            self.model: nn.Module = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(dropout), nn.Linear(7, 3))
            modules = ["."]
            inputs = [torch.randn(8, 5, dtype=torch.float64) for _ in range(2)]
        else:
            self.model = tiny_bert(dropout)
            inputs = [torch.randint(1, 40, (5, 6)) for _ in range(2)]
        self.model.double().train()
        self.mixup = WeightMixup(self.model, None, rank, combination, modules)
        with torch.no_grad():
            for factor in self.mixup.attention:
                factor.uniform_(0.2, 0.9)
            for task in self.mixup.task:
                task.add_(0.1 * torch.randn_like(task))
        self.mixup.write()
        self.data = [(x, torch.arange(len(x)) % 3) for x in inputs]

    def loss(self, level: int, parameters: dict[str, torch.Tensor] | None = None) -> torch.Tensor:
        x, y = self.data[level]
        out = self.model(x) if parameters is None else functional_call(self.model, parameters, (x,))
        return functional.cross_entropy(out if isinstance(out, torch.Tensor) else out.logits, y)

    def step(self, options: HypergradientOptions, rate: float = RATE) -> Hypergradient:
        lower = torch.optim.SGD(self.mixup.lower.values(), lr=rate)
        return BilevelStep(self.mixup, lower, torch.optim.SGD(self.mixup.attention, lr=0.0), options)(
            lambda: self.loss(0), lambda: self.loss(1)
        )

    def unrolled(self) -> list[torch.Tensor]:
        """d/da of the upper loss after one step of gradient descent, by automatic differentiation of the whole map."""
        lower = {name: p.detach().clone().requires_grad_() for name, p in self.mixup.lower.items()}
        attention = [p.detach().clone().requires_grad_() for p in self.mixup.attention]
        first = self.loss(0, self.effective(lower, attention))
        gradients = torch.autograd.grad(first, list(lower.values()), create_graph=True, materialize_grads=True)
        stepped = {name: p - RATE * g for (name, p), g in zip(lower.items(), gradients, strict=True)}
        return list(torch.autograd.grad(self.loss(1, self.effective(stepped, attention)), attention))

    def effective(self, lower: dict[str, torch.Tensor], attention: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        parameters = dict(lower)
        for number, mixed in enumerate(self.mixup.mixed):
            a1, a2 = attention[2 * number], attention[2 * number + 1]
            share = torch.einsum("ok,ki->oi", a1, a2) / mixed.rank
            rest = 1 - share
            if mixed.combination == "factored":
                rest = torch.einsum("ok,ki->oi", 1 - a1, 1 - a2) / mixed.rank
            parameters[mixed.name] = share * lower[mixed.name] + rest * mixed.pretrained
        return parameters


def tiny_bert(dropout: float) -> nn.Module:
    config = BertConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, num_labels=3,
        max_position_embeddings=16, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout,
        attn_implementation="eager",
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_config(config)
    assert isinstance(model, nn.Module)
    return model


def flat(parts: list[torch.Tensor] | None) -> torch.Tensor:
    assert parts is not None
    return torch.cat([part.detach().flatten() for part in parts])


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(functional.cosine_similarity(first.double(), second.double(), dim=0))


def plain(estimator: str, point: str = "before", radius: float = 0.01, **more: str) -> HypergradientOptions:
    return HypergradientOptions(estimator, point, "identity", None, radius, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "limit"), [("mlp", 1e-8), ("bert", 1e-6)])
@pytest.mark.parametrize("combination", ["factored", "convex"])
@pytest.mark.parametrize("rank", [1, 3])
def test_exact_equals_the_unrolled_step(kind: str, limit: float, combination: Combination, rank: int) -> None:
    problem = Problem(kind, combination, rank)
    expected = flat(problem.unrolled())
    found = problem.step(plain("exact"))
    assert relative(flat(found.total()), expected) < limit
    assert relative(flat(found.direct), expected) > 1e-3  # The implicit term is not negligible here.


def test_exact_works_with_fused_attention() -> None:
    eager, fused = Problem("bert", "factored", 1), Problem("bert", "factored", 1)
    fused.model.set_attn_implementation("sdpa")  # type: ignore[operator]
    expected = flat(eager.step(plain("exact")).total())
    assert relative(flat(fused.step(plain("exact")).total()), expected) < 1e-10


@pytest.mark.parametrize("kind", ["mlp", "bert"])
@pytest.mark.parametrize("point", ["before", "after"])
def test_central_converges_at_second_order(kind: str, point: str) -> None:
    exact = flat(Problem(kind, "factored", 1).step(plain("exact", point)).implicit)
    errors = [
        relative(flat(Problem(kind, "factored", 1).step(plain("central", point, radius)).implicit), exact)
        for radius in (0.04, 0.02, 0.01)
    ]
    slopes = [math.log2(errors[i] / errors[i + 1]) for i in range(2)]
    assert all(1.9 < slope < 2.1 for slope in slopes), (errors, slopes)


def test_forward_converges_at_first_order() -> None:
    exact = flat(Problem("mlp", "convex", 3).step(plain("exact")).implicit)
    errors = [
        relative(flat(Problem("mlp", "convex", 3).step(plain("forward", radius=radius)).implicit), exact)
        for radius in (1e-2, 5e-3, 2.5e-3)
    ]
    assert all(0.9 < math.log2(errors[i] / errors[i + 1]) < 1.1 for i in range(2)), errors


def test_first_order_is_only_the_direct_term() -> None:
    first, whole = (Problem("mlp", "factored", 1).step(plain(name)) for name in ("first_order", "central"))
    assert torch.equal(flat(first.total()), flat(whole.direct))
    assert first.implicit is None


@pytest.mark.parametrize(
    ("estimator", "point"),
    [("central", "before"), ("central", "after"), ("forward", "before"), ("exact", "before"), ("first_order", "after")],
)
def test_weights_are_restored_to_the_bit(estimator: str, point: str) -> None:
    problem, reference = Problem("bert", "factored", 1, dropout=0.1), Problem("bert", "factored", 1, dropout=0.1)
    torch.manual_seed(1)
    problem.step(plain(estimator, point))
    torch.manual_seed(1)
    lower = torch.optim.SGD(reference.mixup.lower.values(), lr=RATE)
    reference.loss(0).backward()
    reference.mixup.pull_back()
    lower.step()
    reference.mixup.write()
    for name, parameter in reference.model.named_parameters():
        assert torch.equal(dict(problem.model.named_parameters())[name], parameter), name
    for name, parameter in reference.mixup.lower.items():
        assert torch.equal(problem.mixup.lower[name], parameter), name


def test_common_masks_make_the_difference_meaningful_and_independent_ones_do_not() -> None:
    def implicit(estimator: str, masks: str) -> torch.Tensor:
        problem = Problem("bert", "factored", 1, dropout=0.1)
        torch.manual_seed(21)
        return flat(problem.step(plain(estimator, "after", masks=masks)).implicit)

    exact = implicit("exact", "common")
    assert cosine(implicit("central", "common"), exact) > 0.999
    assert abs(cosine(implicit("central", "independent"), exact)) < 0.6


def test_perturbed_passes_do_not_advance_the_random_stream() -> None:
    states = []
    for estimator in ("first_order", "central"):
        problem = Problem("bert", "factored", 1, dropout=0.1)
        torch.manual_seed(5)
        problem.step(plain(estimator, "after"))
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, DecayAfterAdamW])
def test_adam_response_is_the_per_tensor_scale(optimizer: Callable[..., torch.optim.Optimizer]) -> None:
    weights = [nn.Parameter(torch.randn(4, 3, dtype=torch.float64)), nn.Parameter(torch.randn(2, dtype=torch.float64))]
    adam = optimizer(weights, lr=0.1)
    for _ in range(3):
        for weight in weights:
            weight.grad = torch.randn_like(weight)
        adam.step()
    vectors = [torch.ones_like(weight) for weight in weights]
    apply_step_jacobian_(vectors, weights, adam, "adam", None)
    for vector, weight in zip(vectors, weights, strict=True):
        second = adam.state[weight]["exp_avg_sq"]
        expected = 0.1 * math.sqrt(1 - 0.999**3) / (math.sqrt(0.999 * float(second.mean())) + 1e-8)
        assert torch.allclose(vector, torch.full_like(vector, expected), rtol=1e-12)


def test_the_identity_response_uses_the_rate_of_each_group() -> None:
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [first], "lr": 0.5}, {"params": [second], "lr": 0.25}])
    vectors = [torch.ones(1), torch.ones(1)]
    apply_step_jacobian_(vectors, [second, first], optimizer)
    assert [float(vector) for vector in vectors] == [0.25, 0.5]


def test_parameters_outside_the_optimizer_have_no_response() -> None:
    held, left_out = (nn.Parameter(torch.ones(2)) for _ in range(2))
    vectors = [torch.ones(2), torch.ones(2)]
    apply_step_jacobian_(vectors, [left_out, held], torch.optim.SGD([held], lr=0.5))
    assert [vector.tolist() for vector in vectors] == [[0.0, 0.0], [0.5, 0.5]]


@pytest.mark.parametrize("left", ["effective", "task"])
def test_gradients_of_an_earlier_pass_are_refused(left: str) -> None:
    problem = Problem("mlp", "factored", 1)
    lower = torch.optim.SGD(problem.mixup.lower.values(), lr=RATE)
    options = HypergradientOptions(preconditioner="identity")
    step = BilevelStep(problem.mixup, lower, torch.optim.SGD(problem.mixup.attention, lr=0.0), options)
    step.lower_loss(lambda: problem.loss(0)).backward()
    if left == "task":
        step.pull_back()
    with pytest.raises(RuntimeError, match="earlier backward pass are left.*inside one loss function"):
        step.lower_loss(lambda: problem.loss(0))


def test_a_lower_optimizer_must_hold_some_of_the_lower_parameters() -> None:
    problem = Problem("mlp", "factored", 1)
    options, upper = HypergradientOptions(preconditioner="identity"), torch.optim.SGD(problem.mixup.attention, lr=0.1)
    kept = problem.mixup.task[1].detach().clone()
    step = BilevelStep(problem.mixup, torch.optim.SGD([problem.mixup.task[0]], lr=RATE), upper, options)
    for _ in range(2):
        step(lambda: problem.loss(0), lambda: problem.loss(1))
    assert torch.equal(problem.mixup.task[1], kept)
    with pytest.raises(ValueError, match="give it mixup.lower.values"):
        BilevelStep(problem.mixup, torch.optim.SGD(problem.model.parameters(), lr=RATE), upper, options)
    with pytest.raises(ValueError, match="holds none of these"):
        apply_step_jacobian_([torch.ones(2)], [nn.Parameter(torch.ones(2))], upper)


def test_gradients_set_to_zero_do_not_count_as_left() -> None:
    problem = Problem("mlp", "factored", 1)
    lower = torch.optim.SGD(problem.mixup.lower.values(), lr=RATE)
    options = HypergradientOptions(preconditioner="identity")
    step = BilevelStep(problem.mixup, lower, torch.optim.SGD(problem.mixup.attention, lr=0.1), options)
    for _ in range(2):
        step.lower_loss(lambda: problem.loss(0)).backward()
        step.pull_back()
        step.before_lower_step()
        lower.step()
        lower.zero_grad(set_to_none=False)
        step.attention_step(lambda: problem.loss(1))


def test_forward_without_the_lower_step_is_refused() -> None:
    problem = Problem("mlp", "factored", 1)
    options = HypergradientOptions("forward", "before", "identity")
    lower = LowerPass(lambda: problem.loss(0), lambda vectors: None)
    with pytest.raises(ValueError, match="needs the lower step's start"):
        hypergradient(problem.mixup, lambda: problem.loss(1), lower, options)


def test_decay_after_the_update_follows_its_formula() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = DecayAfterAdamW([weight], lr=0.1, weight_decay=0.5)
    weight.grad = torch.tensor([0.3, 0.4], dtype=torch.float64)
    expected = weight.detach() - 0.1 * weight.grad / (weight.grad.abs() + 1e-8 / math.sqrt(0.001))
    optimizer.step()
    assert torch.allclose(weight, expected * (1 - 0.05), rtol=1e-12)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"estimator": "backward"}, "known: central, forward, exact, first_order"),
        ({"point": "during"}, "known: before, after"),
        ({"estimator": "forward", "point": "after"}, "needs point='before'"),
        ({"radius": 0.0}, "must be positive"),
    ],
)
def test_impossible_options_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        HypergradientOptions(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_adam_response_needs_second_moments(momentum: float) -> None:
    problem = Problem("mlp", "factored", 1)
    lower = torch.optim.SGD(problem.mixup.lower.values(), lr=0.1, momentum=momentum)
    step = BilevelStep(problem.mixup, lower, torch.optim.SGD(problem.mixup.attention, lr=0.1))
    with pytest.raises(ValueError, match="second moments, but SGD has none"):
        step(lambda: problem.loss(0), lambda: problem.loss(1))


def test_hypergradient_before_any_lower_step_is_refused() -> None:
    problem = Problem("mlp", "factored", 1)
    lower, upper = (torch.optim.SGD(group, lr=0.1) for group in (problem.mixup.task, problem.mixup.attention))
    with pytest.raises(RuntimeError, match="no lower step yet"):
        BilevelStep(problem.mixup, lower, upper).hypergradient(lambda: problem.loss(1))


@pytest.mark.parametrize(
    "options", [HypergradientOptions(preconditioner="identity"), HypergradientOptions("forward", "before", "identity")]
)
def test_a_second_hypergradient_of_one_lower_step_is_refused(options: HypergradientOptions) -> None:
    problem = Problem("mlp", "factored", 1)
    lower, upper = (torch.optim.SGD(group, lr=0.1) for group in (problem.mixup.lower.values(), problem.mixup.attention))
    step = BilevelStep(problem.mixup, lower, upper, options)
    step(lambda: problem.loss(0), lambda: problem.loss(1))
    with pytest.raises(RuntimeError, match="call before_lower_step before each"):
        step.hypergradient(lambda: problem.loss(1))


@pytest.mark.parametrize("point", ["before", "after"])
def test_an_error_in_a_perturbed_pass_leaves_the_weights_as_they_were(point: str) -> None:
    problem = Problem("mlp", "factored", 1)
    mixup = problem.mixup
    lower, upper = (torch.optim.SGD(group, lr=0.1) for group in (mixup.lower.values(), mixup.attention))
    step = BilevelStep(mixup, lower, upper, HypergradientOptions("central", point, "identity"))  # type: ignore[arg-type]
    calls = []

    def lower_loss() -> torch.Tensor:
        calls.append({name: p.detach().clone() for name, p in [*problem.model.named_parameters()]})
        if len(calls) == 3:
            raise MemoryError
        return problem.loss(0)

    with pytest.raises(MemoryError):
        step(lower_loss, lambda: problem.loss(1))
    found = {name: p.detach().clone() for name, p in problem.model.named_parameters()}
    assert any(not torch.equal(calls[2][name], weight) for name, weight in found.items()), "there was a displacement"
    assert all(torch.equal(mixup.lower[name], found[name]) for name in mixup.ordinary)
    mixup.write()
    assert all(torch.equal(p, found[name]) for name, p in problem.model.named_parameters())


@pytest.mark.parametrize("estimator", ["central", "forward", "exact", "first_order"])
def test_the_stand_alone_loop_learns_and_retains_no_tensors(estimator: str) -> None:
    problem = Problem("mlp", "convex", 1, dropout=0.1)
    lower = torch.optim.AdamW(problem.mixup.lower.values(), lr=2e-2)
    upper = torch.optim.AdamW(problem.mixup.attention, lr=2e-2, weight_decay=0.0)
    options = HypergradientOptions(estimator, "before")  # type: ignore[arg-type]
    step = BilevelStep(problem.mixup, lower, upper, options, clip_norm=1.0)
    losses, tensors = [], []
    for iteration in range(150):
        found = step(lambda: problem.loss(0), lambda: problem.loss(1))
        losses.append(float(found.upper_loss))
        if iteration in (50, 149):
            gc.collect()
            tensors.append(sum(type(thing) is torch.Tensor for thing in gc.get_objects()))
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    assert tensors[0] == tensors[1]
    assert problem.mixup.export() is problem.model
    assert all(0.0 <= float(f.detach().min()) <= float(f.detach().max()) <= 1.0 for f in problem.mixup.attention)


def test_on_a_pretrained_encoder_with_dropout_only_common_masks_point_along_the_exact_term() -> None:
    """Stated in amix.agwm.released_code for six layers: cosine 1.000 with common masks, 0.1 with independent ones."""
    task, alias = find_task("sst2"), "minilm-l2"
    model = load_model(alias, task, 1017)
    mixup = WeightMixup(model)
    mixup.draw_attention(0.005, torch.Generator().manual_seed(0))
    ids = torch.randint(1000, 20000, (2, 8, 12), generator=torch.Generator().manual_seed(1))
    labels = torch.arange(8) % 2

    def loss(level: int) -> torch.Tensor:
        logits = model(input_ids=ids[level], attention_mask=torch.ones_like(ids[level])).logits
        return functional.cross_entropy(logits, labels)

    def implicit(estimator: str, masks: str) -> torch.Tensor:
        lower = torch.optim.AdamW(mixup.lower.values(), lr=0.0, weight_decay=0.0)
        upper = torch.optim.SGD(mixup.attention, lr=0.0)
        options = HypergradientOptions(estimator, xi=1.0, masks=masks)  # type: ignore[arg-type]
        torch.manual_seed(2)
        return flat(BilevelStep(mixup, lower, upper, options)(lambda: loss(0), lambda: loss(1)).implicit)

    exact = implicit("exact", "common")
    assert cosine(implicit("central", "common"), exact) > 0.99
    assert abs(cosine(implicit("central", "independent"), exact)) < 0.5
