"""The mixup: shares, closed-form gradients against autograd, families of encoders, export."""

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    BertModel,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    LlamaConfig,
    PretrainedConfig,
    RobertaConfig,
)

from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import HypergradientOptions
from amix.mixup.in_place import RandomState, exchange
from amix.mixup.linears import block_linears
from amix.mixup.weight_mixup import Combination, WeightMixup
from amix.models.mean_pooling import MeanPooledClassifier
from amix.training.weight_averaging import RunningMean

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
COMMON = {"vocab_size": 60, "max_position_embeddings": 32, "num_labels": 3, "pad_token_id": 0}
FAMILIES: dict[str, tuple[PretrainedConfig, int]] = {
    "bert": (BertConfig(**SIZES, **COMMON), 13),
    "minilm": (BertConfig(**SIZES, **COMMON), 12),
    "roberta": (RobertaConfig(**SIZES, **COMMON), 12),
    "electra": (ElectraConfig(**SIZES, **COMMON, embedding_size=8), 12),
    "albert": (AlbertConfig(**SIZES, **COMMON, embedding_size=8), 7),
    "deberta": (
        DebertaV2Config(**SIZES, **COMMON, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=8),
        16,
    ),
    "distilbert": (DistilBertConfig(**COMMON, dim=16, n_layers=2, n_heads=2, hidden_dim=24), 12),
    "llama": (LlamaConfig(**SIZES, **COMMON, num_key_value_heads=2), 14),
}
"""A tiny random model per family, and the number of its mixed matrices."""


def tiny(family: str) -> nn.Module:
    torch.manual_seed(7)
    if family == "minilm":  # Pretrained as a sentence encoder: no pooler, the head on the mean of the tokens.
        return MeanPooledClassifier(BertModel(FAMILIES[family][0], add_pooling_layer=False))
    model = AutoModelForSequenceClassification.from_config(FAMILIES[family][0])
    assert isinstance(model, nn.Module)
    return model


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(1, 60, (4, 9), generator=torch.Generator().manual_seed(3))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0, 1, 2, 1])}


def spread(mixup: WeightMixup, seed: int = 5) -> None:
    """Attention anywhere in [0, 1] and task weights away from the pretrained ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for factor in mixup.attention:
            factor.copy_(torch.rand(factor.shape, generator=generator))
        for task in mixup.task:
            task.add_(0.1 * torch.randn(task.shape, generator=generator))
    mixup.write()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_mixed_trained_and_exported(family: str, tmp_path: Path) -> None:
    model = tiny(family)
    mixup = WeightMixup(model, rank=2)
    assert len(mixup.mixed) == FAMILIES[family][1]
    assert len({id(p) for p in mixup.effective}) == len(mixup.mixed)
    mixup.draw_attention(0.2, torch.Generator().manual_seed(1))
    optimizer = torch.optim.AdamW([*mixup.lower.values(), *mixup.attention], lr=1e-2)
    losses = []
    for _ in range(12):
        loss = loss_of(model.eval(), batch())
        loss.backward()
        mixup.pull_back(attention=True)
        optimizer.step()
        optimizer.zero_grad()
        mixup.clamp()
        mixup.write()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    expected = model(**batch()).logits
    plain = saved_and_loaded(mixup.export(), tmp_path).eval()
    assert torch.allclose(plain(**batch()).logits, expected, rtol=0, atol=1e-6)


def saved_and_loaded(model: nn.Module, folder: Path) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Warnings on saving are up to the library.
        if not isinstance(model, MeanPooledClassifier):
            model.save_pretrained(folder)  # type: ignore[operator]
            return AutoModelForSequenceClassification.from_pretrained(folder)  # type: ignore[no-any-return]
        model.encoder.save_pretrained(folder)
    loaded = MeanPooledClassifier(AutoModel.from_pretrained(folder, add_pooling_layer=False))
    loaded.classifier.load_state_dict(model.classifier.state_dict())
    return loaded


@pytest.mark.parametrize("family", FAMILIES)
def test_finite_differences_point_along_the_exact_term_on_every_family(family: str) -> None:
    terms = []
    for estimator in ("central", "exact"):
        model = tiny(family).double().eval()
        mixup = WeightMixup(model)
        spread(mixup)
        lower, upper = (torch.optim.SGD(group, lr=0.1) for group in (mixup.lower.values(), mixup.attention))
        options = HypergradientOptions(estimator, preconditioner="identity", radius=1e-4)  # type: ignore[arg-type]
        held_out = batch() | {"labels": torch.tensor([1, 1, 2, 0])}
        found = BilevelStep(mixup, lower, upper, options)(
            partial(loss_of, model, batch()), partial(loss_of, model, held_out)
        )
        assert found.implicit is not None
        terms.append(torch.cat([part.flatten() for part in found.implicit]))
    # Some families compute norms or softmax in float32; DistilBERT's head has a ReLU, whose kinks are further away.
    assert float((terms[0] - terms[1]).norm() / terms[1].norm()) < 1e-3


def loss_of(model: nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    features = {name: tensor for name, tensor in inputs.items() if name != "labels"}
    return functional.cross_entropy(model(**features).logits, inputs["labels"])


@pytest.mark.parametrize("family", ["roberta", "llama"])
@pytest.mark.parametrize(
    "optimizer", [partial(torch.optim.SGD, lr=0.05, momentum=0.9), partial(torch.optim.Adagrad, lr=0.02)]
)
def test_the_bilevel_loop_outside_the_suite_works_with_any_optimizer(family: str, optimizer: Any) -> None:
    model = tiny(family)
    mixup = WeightMixup(model)
    step = BilevelStep(
        mixup,
        optimizer(mixup.lower.values()),
        torch.optim.SGD(mixup.attention, lr=1e-3),
        HypergradientOptions(preconditioner="identity"),
    )
    held_out = batch() | {"labels": torch.tensor([1, 1, 2, 0])}
    losses = []
    for _ in range(12):
        step(lambda: model(**batch()).loss, lambda: model(**held_out).loss)
        losses.append(model.eval()(**batch()).loss.item())
        model.train()
    assert losses[-1] < 0.8 * losses[0]
    assert any(float(factor.detach().min()) < 1 for factor in mixup.attention)
    logits = model.eval()(**batch()).logits
    assert torch.equal(mixup.export()(**batch()).logits, logits)


def by_hand(mixed_inputs: tuple[torch.Tensor, ...], combination: str) -> torch.Tensor:
    """Effective weight as a differentiable function of (W, W0, a1, a2): the mean of r rank-one mixups."""
    task, pretrained, a1, a2 = mixed_inputs
    total = torch.zeros_like(task)
    for k in range(a1.shape[1]):
        share = torch.outer(a1[:, k], a2[k])
        rest = torch.outer(1 - a1[:, k], 1 - a2[k]) if combination == "factored" else 1 - share
        total = total + share * task + rest * pretrained
    return total / a1.shape[1]


@pytest.mark.parametrize("combination", ["factored", "convex"])
@pytest.mark.parametrize("rank", [1, 3])
def test_gradients_equal_autograd(combination: Combination, rank: int) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(6, 5).double()
    mixup = WeightMixup(linear, rank=rank, combination=combination, modules=[""])
    spread(mixup)
    (mixed,) = mixup.mixed
    x = torch.randn(7, 6, dtype=torch.float64)
    linear(x).pow(3).sum().backward()
    mixup.pull_back(attention=True)
    inputs = tuple(t.detach().clone().requires_grad_() for t in (mixed.task, mixed.pretrained, mixed.a1, mixed.a2))
    effective = by_hand(inputs, combination)
    assert torch.allclose(effective, mixed.effective, rtol=0, atol=1e-14)
    expected = torch.autograd.grad((x @ effective.T + linear.bias.detach()).pow(3).sum(), (inputs[0], *inputs[2:]))
    for found, wanted in zip((mixed.task.grad, mixed.a1.grad, mixed.a2.grad), expected, strict=True):
        assert found is not None
        assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("combination", ["factored", "convex"])
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_attention_one_is_the_task_weight_and_zero_the_pretrained_weight(combination: Combination, rank: int) -> None:
    mixup = WeightMixup(tiny("bert"), rank=rank, combination=combination)
    with torch.no_grad():
        for task in mixup.task:
            task.add_(0.3)
    mixup.write()
    assert all(torch.equal(m.effective, m.task) for m in mixup.mixed)
    with torch.no_grad():
        for factor in mixup.attention:
            factor.zero_()
    mixup.write()
    assert all(torch.equal(m.effective, m.pretrained) for m in mixup.mixed)


def test_shift_moves_the_model_as_if_the_lower_parameters_had_moved() -> None:
    model = tiny("bert").double()
    mixup = WeightMixup(model)
    spread(mixup)
    offsets = {name: 0.01 * torch.randn_like(parameter) for name, parameter in mixup.lower.items()}
    mixup.shift(offsets, 2.0)
    shifted = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    mixup.shift(offsets, -2.0)
    with torch.no_grad():
        for name, parameter in mixup.lower.items():
            parameter.add_(offsets[name], alpha=2.0)
    mixup.write()
    for name, parameter in model.named_parameters():
        assert torch.allclose(parameter, shifted[name], rtol=0, atol=1e-14), name


def test_initial_attention_is_clamped_normal_around_one() -> None:
    mixup = WeightMixup(tiny("bert"))
    mixup.draw_attention(0.005, torch.Generator().manual_seed(2))
    factors = torch.cat([factor.flatten() for factor in mixup.attention]).detach()
    assert factors.max() == 1.0
    assert 0.97 < float(factors.min()) < 0.995
    assert 0.4 < float((factors == 1).float().mean()) < 0.6
    again = WeightMixup(tiny("bert"))
    again.draw_attention(0.005, torch.Generator().manual_seed(2))
    assert all(torch.equal(a, b) for a, b in zip(mixup.attention, again.attention, strict=True))


def test_head_embeddings_biases_and_norms_stay_ordinary() -> None:
    mixup = WeightMixup(tiny("roberta"))
    kinds = ("bias", "LayerNorm", "embeddings", "classifier")
    assert all(any(kind in name for kind in kinds) for name in mixup.ordinary)
    assert list(mixup.lower) == [name for name, _ in mixup.model.named_parameters()]


def test_modules_by_pattern() -> None:
    mixup = WeightMixup(tiny("bert"), modules=[r"attention\.self\.(query|value)$"])
    assert {mixed.module.rsplit(".", 1)[-1] for mixed in mixup.mixed} == {"query", "value"}


@pytest.mark.parametrize(
    ("model", "modules", "words"),
    [
        (nn.Sequential(nn.Conv1d(2, 2, 1)), None, "Sequential has no nn.Linear in the transformer blocks"),
        (nn.Sequential(nn.Linear(2, 2)), ["query"], r"matching query.*Its linears: \['0'\]"),
        (nn.Sequential(nn.Linear(2, 2)), ["0", "query"], r"matching query"),
    ],
)
def test_a_model_without_matching_linears_is_refused(model: nn.Module, modules: list[str] | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        block_linears(model, modules)


def test_wrong_combination_and_rank_are_refused() -> None:
    with pytest.raises(ValueError, match="known: factored, convex"):
        WeightMixup(nn.Linear(2, 2), combination="sum", modules=[""])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1, not 0"):
        WeightMixup(nn.Linear(2, 2), rank=0, modules=[""])


@pytest.mark.parametrize(
    ("pretrained", "words"),
    [
        ({"encoder.layer.0.weight": torch.ones(2, 2)}, "pretrained has no bert.encoder.layer.0.*must be those"),
        (
            {f"bert.encoder.layer.0.attention.self.{kind}.weight": torch.ones(16) for kind in ("query", "key")},
            r"has shape \(16,\), the model \(16, 16\)",
        ),
    ],
)
def test_wrong_pretrained_weights_are_refused(pretrained: dict[str, torch.Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WeightMixup(tiny("bert"), pretrained)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=r"dtype=torch\.float32"):
        WeightMixup(tiny("bert").to(dtype))


def test_gradients_of_several_backward_passes_add_up() -> None:
    halves = [{name: tensor[part] for name, tensor in batch().items()} for part in (slice(2), slice(2, 4))]
    found = []
    for batches in ([batch()], halves):
        mixup = WeightMixup(tiny("bert").double().eval())
        spread(mixup)
        for one in batches:
            (loss_of(mixup.model, one) / len(batches)).backward()
            mixup.pull_back(attention=True)
        found.append([p.grad for p in (*mixup.lower.values(), *mixup.attention) if p.grad is not None])
    assert len(found[0]) == len(found[1]) > 0
    assert all(torch.allclose(one, other, atol=1e-14) for one, other in zip(*found, strict=True))


def test_exchanging_twice_restores_the_tensors() -> None:
    parameter, other = nn.Parameter(torch.randn(5)), torch.randn(5)
    first, held = parameter.detach().clone(), [other]
    exchange([parameter], held)
    assert torch.equal(parameter, other)
    exchange([parameter], held)
    assert torch.equal(parameter, first)


def test_the_running_mean_is_bit_identical_to_one_in_memory() -> None:
    torch.manual_seed(0)
    shapes = {"matrix": (7, 5), "scalar": (), "bias": (3,)}
    models = [{name: torch.randn(shape) for name, shape in shapes.items()} for _ in range(5)]
    mean, target = RunningMean(), {name: torch.zeros(shape) for name, shape in shapes.items()}
    expected = {name: tensor.clone() for name, tensor in models[0].items()}
    for model in models:
        mean.add({name: tensor.T if tensor.dim() == 2 else tensor for name, tensor in model.items()})
    for model in models[1:]:
        for name, total in expected.items():
            total += model[name]
    target["matrix"] = torch.zeros(5, 7)
    mean.write(target)
    assert torch.equal(target["matrix"].T, expected["matrix"] / 5)
    assert torch.equal(target["scalar"], expected["scalar"] / 5)
    assert torch.equal(target["bias"], expected["bias"] / 5)


def test_a_running_mean_refuses_models_that_differ() -> None:
    mean, one = RunningMean(), {"a": torch.ones(2), "b": torch.ones(3)}
    with pytest.raises(ValueError, match=r"add\(\) one first"):
        mean.write(one)
    mean.add(one)
    with pytest.raises(ValueError, match="same order"):
        mean.add({"b": torch.ones(3), "a": torch.ones(2)})
    with pytest.raises(ValueError, match="as the models added"):
        mean.write({"a": torch.ones(2)})
    with pytest.raises(ValueError, match="same shapes"):
        mean.add({"a": torch.ones(4), "b": torch.ones(3)})


def test_random_state_replays_masks_without_advancing_the_stream() -> None:
    torch.manual_seed(11)
    state = RandomState.capture(torch.device("cpu"))
    first = torch.nn.functional.dropout(torch.ones(50))
    following = torch.get_rng_state()
    with state.replayed():
        assert torch.equal(torch.nn.functional.dropout(torch.ones(50)), first)
    assert torch.equal(torch.get_rng_state(), following)


def test_masks_on_a_device_without_replay_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="not on mps"):
        RandomState.capture(torch.device("cpu"), torch.device("mps"))
