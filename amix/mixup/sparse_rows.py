"""Offsets of parameters, kept as the few rows that are not zero where that is most of a matrix left out.

A batch of finetuning sees a few hundred of an embedding's tens of thousands of words, and the gradient of all others is
zero. Kept whole, offset and copy of a small encoder's embedding take as much memory as all its other weights together.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

LARGEST_SHARE = 0.5
"""Share of rows that are not zero above which a matrix is kept whole."""


@dataclass(frozen=True)
class Rows:
    """A matrix of `shape` that is zero but for the rows `index`, whose contents are `values`."""

    index: Tensor
    values: Tensor
    shape: torch.Size


Offset = Tensor | Rows


def whole(offset: Offset) -> Tensor:
    """The offset as the tensor it stands for."""
    if isinstance(offset, Tensor):
        return offset
    return offset.values.new_zeros(offset.shape).index_copy_(0, offset.index, offset.values)


def compact(offset: Tensor) -> Offset:
    """The offset as rows where few are not zero; never on a GPU, where counting them would wait for the device."""
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
    """Inside, parameters may be moved by multiples of these offsets; outside they are as they were, to the bit."""
    originals = {name: _taken(parameter, offsets[name]) for name, parameter in parameters.items()}
    try:
        yield
    finally:
        for name, original in originals.items():
            _give_back(parameters[name], offsets[name], original)


@torch.no_grad()
def _taken(parameter: Tensor, offset: Offset) -> Tensor:
    """A copy of the rows that will move; of what is moved whole the original, a copy taking its place meanwhile."""
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
