"""From an alias, a Hub id or a folder to a classifier and its tokenizer.

Imports torch and transformers only when a model is loaded, so that plans need not wait for them.
"""

import copy
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from amix.specs.encoder_files import locate
from amix.specs.encoders import ENCODERS, Encoder, EncoderError, find_encoder
from amix.specs.tasks import Task

if TYPE_CHECKING:
    import torch
    from torch import nn


@cache
def load_tokenizer(name: str | Encoder) -> Any:
    """The encoder's tokenizer, padding on the right; a decoder without a padding token pads with its end token."""
    from transformers import AutoTokenizer

    encoder = find_encoder(name)
    source, pinned = locate(encoder), _revision(encoder)
    tokenizer = _loaded(encoder, lambda: AutoTokenizer.from_pretrained(source, **pinned))
    tokenizer.padding_side = "right"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@cache
def _pretrained(name: str | Encoder, task: Task) -> "nn.Module":
    """The classifier as its checkpoint gives it; kept, and copied for every run."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification
    from transformers.utils import logging

    from amix.models.mean_pooling import MeanPooledClassifier
    from amix.random_streams import kept_random_state

    encoder = find_encoder(name)
    source, pinned = locate(encoder), _revision(encoder)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # Otherwise every load reports that the head is new, which is the point here.
    logging.disable_progress_bar()
    try:
        config = _loaded(encoder, lambda: AutoConfig.from_pretrained(source, **pinned, **label_settings(task)))
        if encoder.layers is not None:
            config.num_hidden_layers = encoder.layers
        config.pad_token_id = load_tokenizer(name).pad_token_id
        if encoder.revision:
            config._commit_hash = encoder.revision  # A fetched folder does not know it, and records tell it.
        options = {"config": config, "dtype": torch.float32} | pinned
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


def pretrained_weights(name: str | Encoder, task: Task) -> "dict[str, torch.Tensor]":
    """The kept classifier's weights by parameter name, on the CPU; shared by all runs, so never to be written to."""
    return {parameter: weight.detach() for parameter, weight in _pretrained(name, task).named_parameters()}


def _revision(encoder: Encoder) -> dict[str, Any]:
    """The commit to load from the Hub, where one is named; a folder that was located holds it already."""
    return {"revision": encoder.revision} if encoder.revision and locate(encoder) == encoder.source else {}


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


def load_model(name: str | Encoder, task: Task, seed: int) -> "nn.Module":
    """A fresh classifier for a run: pretrained body, head drawn from the stream (seed, "head").

    In train mode, in float32, on the CPU.
    """
    from amix.models.architecture import initialise_head
    from amix.random_streams import tensor_generator

    model = copy.deepcopy(_pretrained(name, task))
    deviation = getattr(model.config, "initializer_range", 0.02)
    initialise_head(model, deviation, tensor_generator(seed, "head"))
    return model.train()
