"""MPNet, whose blocks name their projections differently and share a relative position bias."""

import math

import numpy
import pytest
import torch
from transformers import MPNetModel

from amix.mixup.linears import block_linears
from amix.models.architecture import backbone, blocks, embeddings
from amix.models.loading import load_model
from amix.specs.tasks import find_task
from amix.training.registry import find_method
from helpers.toy_encoders import MPNET, POOLED, Bench

METHODS = (
    "vanilla", "agwm", "agwm_fast", "mixout", "childtuning_d", "dps_dense", "r3f", "soup", "frozen_logistic",
    "topk_layers", "lora", "adapter",
)  # fmt: skip
BY_PLACES = ("lora", "vera", "ia3", "prefix", "adapter", "ln_tuning", "adalora", "bitfit")
"""Methods that must find the blocks, because they extend them or train parts of them."""


@pytest.mark.parametrize("method", METHODS)
def test_methods_learn_the_toy_task(bench: Bench, method: str) -> None:
    record, _ = bench.learnt(method, MPNET)
    assert record["status"] == "ok", record["error"]["traceback"]
    assert record["scores"]["last"]["test"]["accuracy"] > 0.9
    if find_method(method).info.trains_by_steps:
        assert record["curve"][-1]["train_loss"] < math.log(2)


@pytest.mark.parametrize("method", BY_PLACES)
def test_methods_find_as_many_places_as_in_bert(bench: Bench, method: str) -> None:
    (record, _), (other, _) = bench.short(method, MPNET), bench.short(method, POOLED)
    assert record["status"] == "ok", record["error"]["traceback"]
    assert record["cost"]["trainable_parameters"] == other["cost"]["trainable_parameters"]


@pytest.mark.parametrize("method", ["agwm", "mixout", "childtuning_d", "dps_dense", "r3f", "topk_layers"])
def test_the_null_setting_is_plain_finetuning(bench: Bench, method: str) -> None:
    null = find_method(method).info.null
    assert null is not None
    _, expected = bench.short("vanilla", MPNET)
    _, found = bench.execute(method, MPNET, settings=null)
    numpy.testing.assert_allclose(found["test_logits"], expected["test_logits"], rtol=0, atol=1e-7)


def test_the_parts_of_the_model_are_found(bench: Bench) -> None:
    model = load_model(bench.encoders[MPNET], find_task("mini-rte"), 1)
    body = backbone(model)
    assert isinstance(body, MPNetModel)
    assert body.pooler is None
    assert [id(block) for block in blocks(model)] == [id(layer) for layer in body.encoder.layer]
    assert embeddings(model) is body.embeddings.word_embeddings
    names = {name.rsplit(".layer.")[-1].split(".", 1)[1] for name in block_linears(model)}
    projections = {f"attention.attn.{one}" for one in "qkvo"}
    assert names == projections | {"intermediate.dense", "output.dense"}


def test_padding_changes_nothing(bench: Bench) -> None:
    model = load_model(bench.encoders[MPNET], find_task("mini-rte"), 1).eval()
    tokens = torch.tensor([[2, 6, 8, 9, 3], [2, 10, 3, 0, 0]])
    together = model(input_ids=tokens, attention_mask=(tokens != 0).long()).logits
    alone = model(input_ids=tokens[1:, :3], attention_mask=torch.ones(1, 3, dtype=torch.int64)).logits
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-6)
