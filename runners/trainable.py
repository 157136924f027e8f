"""Which share of an encoder's weights a method trains."""

from functools import cache

import numpy
import torch
from torch import nn

from amix.data import Encoded
from amix.encoders import find_encoder, load_model
from amix.method import Method
from amix.modules import trainable
from amix.tasks import TASKS, Task
from amix.training import Fit


def _any_task() -> Task:
    """A classification task; only the shape of the head depends on it."""
    return next(task for task in TASKS.values() if not task.regression)


@cache
def _parameters(encoder: str) -> int:
    return sum(parameter.numel() for parameter in load_model(encoder, _any_task(), seed=0).parameters())


def trainable_share(method: type[Method], encoder: str) -> float:
    """Trained parameters after the method has prepared the model, relative to those of the plain model.

    Above 1 where a method adds more than it freezes.
    """
    task = _any_task()
    model: nn.Module = load_model(encoder, task, seed=0)
    nothing = Encoded({}, torch.zeros(0, dtype=torch.int64), torch.from_numpy(numpy.zeros(0, dtype=numpy.int64)))
    fit = Fit(task, find_encoder(encoder).recipe, 0, nothing, nothing)
    prepared = method().prepare(model, fit)
    return sum(parameter.numel() for parameter in trainable(prepared)) / _parameters(encoder)
