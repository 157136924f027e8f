"""Named random streams: every random decision of a run comes from sha256(seed, purpose).

The purposes that methods share (subset, head, order, dropout) never contain the method's name, so two methods with the
same seed see the same examples, head, batches and dropout masks.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy
import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a 63-bit seed for one purpose, e.g. derive(1017, "order", "main", 3)."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def array_generator(seed: int, *purpose: str | int) -> numpy.random.Generator:
    """Return a numpy generator for one purpose."""
    return numpy.random.default_rng(derive(seed, *purpose))


def tensor_generator(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator for one purpose."""
    return torch.Generator(device=device).manual_seed(derive(seed, *purpose))


def seed_dropout(seed: int, stage: str, step: int, rank: int = 0) -> None:
    """Seed torch's global generator, which dropout draws from, for one training step of one process of the run."""
    seed_torch = torch.manual_seed if _has_accelerator() else torch.default_generator.manual_seed
    seed_torch(derive(seed, "dropout", stage, step, *[rank] * (rank > 0)))


@cache
def _has_accelerator() -> bool:
    """Whether torch sees one; without one, torch.manual_seed would format its caller's stack at every step for CUDA."""
    return torch.accelerator.is_available()


@contextmanager
def kept_random_state(device: torch.device | str = "cpu") -> Iterator[None]:
    """Restore torch's global random state on leaving, whatever was drawn inside."""
    devices = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
