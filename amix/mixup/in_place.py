"""Exchanging tensors by pointer, and replaying dropout masks.

Hugging Face models stay untouched: a method whose forward pass uses a function of other tensors keeps these outside the
model, and writes the result into the model's parameters.
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
    """A snapshot of torch's generators, from which the same dropout masks can be drawn again later."""

    cpu: Tensor
    cuda: dict[torch.device, Tensor]

    @classmethod
    def capture(cls, *devices: torch.device) -> "RandomState":
        """Take a snapshot of the generators of the CPU and of these devices.

        Raises:
            NotImplementedError: A device is neither a CPU nor a CUDA device.
        """
        used = set(devices)
        unsupported = sorted({device.type for device in used} - {"cpu", "cuda"})
        if unsupported:
            raise NotImplementedError(
                f"dropout masks can be replayed on CPU and CUDA devices, not on {', '.join(unsupported)}: "
                "move the model, or ask for independent masks"
            )
        cuda = {device: torch.cuda.get_rng_state(device) for device in used if device.type == "cuda"}
        return cls(torch.get_rng_state(), cuda)

    def restore(self) -> None:
        """Set the generators to the snapshot."""
        torch.set_rng_state(self.cpu)
        for device, state in self.cuda.items():
            torch.cuda.set_rng_state(state, device)

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Draw from the snapshot inside; the current state is restored on leaving."""
        with torch.random.fork_rng(devices=list(self.cuda)):
            self.restore()
            yield
