"""Python files of other people: whatever they do when they are imported or asked ends in one line that names them."""

import importlib.util
import inspect
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, ModuleType

from amix.training.method import MethodError

LONGEST_IMPORT = 120.0
"""Seconds; importing torch and every library around it takes a tenth of that."""
MOST_SAID = 300
"""Letters of a foreign error that are passed on."""


class ForeignCodeError(ValueError):
    """A file from outside the project that cannot be imported, or fails when it is asked."""


class _TooLong(BaseException):
    """Raised inside an import that does not end; no `except Exception` of the file catches it."""


def import_file(path: Path, name: str) -> ModuleType:
    """Import a Python file under this name; it is known there only where all went well.

    Raises:
        ForeignCodeError: one line with the file, the line in it where there is one, and what to do: it is no Python,
            raises, ends Python, or does not end.
    """
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        with _bounded(LONGEST_IMPORT), in_one_line(path, name):
            specification.loader.exec_module(module)
    except _TooLong as error:
        del sys.modules[name]
        place = _place(path, error)
        raise ForeignCodeError(
            f"{place}: is still being imported after {LONGEST_IMPORT:g} s; a method's file only defines its class: "
            "move what takes long into prepare or on_fit_start"
        ) from error
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def in_one_line(path: Path, module: str) -> Iterator[None]:
    """Whatever the code of a file raises becomes a ForeignCodeError.

    Args:
        path: the file.
        module: the name under which it was imported, which nobody outside knows.
    """
    try:
        yield
    except SyntaxError as error:
        place = f"{error.filename or path}, line {error.lineno}"
        said = (
            "is not UTF-8; save it as UTF-8"
            if "codec" in str(error.msg)
            else f"is not valid Python ({error.msg}); mend it"
        )
        raise ForeignCodeError(f"{place}: {said}") from error
    except SystemExit as error:
        raise ForeignCodeError(
            f"{_place(path, error)}: ends Python; take exit() and sys.exit() out of the file and raise an error"
        ) from error
    except ForeignCodeError as error:
        raise ForeignCodeError(f"{path}: {error}") from error
    except Exception as error:
        named = isinstance(error, OSError) and error.strerror and error.filename
        said = f"{error.strerror}: {error.filename}" if named else " ".join(str(error).split())
        said = said[:MOST_SAID].replace(f"{module}.", "")
        kind = "" if isinstance(error, MethodError) else f"{type(error).__name__}: "
        raise ForeignCodeError(f"{_place(path, error)}: {kind}{said}") from error


@contextmanager
def of_method(method: type) -> Iterator[None]:
    """The code of a method from outside the project is asked; for one of the project's nothing changes."""
    if not method.__module__.startswith("external_"):
        yield
        return
    with in_one_line(Path(inspect.getfile(method)), method.__module__):
        yield


def _place(path: Path, error: BaseException) -> str:
    """The file and the last line of it that was at work."""
    there = str(path.absolute())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == there]
    return f"{path}, line {lines[-1]}" if lines else str(path)


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Stop after so many seconds, where the system has an alarm and this is the thread that hears it."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    left = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)
        signal.signal(signal.SIGALRM, before)
