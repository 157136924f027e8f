"""Keeping and restoring a model's weights, and averaging those of several models."""

import os
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO

import torch
from torch import Tensor, nn


def snapshot(model: nn.Module, pretrained: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the model's current trainable weights by name; `restore` puts them back.

    Weights that equal their pretrained value are the tensors of pretrained, not copies, so that a method holds no
    second copy of an encoder that is in memory anyway.
    """
    weights = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    shared = {
        name: pretrained[name]
        for name, weight in weights.items()
        if name in pretrained and weight.device == pretrained[name].device and torch.equal(weight, pretrained[name])
    }
    return {name: shared[name] if name in shared else weight.clone() for name, weight in weights.items()}


@torch.no_grad()
def restore(model: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Restore the weights that snapshot returned."""
    for name, value in kept.items():
        model.get_parameter(name).copy_(value)


@dataclass
class RunningMean:
    """The mean of named tensors over several models, e.g. over the splits of a search.

    The running sum is in an unnamed temporary file (in tempfile's folder, as large as one model, deleted with this
    object), so that it needs no memory while the next model trains. Models are summed in the order of adding, and the
    division is done on the tensors' own device, so the mean is bit-identical to one computed in memory.
    """

    count: int = 0
    names: tuple[str, ...] = ()
    file: IO[bytes] = field(default_factory=tempfile.TemporaryFile)

    def __post_init__(self) -> None:
        weakref.finalize(self, self.file.close)

    @torch.no_grad()
    def add(self, tensors: Mapping[str, Tensor]) -> None:
        """Add one more model to the mean.

        Raises:
            ValueError: Its names, their order or its shapes are not those of the first model.
        """
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
        """Write the mean into these tensors.

        Raises:
            ValueError: No model was added, or names, their order or shapes are not those of the models added.
        """
        if not self.count:
            raise ValueError("there is no model to average: add() one first")
        if tuple(tensors) != self.names:
            raise ValueError("the mean needs tensors with the same names in the same order as the models added")
        self.file.seek(0)
        for tensor in tensors.values():
            tensor.copy_(self._next(tensor)).div_(self.count)

    def _next(self, like: Tensor) -> Tensor:
        """Read the tensor at the file's position, with shape and dtype of like."""
        stored = torch.empty(like.shape, dtype=like.dtype)
        if self.file.readinto(_bytes_of(stored)) != stored.nbytes:  # type: ignore[attr-defined]
            raise ValueError("the mean of models needs tensors of the same shapes from each of them")
        return stored


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a contiguous tensor on the CPU."""
    return tensor.view(-1).view(torch.uint8).numpy().data
