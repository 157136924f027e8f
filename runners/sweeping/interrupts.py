"""Ctrl-C, SIGTERM and SIGHUP that cannot get lost: noted when they come, and asked for where the sweep waits.

An exception that a signal handler raises is lost when it strikes in the middle of a library's clean-up; the note stays.
"""

import signal
from types import FrameType

_noted: list[int] = []


def listen() -> None:
    """Note the signals from now on, and raise KeyboardInterrupt as Python does for Ctrl-C.

    The one that tells of a closed terminal stays ignored where someone asked for that, as nohup does.
    """
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none.
    if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:
        signal.signal(hangup, _note)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _note)


def _note(number: int, frame: FrameType | None) -> None:
    _noted.append(number)
    raise KeyboardInterrupt


def came() -> bool:
    """Whether one of the signals has come."""
    return bool(_noted)


def check() -> None:
    """Raise KeyboardInterrupt when a signal came, also when its own exception went nowhere."""
    if _noted:
        raise KeyboardInterrupt
