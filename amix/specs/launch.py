"""How many processes do a run together, as a launcher (torchrun, accelerate launch) tells them. Imports no torch."""

import os


def processes() -> int:
    """How many processes do this run together: 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process among them, from 0; the first one writes."""
    return int(os.environ.get("RANK", "0"))
