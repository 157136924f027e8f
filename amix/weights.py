"""Weight space: which matrices of a model a method works on, exchanging and averaging tensors, replaying dropout masks.

A Hugging Face model stays as it is; methods that say "the forward pass uses a function of other tensors" keep those
tensors beside it and write the result into its parameters.
"""

import os
import re
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

import torch
from torch import Tensor, nn


def block_linears(model: nn.Module, patterns: Sequence[str] | None = None) -> dict[str, nn.Linear]:
    """Linear modules of a model by name, a module or a weight that occurs twice only once.

    patterns None: the linears inside the transformer blocks of the pretrained part, and its pooler. The task head and
    a pooler that belongs to it (DeBERTa-v2, RoBERTa, ELECTRA) are new, so there is no pretrained weight to speak of.
    Otherwise: every linear whose name a regular expression of patterns finds.

    Raises ValueError when nothing is found, with the linears that are there.
    """
    linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    if patterns is None:
        chosen = _pretrained_linears(model, linears)
    else:
        chosen = [name for name in linears if any(re.search(pattern, name) for pattern in patterns)]
    found: dict[int, str] = {}
    for name in chosen:
        found.setdefault(id(linears[name].weight), name)
    if not found:
        wanted = "in the transformer blocks or the pooler" if patterns is None else f"matching {list(patterns)}"
        raise ValueError(
            f"{type(model).__name__} has no nn.Linear {wanted}. Its linears: {sorted(linears)[:12] or 'none'}. "
            "Name the modules by regular expressions."
        )
    return {name: linears[name] for name in found.values()}


def _pretrained_linears(model: nn.Module, linears: dict[str, nn.Linear]) -> list[str]:
    """Names of the linears in the blocks (module lists) and the pooler of the pretrained part."""
    body = getattr(model, "base_model", model)
    inside = {id(module) for module in body.modules()}
    in_blocks = {
        id(module) for blocks in body.modules() if isinstance(blocks, nn.ModuleList) for module in blocks.modules()
    }
    return [
        name
        for name, linear in linears.items()
        if id(linear) in in_blocks or (id(linear) in inside and "pooler" in name.split("."))
    ]


def exchange(parameters: Sequence[Tensor], tensors: list[Tensor]) -> None:
    """Swap the contents of parameters with tensors by pointer: no copy, and swapping back is exact to the bit."""
    for position, parameter in enumerate(parameters):
        parameter.data, tensors[position] = tensors[position], parameter.data


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


@dataclass(frozen=True)
class RandomState:
    """The state of torch's generators at one moment, to draw the same dropout masks again later."""

    cpu: Tensor
    cuda: dict[torch.device, Tensor]

    @classmethod
    def capture(cls, *devices: torch.device) -> "RandomState":
        """The state now, on the CPU and on these devices; NotImplementedError for one that is neither CPU nor CUDA."""
        used = set(devices)
        strange = sorted({device.type for device in used} - {"cpu", "cuda"})
        if strange:
            raise NotImplementedError(
                f"dropout masks can be replayed on CPU and CUDA devices, not on {', '.join(strange)}: "
                "move the model, or ask for independent masks"
            )
        cuda = {device: torch.cuda.get_rng_state(device) for device in used if device.type == "cuda"}
        return cls(torch.get_rng_state(), cuda)

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Draw inside as if it were that moment again; outside nothing has moved."""
        with torch.random.fork_rng(devices=list(self.cuda)):
            torch.set_rng_state(self.cpu)
            for device, state in self.cuda.items():
                torch.cuda.set_rng_state(state, device)
            yield
