"""The processes of a data-parallel run, as set by a launcher (torchrun, accelerate launch). Imports no torch."""

import os
import re


class LaunchError(ValueError):
    """The variables of a launcher have values that no launcher sets."""


def processes() -> int:
    """Return the number of processes that share this run: 1 without a launcher.

    Raises:
        LaunchError: WORLD_SIZE is not a number of processes.
    """
    return _number("WORLD_SIZE", 1, least=1)


def rank() -> int:
    """Return the rank of this process, from 0; only rank 0 writes.

    Raises:
        LaunchError: RANK is not a rank among that many processes.
    """
    number, count = _number("RANK", 0, least=0), processes()
    if number >= count:
        raise LaunchError(f"RANK={number}: the last of {count} processes (WORLD_SIZE) is {count - 1}; {REMEDY}")
    return number


REMEDY = "a launcher (torchrun, accelerate launch) sets both; without one, unset both"


def _number(variable: str, otherwise: int, least: int) -> int:
    """Read an environment variable as a whole number."""
    written = os.environ.get(variable)
    if written is None:
        return otherwise
    if not re.fullmatch(r"\d{1,9}", written, re.ASCII) or int(written) < least:
        raise LaunchError(f"{variable}={written!r}: a whole number of at least {least} is needed; {REMEDY}")
    return int(written)
