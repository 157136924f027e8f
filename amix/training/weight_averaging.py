"""Keeping a model's weights, putting them back, and averaging those of several models."""

import os
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

import torch
from torch import Tensor, nn


def kept_weights(model: nn.Module, pretrained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The trainable weights of the model now, by name, to come back to: tensors of pretrained where they are the same.

    So that a method holds no second copy of an encoder that is in memory anyway.
    """
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    shared = {
        name: pretrained[name]
        for name, weight in weights.items()
        if name in pretrained and weight.device == pretrained[name].device and torch.equal(weight, pretrained[name])
    }
    return {name: shared[name] if name in shared else weight.clone() for name, weight in weights.items()}


@torch.no_grad()
def put_back(model: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Give the model the weights it had when they were kept."""
    for name, value in kept.items():
        model.get_parameter(name).copy_(value)


@dataclass
class RunningMean:
    """The mean of named tensors over several models, e.g. over the splits of a search.

    The sum of what was added lies in a file without a name (in tempfile's folder, as large as one model, gone with
    this object), so that it takes no memory while the next model trains. Sums are made in the order of adding, and the
    division on the tensors' own device: to the bit what a sum in memory gives.
    """

    count: int = 0
    names: tuple[str, ...] = ()
    file: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    @torch.no_grad()
    def add(self, tensors: Mapping[str, Tensor]) -> None:
        """Take one more model into the mean; ValueError unless names and their order are those of the first."""
        if self.count and tuple(tensors) != self.names:
            raise ValueError("the mean of models needs the same names in the same order from each of them")
        self.names = tuple(tensors)
        self.file.seek(0)
        for tensor in tensors.values():
            total = tensor.detach().cpu().contiguous()
            if self.count:
                total = self._next(total).add_(total)
                self.file.seek(-total.nbytes, os.SEEK_CUR)
            self.file.write(_bytes_of(total))
        self.count += 1

    @torch.no_grad()
    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Put the mean into these tensors, named as those that were added."""
        if not self.count:
            raise ValueError("the mean of no model: add() one first")
        if tuple(tensors) != self.names:
            raise ValueError("the mean goes into tensors with the names, in the order, of those it was made of")
        self.file.seek(0)
        for tensor in tensors.values():
            tensor.copy_(self._next(tensor)).div_(self.count)

    def _next(self, like: Tensor) -> Tensor:
        """The tensor at the file's position."""
        stored = torch.empty(like.shape, dtype=like.dtype)
        if self.file.readinto(_bytes_of(stored)) != stored.nbytes:  # type: ignore[attr-defined]
            raise ValueError("the mean of models needs tensors of the same shapes from each of them")
        return stored


def _bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU."""
    return tensor.view(-1).view(torch.uint8).numpy().data
