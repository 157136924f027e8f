"""Weight space: which matrices of a model a method works on, exchanging and averaging tensors, replaying dropout masks.

A Hugging Face model stays as it is; methods that say "the forward pass uses a function of other tensors" keep those
tensors beside it and write the result into its parameters.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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


@dataclass
class RunningMean:
    """The mean of named tensors over several models, e.g. over the splits of a search; keeps one sum of each."""

    count: int = 0
    sums: dict[str, Tensor] | None = None

    @torch.no_grad()
    def add(self, tensors: dict[str, Tensor]) -> None:
        """Take one more model into the mean; names and shapes must be those of the first."""
        self.count += 1
        if self.sums is None:
            self.sums = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        else:
            torch._foreach_add_([self.sums[name] for name in tensors], [t.detach() for t in tensors.values()])

    @torch.no_grad()
    def write(self, tensors: dict[str, Tensor]) -> None:
        """Put the mean into these tensors."""
        if self.sums is None:
            raise ValueError("the mean of no model: add() one first")
        for name, tensor in tensors.items():
            torch.div(self.sums[name], self.count, out=tensor)


@dataclass(frozen=True)
class RandomState:
    """The state of torch's generators at one moment, to draw the same dropout masks again later."""

    cpu: Tensor
    cuda: Tensor | None
    device: torch.device

    @classmethod
    def capture(cls, device: torch.device) -> "RandomState":
        """The state now, on the CPU and on this device."""
        cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
        return cls(torch.get_rng_state(), cuda, device)

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Draw inside as if it were that moment again; outside nothing has moved."""
        with torch.random.fork_rng(devices=[self.device] if self.cuda is not None else []):
            torch.set_rng_state(self.cpu)
            if self.cuda is not None:
                torch.cuda.set_rng_state(self.cuda, self.device)
            yield
