"""Exchanging tensors by pointer, and replaying dropout masks.

A Hugging Face model stays as it is; methods that say "the forward pass uses a function of other tensors" keep those
tensors beside it and write the result into its parameters.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


def exchange(parameters: Sequence[Tensor], tensors: list[Tensor]) -> None:
    """Swap the contents of parameters with tensors by pointer: no copy, and swapping back is exact to the bit."""
    for position, parameter in enumerate(parameters):
        parameter.data, tensors[position] = tensors[position], parameter.data


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
