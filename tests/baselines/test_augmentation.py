"""EDA's operations, TMix's mixtures, and the ensemble's mean logits."""

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some

from amix.models.loading import load_model
from amix.models.with_addition import EncoderWithAddition
from amix.training.method import Method
from baselines.augmentation.eda import EDA, OPERATIONS, delete, insert, swap
from baselines.augmentation.tmix import TMix
from baselines.averaging.ensemble import Ensemble, Members
from helpers.golden_cases import distance
from helpers.parity import golden_fit
from helpers.toy_encoders import Bench
from tests.baselines.test_classical import examples, fit_on

text = some.lists(some.integers(10, 99), min_size=1, max_size=12)


@given(text=text, strength=some.floats(0, 1), seed=some.integers(0, 99))
def test_operations_use_only_the_texts_own_tokens(text: list[int], strength: float, seed: int) -> None:
    copies = {operation: operation(text, strength, numpy.random.default_rng(seed)) for operation in OPERATIONS}
    assert sorted(copies[swap]) == sorted(text)
    assert len(copies[insert]) == len(text) + max(1, round(strength * len(text)))
    assert set(copies[insert]) == set(text)
    original = iter(text)
    assert all(token in original for token in copies[delete]), "the order stays"
    assert copies[delete]


@given(first=text, second=text, seed=some.integers(0, 99))
def test_special_tokens_and_the_border_of_a_pair_stay_in_place(first: list[int], second: list[int], seed: int) -> None:
    method, fit = EDA(EDA.Config(strength=0.3, share=1.0)), golden_fit()
    fit.seed = seed
    method.on_fit_start(torch.nn.Identity(), fit)
    row = method.copy([1, *first, 2, *second, 2])
    assert row[0] == 1
    assert row[-1] == 2
    assert row.count(2) == 2
    border = row.index(2)
    assert set(row[1:border]) <= set(first)
    assert set(row[border + 1 : -1]) <= set(second)


def test_a_batch_of_copies_is_a_valid_batch(bench: Bench) -> None:
    method, fit, data = EDA(EDA.Config(share=1.0)), golden_fit(), examples("classes")
    method.on_fit_start(torch.nn.Identity(), fit)
    batch = data.batch(torch.arange(len(data)))
    batch["token_type_ids"] = torch.zeros_like(batch["input_ids"])
    copies = method.augmented(batch, max_length=12)
    assert not all(torch.equal(copies[name], batch[name]) for name in ("input_ids", "attention_mask"))
    assert torch.equal(copies["labels"], batch["labels"])
    assert len({copies[name].shape for name in ("input_ids", "attention_mask", "token_type_ids")}) == 1
    assert int(copies["attention_mask"].sum(dim=1).max()) <= 12


def test_mixing_a_batch_with_itself_is_plain_finetuning(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    fit, data = golden_fit(), examples("classes")
    model = load_model(bench.encoders["bert"], fit.task, 1).eval()
    batch = data.batch(torch.arange(8))
    method = TMix()
    method.on_fit_start(model, fit)
    mixed = method.loss(model, batch, fit).detach()
    monkeypatch.setattr(torch, "randperm", lambda count, generator: torch.arange(count))
    mixed_with_itself = method.loss(model, batch, fit).detach()
    plain = Method().loss(model, batch, fit).detach()
    assert distance(mixed_with_itself, plain) < 1e-6
    assert distance(mixed, plain) > 1e-4


@pytest.mark.parametrize("family", ["roberta", "bert-mean"])
def test_the_ensembles_logits_are_the_mean_of_its_members_logits(bench: Bench, family: str) -> None:
    data = examples("classes")
    fit = fit_on(data, "classes")
    fit.given = [data.batch(torch.arange(first, first + 8)) for first in (0, 8, 16)]
    method = Ensemble(Ensemble.Config(members=2))
    model = method.run(load_model(bench.encoders[family], fit.task, 1), fit)
    assert isinstance(model, EncoderWithAddition)
    members = model.addition
    assert isinstance(members, Members)
    batch = {name: tensor for name, tensor in data.batch(torch.arange(6)).items() if name != "labels"}
    with torch.no_grad():
        whole = members(**batch)
        single = []
        for number in range(2):
            alone = Members(members.arguments["configuration"], 1, fit.task.outputs, members.mean)
            alone.members[0].load_state_dict(members.members[number].state_dict())
            if members.mean:
                alone.heads[0].load_state_dict(members.heads[number].state_dict())
            single.append(alone(**batch))
    torch.testing.assert_close(whole, (single[0] + single[1]) / 2)
    assert not torch.allclose(single[0], single[1], atol=1e-4)
