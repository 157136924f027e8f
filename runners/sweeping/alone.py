"""One sweep at a time in a folder of records: a second one would do the same runs over again."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AnotherSweep(RuntimeError):
    """Another sweep is at work in the same folder."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder while a sweep is at work in it.

    The folder itself is locked: nothing is left behind, and the lock of a process that was killed is gone with it.
    Where the system or the file system knows no such lock, nothing is held; a doubled sweep ends with the same records.

    Raises:
        AnotherSweep: If another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Not a Unix.
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AnotherSweep(
                f"another sweep is at work in {folder}: wait for it, stop it, or choose another folder with --out"
            ) from error
        except OSError:
            pass
        yield
    finally:
        os.close(held)
