"""Trying an encoder in a process of its own: a crash, a question or an endless wait there costs one line."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from amix.models.proof import Texts, prove_encoder
from amix.specs.encoders import ENCODERS, Encoder, EncoderError, find_encoder
from amix.specs.task import Task
from runners.sweeping import interrupts

PATIENCE = 600.0
"""Seconds after which an encoder counts as one that never loads."""
POLL_SECONDS = 0.2


class Proof(NamedTuple):
    """What an encoder is tried on, see prove_encoder."""

    task: Task
    max_length: int
    texts: Texts


def prove(name: str | Encoder, proofs: Sequence[Proof], apart: bool) -> None:
    """Try an encoder on all tasks.

    Args:
        name: the encoder. One of the project's table whose weights are checked by hash is tried in this process.
        proofs: what it is tried on.
        apart: whether another one is tried in a process of its own, which cannot read standard input.

    Raises:
        EncoderError: it cannot be used, or the process ended or did not end.
    """
    encoder = find_encoder(name)
    if apart and not (ENCODERS.get(encoder.name) is encoder and encoder.sha256):
        _prove_apart(encoder, proofs)
        return
    for proof in proofs:
        prove_encoder(name, *proof)


def _prove_apart(encoder: Encoder, proofs: Sequence[Proof]) -> None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_try, args=(sender, prove_encoder, encoder, list(proofs)), daemon=True)
    process.start()
    sender.close()
    try:
        answer = _answer(receiver, encoder)
        if answer is None:
            process.join()
            raise EncoderError(f"encoder '{encoder.name}': trying it ended the process, {_how(process.exitcode)}")
    finally:
        process.kill()
        process.join()
        receiver.close()
    if isinstance(answer, Exception):
        raise answer


def _answer(receiver: Connection, encoder: Encoder) -> Any:
    """What the process sent: True or an exception; None if it ended without a word."""
    end = time.monotonic() + PATIENCE
    while not receiver.poll(POLL_SECONDS):
        interrupts.check()
        if time.monotonic() > end:
            raise EncoderError(f"encoder '{encoder.name}': it was still being loaded after {PATIENCE / 60:.0f} minutes")
    with suppress(EOFError):
        return receiver.recv()
    return None


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"with exit code {code}"


def _try(sender: Connection, proving: Callable[..., None], encoder: Encoder, proofs: list[Proof]) -> None:
    """Runs in the process: sends True, or the exception."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which then ends this process.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    answer: Exception | bool = True
    try:
        for proof in proofs:
            proving(encoder, *proof)
    except EOFError:
        answer = EncoderError(f"encoder '{encoder.name}': it asks a question while it is loaded; nothing answers here")
    except Exception as error:
        answer = error
    sender.send(answer)
