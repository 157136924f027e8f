"""Run users' Python files: whatever goes wrong in them ends in a one-line error that names the file."""

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
"""Seconds; ten times what importing torch and the libraries around it takes."""
LONGEST_REASON = 300
"""Characters of the file's own error message that are passed on."""


class ForeignCodeError(ValueError):
    """A file from outside the project cannot be imported, or its code fails when called."""


class _TooLong(BaseException):
    """Raised inside an import that does not end; `except Exception` in the file does not catch it."""


def import_file(path: Path, name: str) -> ModuleType:
    """Import a Python file under this name; if it fails, the name stays free.

    Raises:
        ForeignCodeError: The file is not Python, raises an error, exits, or does not end. The message is one line with
            the file, the line in it if known, and what to do.
    """
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # Nothing appears beside people's files.
    try:
        return _imported(path, name)
    finally:
        sys.dont_write_bytecode = before


def _imported(path: Path, name: str) -> ModuleType:
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
            "move slow code into prepare or on_fit_start"
        ) from error
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def in_one_line(path: Path, module: str) -> Iterator[None]:
    """Turn whatever the code of a file raises into a ForeignCodeError.

    Args:
        path: The file.
        module: The name under which it was imported, which messages must not show.
    """
    try:
        yield
    except SyntaxError as error:
        place = f"{error.filename or path}, line {error.lineno}"
        reason = (
            "is not UTF-8; save it as UTF-8"
            if "codec" in str(error.msg)
            else f"is not valid Python ({error.msg}); correct it"
        )
        raise ForeignCodeError(f"{place}: {reason}") from error
    except SystemExit as error:
        raise ForeignCodeError(
            f"{_place(path, error)}: ends Python; replace exit() and sys.exit() in the file by raising an error"
        ) from error
    except ForeignCodeError as error:
        raise ForeignCodeError(f"{path}: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())
        if isinstance(error, OSError) and error.strerror and error.filename:
            reason = f"{error.strerror}: {error.filename}"
        reason = reason[:LONGEST_REASON].replace(f"{module}.", "")
        kind = "" if isinstance(error, MethodError) else f"{type(error).__name__}: "
        raise ForeignCodeError(f"{_place(path, error)}: {kind}{reason}") from error


@contextmanager
def of_method(method: type) -> Iterator[None]:
    """Guard calls into a method from outside the project; for the project's own methods nothing changes."""
    if not method.__module__.startswith("external_"):
        yield
        return
    with in_one_line(Path(inspect.getfile(method)), method.__module__):
        yield


def _place(path: Path, error: BaseException) -> str:
    """Return the file and the last line of it that was being executed."""
    there = str(path.absolute())
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == there]
    return f"{path}, line {lines[-1]}" if lines else str(path)


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    """Stop after this many seconds, if the system has alarm signals and this is the main thread."""
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
