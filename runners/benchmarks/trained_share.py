"""The share of an encoder's weights that a method trains."""

import copy
from functools import cache

import torch
from torch import nn

from amix.data.encoded import Encoded
from amix.models.architecture import trainable
from amix.models.loading import load_model
from amix.specs.encoders import find_encoder
from amix.specs.task import Task
from amix.specs.tasks import TASKS
from amix.training.fit import Fit
from amix.training.method import Method

LENGTH = 8


def _any_task() -> Task:
    """Any classification task: only the shape of the head depends on it."""
    return next(task for task in TASKS.values() if not task.regression)


@cache
def _model(encoder: str) -> nn.Module:
    return load_model(encoder, _any_task(), seed=0)


def trainable_share(method: type[Method], encoder: str, size: int) -> float:
    """Parameters trained after the method has prepared the model for `size` examples, relative to the plain model's.

    The share is above 1 if a method adds more parameters than it freezes.
    """
    model = copy.deepcopy(_model(encoder))
    total = sum(parameter.numel() for parameter in model.parameters())
    data = _examples(size)
    fit = Fit(_any_task(), find_encoder(encoder).recipe, 0, data, data.select([]))
    return sum(parameter.numel() for parameter in trainable(method().prepare(model, fit))) / total


@cache
def _examples(size: int) -> Encoded:
    """`size` dummy sentences, as a method's preparation may depend on their number."""
    ids = torch.ones(size, LENGTH, dtype=torch.int64)
    lengths = torch.full((size,), LENGTH)
    return Encoded({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, lengths, torch.arange(size) % 2)
