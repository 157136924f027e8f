"""One sweep at a time in a folder of records: a second one would only repeat the same runs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class AnotherSweep(RuntimeError):
    """Another sweep is running in the same folder."""


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock the folder while a sweep is running in it.

    The lock is on the folder itself: it leaves no file behind and vanishes when its process is killed. Without support
    by the operating system or the file system there is no lock; two sweeps at once still end with the same records.

    Raises:
        AnotherSweep: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # Not on Unix.
        yield
        return
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AnotherSweep(
                f"another sweep is running in {folder}: wait for it, stop it, or choose another folder with --out"
            ) from error
        except OSError:
            pass
        yield
    finally:
        os.close(held)
