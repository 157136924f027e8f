"""From an alias, a Hub id or a folder to a classifier and its tokenizer.

Imports torch and transformers only when a model is loaded, because plans do not need them.
"""

import copy
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amix.models.loaded_weights import refuse_wrong_weights
from amix.specs.encoder_files import locate
from amix.specs.encoder_folder import EncoderFolderError, check_folder, check_tokenizer
from amix.specs.encoders import ENCODERS, Encoder, EncoderError, find_encoder
from amix.specs.task import Task

if TYPE_CHECKING:
    import torch
    from torch import nn


@cache
def load_tokenizer(name: str | Encoder) -> Any:
    """Return the encoder's tokenizer; a decoder without a padding token pads with its end token.

    Raises:
        EncoderError: The tokenizer cannot be loaded, has no vocabulary, or has neither a padding nor an end token.
    """
    from transformers import AutoTokenizer

    encoder = find_encoder(name)
    source, pinned = _source(encoder, check_tokenizer), _pinned(encoder)
    tokenizer = _loaded(encoder, lambda: AutoTokenizer.from_pretrained(source, **pinned))
    if len(tokenizer) - len(set(tokenizer.all_special_ids)) < LEAST_VOCABULARY:
        raise EncoderError(
            f"encoder '{encoder.name}': its tokenizer has no words ({len(tokenizer)} entries with the special ones); "
            f"the tokenizer's files (tokenizer.json or vocab.txt) are missing from {source} or empty"
        )
    if tokenizer.pad_token is None and tokenizer.eos_token is None:
        raise EncoderError(
            f"encoder '{encoder.name}': the tokenizer has no padding token; name one of its entries in "
            f'tokenizer_config.json of {source}, for example "pad_token": "[PAD]"'
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


LEAST_VOCABULARY = 2
"""Fewest entries besides special ones; without files, transformers makes a tokenizer of special ones alone."""


MOST_MODELS = 4
"""Pretrained classifiers that a process keeps. Own data make a task of every fold, so that the labels are the key."""


@dataclass(frozen=True)
class _ByLabels:
    """A task, equal to every other one whose labels are the same."""

    settings: str
    task: Task = field(compare=False)


def _pretrained(name: str | Encoder, task: Task) -> "nn.Module":
    """Return the classifier as loaded from its checkpoint; cached, and copied for every run."""
    return _kept_classifier(name, _ByLabels(repr(label_settings(task)), task))


@lru_cache(maxsize=MOST_MODELS)
def _kept_classifier(name: str | Encoder, labels: _ByLabels) -> "nn.Module":
    return fresh_classifier(name, labels.task)


def fresh_classifier(name: str | Encoder, task: Task) -> "nn.Module":
    """Load the classifier from its checkpoint; its head is untrained.

    An architecture for which transformers has no classifier is pooled by the mean, whatever its entry says.

    Raises:
        EncoderError: The encoder cannot be loaded, or its body is not completely filled from the checkpoint.
    """
    import torch
    from transformers.utils import logging

    from amix.random_streams import kept_random_state

    encoder = find_encoder(name)
    source, pinned = _source(encoder, check_folder), _pinned(encoder)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # Otherwise every load warns that the head is new, which is intended here.
    logging.disable_progress_bar()
    try:
        options = {
            "config": _configuration(name, task), "dtype": torch.float32, "output_loading_info": True,
            "ignore_mismatched_sizes": True,
        } | pinned  # fmt: skip
        with kept_random_state():
            # Weights that the checkpoint lacks are drawn, and must not depend on what this process did before.
            torch.manual_seed(0)
            return _checked_classifier(encoder, source, options)
    finally:
        logging.set_verbosity(verbosity)


def empty_classifier(name: str | Encoder, task: Task) -> "nn.Module":
    """Return the classifier without weights, on torch's meta device, for what its layers alone determine.

    Raises:
        EncoderError: Its configuration or tokenizer cannot be loaded.
    """
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    from amix.models.mean_pooling import MeanPooledClassifier

    config = _configuration(name, task)
    with torch.device("meta"):
        if mean_pooled(find_encoder(name), config):
            options = {"trust_remote_code": False} | _without_pooler(config)
            return MeanPooledClassifier(AutoModel.from_config(config, **options))
        return AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)


def _configuration(name: str | Encoder, task: Task) -> Any:
    """Return the encoder's configuration for classifying this task."""
    from transformers import AutoConfig

    encoder = find_encoder(name)
    source, pinned = _source(encoder, check_folder), _pinned(encoder)
    config = _loaded(encoder, lambda: AutoConfig.from_pretrained(source, **pinned, **label_settings(task)))
    if encoder.layers is not None:
        config.num_hidden_layers = encoder.layers
    config.pad_token_id = load_tokenizer(name).pad_token_id
    if encoder.revision:
        config._commit_hash = encoder.revision  # Records report it, and a fetched folder does not contain it.
    return config


def _checked_classifier(encoder: Encoder, source: str, options: dict[str, Any]) -> "nn.Module":
    from transformers import AutoModel, AutoModelForSequenceClassification

    from amix.models.mean_pooling import MeanPooledClassifier

    if mean_pooled(encoder, options["config"]):
        options |= _without_pooler(options["config"])
        body, info = _loaded(encoder, lambda: AutoModel.from_pretrained(source, **options))
        refuse_wrong_weights(encoder, body, "", info)
        return MeanPooledClassifier(body)
    model, info = _loaded(encoder, lambda: AutoModelForSequenceClassification.from_pretrained(source, **options))
    refuse_wrong_weights(encoder, model.base_model, model.base_model_prefix, info)
    return model


def mean_pooled(encoder: Encoder, config: Any) -> bool:
    """Whether the mean of the token states is classified: by the encoder's entry, or because no classifier exists."""
    from transformers import AutoModelForSequenceClassification

    return encoder.pooling == "mean" or type(config) not in AutoModelForSequenceClassification._model_mapping


def pooling_used(name: str | Encoder) -> str:
    """Return how an encoder is actually pooled, `cls` or `mean`, by its entry and by what transformers supports."""
    from transformers import AutoConfig

    encoder = find_encoder(name)
    source, pinned = _source(encoder, check_folder), _pinned(encoder)
    config = _loaded(encoder, lambda: AutoConfig.from_pretrained(source, **pinned))
    return "mean" if mean_pooled(encoder, config) else "cls"


def _without_pooler(config: Any) -> dict[str, Any]:
    """Return the option that omits the pooler, for architectures that can have one."""
    from transformers import AutoModel

    kind: Any = AutoModel._model_mapping.get(type(config), None)
    known = kind is not None and "add_pooling_layer" in inspect.signature(kind).parameters
    return {"add_pooling_layer": False} if known else {}


def pretrained_weights(name: str | Encoder, task: Task) -> "dict[str, torch.Tensor]":
    """Return the cached classifier's weights by parameter name, on the CPU; shared by all runs: never modify them."""
    return {parameter: weight.detach() for parameter, weight in _pretrained(name, task).named_parameters()}


def _source(encoder: Encoder, check: Callable[[str], None]) -> str:
    """Return the encoder's Hub id, or its folder after this check."""
    source = locate(encoder)
    if Path(source).is_dir():
        try:
            check(source)
        except EncoderFolderError as error:
            raise EncoderError(f"encoder '{encoder.name}': {error}") from error
    return source


def _pinned(encoder: Encoder) -> dict[str, Any]:
    """Return the options of every load: no Python code of the model's own, and on the Hub the commit, if given.

    A located folder already has that commit.
    """
    options: dict[str, Any] = {"trust_remote_code": False}
    if encoder.revision and locate(encoder) == encoder.source:
        options["revision"] = encoder.revision
    return options


def label_settings(task: Task) -> dict[str, Any]:
    """Return the settings of a configuration that describe a task's labels."""
    names = task.labels if task.labels is not None else (task.label,)
    return {
        "num_labels": task.outputs,
        "id2label": dict(enumerate(names)),
        "label2id": {label: index for index, label in enumerate(names)},
        "problem_type": "regression" if task.regression else "single_label_classification",
    }


LONGEST_REASON = 500
"""Characters of a library's error message that are passed on."""


_PYTHON_CLASS = re.compile(r"<class '(\w+\.)*(\w+)'>")


def _brings_its_own_class(encoder: Encoder, reason: str) -> bool:
    """Whether transformers does not know a folder's architecture, and the folder has Python code that may."""
    source = Path(encoder.source)
    return "does not recognize this architecture" in reason and source.is_dir() and any(source.glob("*.py"))


def _loaded(encoder: Encoder, load: Any) -> Any:
    try:
        return load()
    except Exception as error:  # A damaged file can make the library raise anything.
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = _PYTHON_CLASS.sub(r"\2", reason).replace("NoneType", "null")
        if "trust_remote_code" in reason or _brings_its_own_class(encoder, reason):
            raise EncoderError(
                f"encoder '{encoder.name}': it needs Python code of its own, which is never run here; such models are "
                "not supported"
            ) from error
        if "Weights only load failed" in reason:
            raise EncoderError(
                f"encoder '{encoder.name}': its .bin file is damaged or holds more than weights, which could run code "
                "when unpickled and is never read; give a folder with model.safetensors, as save_pretrained writes it"
            ) from error
        reason = reason[:LONGEST_REASON]
        if Path(encoder.source).is_dir():
            raise EncoderError(
                f"encoder '{encoder.name}': {encoder.source} cannot be loaded: {reason.rstrip('. ')}. "
                "Fetch it again, or give a folder that save_pretrained wrote"
            ) from error
        raise EncoderError(
            f"encoder '{encoder.name}': tried '{encoder.source}' as a folder and on the model hub: {reason}. "
            "Give a folder with config.json, model.safetensors and the tokenizer's files, or download the model "
            "with a connection (hf download ID) and set HF_HUB_OFFLINE=1. "
            f"Aliases: {', '.join(ENCODERS)}"
        ) from error


def load_model(name: str | Encoder, task: Task, seed: int) -> "nn.Module":
    """Return a new classifier for a run: pretrained body, head drawn from the stream (seed, "head").

    It is in train mode, in float32, on the CPU.
    """
    from amix.models.architecture import initialise_head
    from amix.random_streams import tensor_generator

    model = copy.deepcopy(_pretrained(name, task))
    deviation = getattr(model.config, "initializer_range", 0.02)
    initialise_head(model, deviation, tensor_generator(seed, "head"))
    return model.train()
