"""What a faulty encoder may do while it is tried; in place of prove_encoder."""

import os
import signal
import time

from amix.specs.encoders import EncoderError


def is_killed(*given: object) -> None:
    """A crash in native code."""
    os.kill(os.getpid(), signal.SIGSEGV)


def exits(*given: object) -> None:
    """The end of the process without an exception."""
    os._exit(7)


def waits(*given: object) -> None:
    """Loading that never ends."""
    time.sleep(3600)


def asks(*given: object) -> None:
    """A question to the person at the terminal."""
    raise EncoderError(f"the answer was {input('Run its code? [y/n] ')}")


def tells_its_process(*given: object) -> None:
    """An error that says in which process it was raised."""
    raise EncoderError(f"in process {os.getpid()}")
