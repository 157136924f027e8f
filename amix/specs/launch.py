"""How many processes do a run together, as a launcher (torchrun, accelerate launch) tells them. Imports no torch."""

import os
import re


class LaunchError(ValueError):
    """Variables of a launcher that no launcher sets so."""


def processes() -> int:
    """How many processes do this run together: 1 without a launcher.

    Raises:
        LaunchError: WORLD_SIZE is no number of processes.
    """
    return _number("WORLD_SIZE", 1, least=1)


def rank() -> int:
    """The number of this process among them, from 0; the first one writes.

    Raises:
        LaunchError: RANK is no number of one of so many processes.
    """
    found, count = _number("RANK", 0, least=0), processes()
    if found >= count:
        raise LaunchError(f"RANK={found}: of {count} processes (WORLD_SIZE) the last is {count - 1}; {REMEDY}")
    return found


REMEDY = "a launcher (torchrun, accelerate launch) sets both; without one, unset both"


def _number(variable: str, otherwise: int, least: int) -> int:
    """A variable of the environment as a whole number."""
    written = os.environ.get(variable)
    if written is None:
        return otherwise
    if not re.fullmatch(r"\d{1,9}", written, re.ASCII) or int(written) < least:
        raise LaunchError(f"{variable}={written!r}: a whole number from {least} on is needed; {REMEDY}")
    return int(written)
