"""Offsets of parameters; a matrix with few nonzero rows is stored as those rows.

A finetuning batch contains a few hundred of the tens of thousands of words in an embedding; the gradient of all others
is zero. Stored densely, the offset and the copy of a small encoder's embedding need as much memory as all its other
weights together.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_SHARE = 0.5
"""Share of nonzero rows above which a matrix is stored densely."""


@dataclass(frozen=True)
class Rows:
    """A matrix of `shape` that is zero except for the rows `index`, which are `values`."""

    index: Tensor
    values: Tensor
    shape: torch.Size


Offset = Tensor | Rows


def whole(offset: Offset) -> Tensor:
    """Return the offset as a dense tensor."""
    if isinstance(offset, Tensor):
        return offset
    return offset.values.new_zeros(offset.shape).index_copy_(0, offset.index, offset.values)


def compact(offset: Tensor) -> Offset:
    """Store the offset as rows if few are nonzero; never on a GPU, where counting them would wait for the device."""
    if offset.dim() != 2 or offset.device.type != "cpu":
        return offset
    index = offset.any(dim=1).nonzero().squeeze(1)
    if len(index) > LARGEST_SHARE * len(offset):
        return offset
    return Rows(index, offset[index], offset.shape)


@torch.no_grad()
def move(parameters: Mapping[str, Tensor], offsets: Mapping[str, Offset], multiple: float) -> None:
    """Add multiple * offset, in place, to every parameter."""
    tensors: list[Tensor] = []
    moves: list[Tensor] = []
    for name, parameter in parameters.items():
        offset = offsets[name]
        if isinstance(offset, Rows):
            parameter[offset.index] = parameter[offset.index].add_(offset.values, alpha=multiple)
        else:
            tensors.append(parameter)
            moves.append(offset)
    if tensors:
        torch._foreach_add_(tensors, moves, alpha=multiple)


@contextmanager
def kept(parameters: Mapping[str, Tensor], offsets: Mapping[str, Offset]) -> Iterator[None]:
    """Allow moving the parameters by multiples of these offsets inside; restore them bit-identically on leaving."""
    originals = {name: _take_original(parameter, offsets[name]) for name, parameter in parameters.items()}
    try:
        yield
    finally:
        for name, original in originals.items():
            _give_back(parameters[name], offsets[name], original)


@torch.no_grad()
def _take_original(parameter: Tensor, offset: Offset) -> Tensor:
    """Copy the rows that will move; for a dense offset, return the original and leave a copy in its place."""
    if isinstance(offset, Rows):
        return parameter[offset.index]
    original = parameter.data
    parameter.data = original.clone()
    return original


@torch.no_grad()
def _give_back(parameter: Tensor, offset: Offset, original: Tensor) -> None:
    if isinstance(offset, Rows):
        parameter[offset.index] = original
    else:
        parameter.data = original
