"""Ctrl-C, SIGTERM and SIGHUP that cannot get lost: noted when they arrive, and checked for where the sweep waits.

An exception raised by a signal handler is lost if it strikes in the middle of a library's clean-up; the note remains.
"""

import signal
from types import FrameType

_noted: list[int] = []


def listen() -> None:
    """From now on note these signals, and raise KeyboardInterrupt as Python does for Ctrl-C.

    SIGHUP, the signal of a closed terminal, stays ignored if it already is, as under nohup.
    """
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none.
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        signal.signal(hangup, _note)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _note)


def _note(number: int, frame: FrameType | None) -> None:
    _noted.append(number)
    raise KeyboardInterrupt


def received() -> bool:
    """Whether one of the signals has arrived."""
    return bool(_noted)


def check() -> None:
    """Raise KeyboardInterrupt if a signal has arrived, even if the exception of its handler was lost."""
    if _noted:
        raise KeyboardInterrupt
