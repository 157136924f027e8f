"""A search's memory does not grow with its iterations, and holds no second copy of weights in memory anyway."""

import gc

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from amix.agwm.method import AGWMConfig
from amix.data.encoded import Encoded
from amix.mixup.weight_mixup import WeightMixup
from amix.models.loading import load_model, pretrained_weights
from amix.specs.recipe import Recipe
from amix.specs.tasks import find_task
from amix.training.fit import Fit
from amix.training.loop import start, train_step
from amix.training.registry import find_method
from amix.training.weight_averaging import snapshot

EARLY, LATE = 20, 60


def tiny() -> nn.Module:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=8,
    )  # fmt: skip
    return BertForSequenceClassification(config)


def new_fit(steps: int, n: int = 8) -> Fit:
    ids = torch.randint(1, 20, (n, 4), generator=torch.Generator().manual_seed(1))
    data = Encoded({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, torch.full((n,), 4), torch.arange(n) % 2)
    return Fit(find_task("sst2"), Recipe(steps=steps, batch_size=4), 1017, data, data.select([]))


def held() -> tuple[int, int]:
    """The number of tensors, and the total size of those with more than a few numbers."""
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    return len(tensors), sum(tensor.numel() for tensor in tensors if tensor.numel() > 30)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"estimator": "forward", "point": "before"},
        {"estimator": "exact"},
        {"estimator": "first_order"},
        {"attention": "as_run", "xi": 1.0, "masks": "independent"},
    ],
    ids=["central", "forward", "exact", "first_order", "as_run"],
)
def test_memory_stays_flat_over_many_iterations(settings: dict[str, str]) -> None:
    model, fit = tiny(), new_fit(LATE + 1)
    mixup = WeightMixup(model)
    config = AGWMConfig(**settings)
    method = config.rule(config, mixup, fit.train)
    start(method, model, fit)
    batch = next(fit.batches(0))
    found = {}
    for iteration in range(LATE):
        train_step(method, model, batch, fit)
        if iteration in (EARLY - 1, LATE - 1):
            found[iteration] = held()
    (early_count, early_numbers), (late_count, late_numbers) = found.values()
    assert late_numbers == early_numbers
    # Only the diagnostics grow: losses, norms, cosine and iteration, and three numbers per module.
    kinds = 9
    assert late_count - early_count <= kinds * (LATE - EARLY)


def test_kept_weights_that_equal_the_cached_encoder_are_shared_with_it() -> None:
    task = find_task("sst2")
    model, pretrained = load_model("minilm-l2", task, 1017), pretrained_weights("minilm-l2", task)
    kept = snapshot(model, pretrained)
    own = {name for name, weight in kept.items() if weight.data_ptr() != pretrained[name].data_ptr()}
    assert own == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(kept[name], parameter) for name, parameter in model.named_parameters())
    mixup = WeightMixup(model, kept)
    assert all(mixed.pretrained.data_ptr() == pretrained[mixed.name].data_ptr() for mixed in mixup.mixed)


def test_kept_weights_that_differ_from_the_cached_encoder_are_copied() -> None:
    model = tiny()
    other = {name: parameter.detach() + 1 for name, parameter in model.named_parameters()}
    kept = snapshot(model, other)
    model.get_parameter("classifier.bias").data.add_(3.0)
    assert not torch.equal(kept["classifier.bias"], model.get_parameter("classifier.bias"))
    assert all(weight.data_ptr() != other[name].data_ptr() for name, weight in kept.items())


def test_a_run_does_not_change_the_cached_encoder_nor_depend_on_it() -> None:
    finished = []
    for share in (True, False):
        model, fit = tiny(), new_fit(3)
        kept = {name: parameter.detach().clone() for name, parameter in model.named_parameters()} if share else {}
        before = {name: tensor.clone() for name, tensor in kept.items()}
        fit.pretrained = kept
        method = find_method("agwm")(AGWMConfig(splits=2, search_epochs=1))
        finished.append(method.run(model, fit).state_dict())
        assert all(torch.equal(kept[name], tensor) for name, tensor in before.items())
    assert all(torch.equal(finished[0][name], tensor) for name, tensor in finished[1].items())
