"""The processes of a data-parallel run, as set by a launcher (torchrun, accelerate launch). Imports no torch."""

import os


def processes() -> int:
    """Return the number of processes that share this run: 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Return the rank of this process, from 0; only rank 0 writes."""
    return int(os.environ.get("RANK", "0"))
