"""Faults of an encoder's folder, each kind on a tiny one: named in one line before anything trains."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertForMaskedLM,
    PreTrainedTokenizerFast,
    SplinterConfig,
    SplinterModel,
    ViTConfig,
    ViTModel,
    XLNetConfig,
    XLNetModel,
)

from amix.data.encoded import tokenize
from amix.models.loading import fresh_classifier, load_model, load_tokenizer
from amix.models.mean_pooling import MeanPooledClassifier
from amix.models.proof import prove_encoder
from amix.specs.encoder_files import locate, source_hash
from amix.specs.encoder_folder import block_weights_of
from amix.specs.encoders import Encoder, EncoderError, find_encoder, recipe_by_size
from amix.specs.recipe import Recipe
from amix.specs.tasks import find_task
from helpers.toy_encoders import VOCABULARY, configuration, save_encoder

TASK = find_task("mini-cola")
TEXTS = [("the cat sings",), ("a happy river walks over the tree one house",), ("sad",)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny BERT with its classifier."""
    return Path(save_encoder("bert", tmp_path / "encoder"))


def prove(folder: Path, max_length: int = 24) -> None:
    prove_encoder(str(folder), TASK, max_length, TEXTS)


def with_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
    file = folder / "model.safetensors"
    weights = change(load_file(file))
    save_file(weights, file, metadata={"format": "pt"})
    return folder


def with_config(folder: Path, **changes: object) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder


def refused(folder: Path, words: str, max_length: int = 24) -> None:
    with pytest.raises(EncoderError, match=words) as caught:
        prove(folder, max_length)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "mpnet"])
def test_a_sound_encoder_passes(family: str, tmp_path: Path) -> None:
    prove(Path(save_encoder(family, tmp_path)))


def test_renamed_weights_count_as_missing(folder: Path) -> None:
    with_weights(folder, lambda weights: {f"zzz.{name}": tensor for name, tensor in weights.items()})
    refused(folder, r"bert\.embeddings\.\S+, .* and \d+ more missing, which would start at random")


def test_a_checkpoint_with_half_of_the_layers_is_refused(folder: Path) -> None:
    with_weights(folder, lambda weights: {name: one for name, one in weights.items() if "layer.1." not in name})
    refused(folder, r"bert\.encoder\.layer\.1\.\S+ .*missing")


def test_blocks_missing_from_the_configuration_are_named(folder: Path) -> None:
    refused(with_config(folder, num_hidden_layers=1), r"layer\.1\.\S+ .*without a place")


def test_blocks_above_the_kept_ones_are_ignored(folder: Path) -> None:
    for pooling in ("cls", "mean"):
        fresh_classifier(Encoder("two-of-three", str(folder), layers=1, pooling=pooling, brought=True), TASK)
    with pytest.raises(EncoderError, match=r"layer\.2\.\S+.* missing"):
        fresh_classifier(Encoder("three-of-two", str(folder), layers=3, brought=True), TASK)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_weights_of_another_width_are_named(folder: Path, pooling: str) -> None:
    with_config(folder, intermediate_size=64)
    with pytest.raises(EncoderError, match=r"intermediate\.dense\.\S+ \[48.*\] for \[64.*\].*another shape"):
        fresh_classifier(Encoder("wide", str(folder), pooling=pooling, brought=True), TASK)


@pytest.mark.parametrize("layers", [-1, 0, 10**6])
def test_an_impossible_number_of_layers_is_refused(folder: Path, layers: int) -> None:
    refused(with_config(folder, num_hidden_layers=layers), f"config.json: {layers} hidden layers")


def test_heads_of_the_pretraining_and_a_missing_pooler_do_not_matter(tmp_path: Path) -> None:
    torch.manual_seed(3)
    save_encoder("bert", tmp_path)  # For its tokenizer.
    model = BertForMaskedLM(configuration("bert"))
    model.save_pretrained(tmp_path)
    loaded = dict(load_model(str(tmp_path), TASK, 1).named_parameters())
    for name, weight in model.bert.named_parameters():
        assert torch.equal(loaded[f"bert.{name}"], weight), name
    fresh_classifier(Encoder("mean", str(tmp_path), pooling="mean", brought=True), TASK)


def test_a_body_that_was_saved_alone_is_loaded(folder: Path) -> None:
    before = load_file(folder / "model.safetensors")
    with_weights(
        folder,
        lambda weights: (
            {name.removeprefix("bert."): one for name, one in weights.items() if name.startswith("bert.")}
            | {"embeddings.position_ids": torch.arange(40)[None]}
        ),
    )
    loaded = load_model(str(folder), TASK, 1).state_dict()
    assert all(torch.equal(loaded[name], one) for name, one in before.items() if name.startswith("bert."))
    with_weights(folder, lambda weights: weights | {"encoder.extra.weight": torch.zeros(2)})
    with pytest.raises(EncoderError, match=r"encoder\.extra\.weight without a place"):
        fresh_classifier(str(folder), TASK)


def test_files_that_are_not_what_they_seem_are_named(folder: Path) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    refused(folder, rf"model.safetensors has {len(whole) - 100} bytes but should have {len(whole)}")
    weights.write_bytes(b"no weights at all")
    refused(folder, "model.safetensors is not a safetensors file")
    weights.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    refused(folder, "model.safetensors is a git-lfs pointer.*git lfs pull")
    weights.unlink()
    refused(folder, "has no weights: it needs model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "part-1.safetensors"}}))
    refused(folder, "names weights that are not there: part-1.safetensors")
    (folder / "config.json").write_text("{")
    refused(folder, "config.json is not JSON")


def test_a_pickle_is_read_without_running_it(folder: Path, tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "RAN"),)

    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    prove(folder)
    for content in ({"weights": Payload()}, torch.nn.Linear(2, 2)):
        torch.save(content, folder / "pytorch_model.bin")
        refused(folder, r"its \.bin file is damaged or holds more than weights, which could run code .*never read")
    assert not (tmp_path / "RAN").exists()


def test_folders_of_other_things_than_encoders_of_texts_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    refused(tmp_path / "adapter", "holds only an adapter .*merge it into its model")
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    ViTModel(ViTConfig(**size, image_size=32, patch_size=8)).save_pretrained(folder)
    refused(folder, "ViTModel has no embedding of tokens, so it does not read texts")


@pytest.mark.parametrize("model_type", ["town_bert", "bert"])
def test_python_in_the_folder_never_runs(folder: Path, tmp_path: Path, model_type: str) -> None:
    marker = tmp_path / "RAN"
    (folder / "town.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\n")
    names = {"AutoConfig": "town.TownConfig", "AutoModel": "town.Town"}
    with_config(folder, model_type=model_type, auto_map=names | {"AutoModelForSequenceClassification": "town.Town"})
    if model_type == "bert":
        prove(folder)  # An architecture that transformers has is loaded by its own class.
    else:
        refused(folder, "Python code of its own, which is never run here; such models are not supported")
    assert not marker.exists()


def test_a_tokenizer_without_words_is_refused(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)
    refused(folder, "its tokenizer has no words")
    for file in folder.glob("*token*"):
        file.unlink()
    refused(folder, "has no tokenizer")


def test_unknown_words_are_counted(folder: Path) -> None:
    with pytest.raises(EncoderError, match="3 of 4 tokens of the texts are unknown"):
        prove_encoder(str(folder), TASK, 24, [("xyzzy plugh", "the frotz")])
    prove_encoder(str(folder), TASK, 24, [("the plugh", "the frotz")])


def test_more_tokens_than_positions_are_refused(tmp_path: Path) -> None:
    # RoBERTa's positions start after the padding's, which leaves one fewer here.
    for family, positions in (("bert", 40), ("roberta", 39), ("deberta-v2", 40)):
        folder = Path(save_encoder(family, tmp_path / family))
        prove(folder, positions)
        refused(folder, rf"takes at most {positions} tokens; max_length is 41", 41)
    with pytest.raises(EncoderError, match="^minilm-l2 takes at most 512 tokens; max_length is 1024$"):
        prove_encoder("minilm-l2", TASK, 1024, TEXTS)


def test_tokens_beyond_the_embedding_are_refused(folder: Path) -> None:
    other = [*VOCABULARY, "xyzzy"]
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] = {word: index for index, word in enumerate(other)}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(EncoderError, match=r"produces token 26, but its embedding has 26 rows"):
        prove_encoder(str(folder), TASK, 24, [("the xyzzy",), *TEXTS])


def word_tokenizer(folder: Path, **options: object) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [SEP] [CLS]", pair="$A [SEP] $B [SEP] [CLS]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", **options)
    made.save_pretrained(folder)
    return made


def save_xlnet(folder: Path, side: str) -> Path:
    """An architecture that classifies by its last position."""
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 48, "initializer_range": 0.3}
    XLNetModel(XLNetConfig(vocab_size=len(VOCABULARY), pad_token_id=0, **sizes)).save_pretrained(folder)
    word_tokenizer(folder, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", padding_side=side)
    return folder


def test_padding_is_on_the_tokenizer_s_side(tmp_path: Path) -> None:
    refused(save_xlnet(tmp_path / "right", "right"), "logits change by .* padding is on the right; set padding_side")
    left = save_xlnet(tmp_path / "left", "left")
    prove(left)
    columns = dict(zip(TASK.text, zip(*TEXTS, strict=True), strict=True))
    data = tokenize(TASK, pandas.DataFrame({**columns, "label": 0}), load_tokenizer(str(left)), 24)
    model = load_model(str(left), TASK, 1).eval()
    everyone = torch.arange(len(TEXTS))
    with torch.no_grad():
        together = model(**data.batch(everyone)).logits
        alone = torch.cat([model(**data.batch(everyone[i : i + 1])).logits for i in range(len(TEXTS))])
        chosen = data.select([2, 0])
        again = model(**chosen.batch(torch.arange(2))).logits
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(again, together[[2, 0]], atol=1e-5)


def test_a_tokenizer_without_padding_token_is_refused(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()
    word_tokenizer(folder)
    refused(folder, "the tokenizer has no padding token; name one")


def test_an_architecture_without_classifier_is_pooled_by_the_mean(folder: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    SplinterModel(SplinterConfig(vocab_size=len(VOCABULARY), **sizes)).save_pretrained(folder)
    prove(folder)
    assert isinstance(load_model(str(folder), TASK, 1), MeanPooledClassifier)


def save_modules(folder: Path, model: str, pooling: dict[str, object]) -> None:
    """The files that sentence-transformers writes next to a model."""
    kinds = {"Transformer": model, "Pooling": "1_Pooling"}
    entries = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for kind, path in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(entries))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


@pytest.mark.parametrize("layout", ["old", "new"])
def test_a_sentence_transformers_folder_keeps_its_pooling(folder: Path, tmp_path: Path, layout: str) -> None:
    plain, whole = source_hash(str(folder)), tmp_path / "whole"
    shutil.copytree(folder, whole / "0_Transformer" if layout == "old" else whole)
    save_modules(whole, "0_Transformer" if layout == "old" else "", {"pooling_mode_mean_tokens": True})
    locate.cache_clear()
    assert find_encoder(str(whole)).pooling == "mean"
    assert isinstance(load_model(str(whole), TASK, 1), MeanPooledClassifier)
    prove(whole)
    assert source_hash(str(whole)) not in ("", plain)
    save_modules(whole, "0_Transformer" if layout == "old" else "", {"pooling_mode": "cls"})
    assert find_encoder(str(whole)).pooling == "cls"
    save_modules(whole, "", {"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True})
    with pytest.raises(EncoderError, match="pools by max, mean; `cls` and `mean` are supported"):
        find_encoder(str(whole))


def test_special_tokens_in_users_texts_are_text(folder: Path) -> None:
    tokenizer = load_tokenizer(str(folder))
    one = replace(TASK, text=TASK.text[:1])
    rows = pandas.DataFrame({one.text[0]: ["the [SEP] cat"], "label": [0]})
    separators = {
        origin: int((tokenize(replace(one, origin=origin), rows, tokenizer, 24).inputs["input_ids"] == 3).sum())
        for origin in ("files", "glue")
    }
    assert separators == {"files": 1, "glue": 2}


def test_an_unknown_encoder_gets_the_recipe_of_its_size(folder: Path) -> None:
    assert block_weights_of(folder) == 2 * (4 * 32**2 + 2 * 32 * 48)
    assert find_encoder(str(folder)).recipe == find_encoder("minilm-l6").recipe
    assert recipe_by_size(302e6) == Recipe() == find_encoder("some/bert-large-like").recipe
    assert find_encoder("some/model").recipe == find_encoder("xlm-roberta-base").recipe == recipe_by_size(85e6)
    assert recipe_by_size(85e6) not in (recipe_by_size(11e6), recipe_by_size(302e6))
