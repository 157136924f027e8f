"""Selection of tensor entries: by rank, by quantile, by size, or at random."""

import math
from collections.abc import Sequence

import numpy
import torch
from torch import Tensor


def entry_of_rank(values: Tensor, rank: int) -> float:
    """The entry of this rank in ascending order, counted from 0."""
    flat = values.flatten()
    if flat.is_cuda:
        return float(flat.kthvalue(rank + 1).values)
    return float(numpy.partition(flat.numpy(), rank)[rank])  # Twenty times as fast on a CPU as kthvalue.


def pooled_quantile(tensors: Sequence[Tensor], share: float) -> float:
    """The share-quantile of all entries together, with linear interpolation as in numpy.percentile."""
    pooled = torch.cat([tensor.flatten() for tensor in tensors])
    position = (len(pooled) - 1) * share
    lower = math.floor(position)
    low, high = entry_of_rank(pooled, lower), entry_of_rank(pooled, math.ceil(position))
    return low + (high - low) * (position - lower)


def largest_entries(tensors: Sequence[Tensor], count: int) -> list[Tensor]:
    """Masks of the tensors' shapes and dtypes: 1 at the `count` largest entries of all tensors together, else 0."""
    pooled = torch.cat([tensor.flatten() for tensor in tensors])
    chosen = torch.zeros_like(pooled)
    chosen[pooled.topk(count, sorted=False).indices] = 1
    parts = chosen.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


def bernoulli_mask(like: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A random mask of the shape and dtype of `like`: 1 with probability `share`, to within 2**-16, else 0.

    It takes 16 random bits per entry, because Tensor.bernoulli_ takes a fifth of a training step on a CPU.
    """
    words = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None, generator=generator)
    entries = words.view(torch.int16)[: like.numel()].view(like.shape)
    return torch.le(entries, round(share * 2**16) - 2**15 - 1, out=torch.empty_like(like))
