"""What a run leaves behind (a record), and where records lie (Store). Imports no torch."""

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from amix.specs.run_spec import SCHEMA

FINISHED = ("ok", "diverged", "failed")
"""Statuses after which a run is not run again: its outcome is data; the others are accidents."""
GOOD = ("ok", "diverged")
"""Outcomes that an accident of a later attempt never replaces; `failed` may be tried again on purpose."""
ACCIDENT = "accident"
"""What the machine, the files or the code did, and the method did not: never scored, and run again."""
STATUSES = (*FINISHED, "oom", "cancelled", ACCIDENT)


def check_writable(folder: Path) -> None:
    """Make a folder and write to it, before hours of work that end there.

    Raises:
        OSError: If it is a file, cannot be made or takes no file; names the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _naming(folder), tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"written to see whether there is room")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """An error of the system says where it came about: a full disk does not by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write so that a reader, or a crash, sees the old file or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with _naming(path), temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def digest(record: dict[str, Any]) -> str:
    """sha256 over a record (as read from JSON) without its own digest: shows when one was edited by hand."""
    content = {name: value for name, value in record.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def pack_arrays(arrays: dict[str, numpy.ndarray]) -> bytes:
    """Arrays as the bytes of an npz file."""
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def id_type(classes: int) -> numpy.dtype[Any]:
    """The smallest signed integers that hold the ids 0 to classes - 1: 8 bits for up to 128 classes."""
    return numpy.min_scalar_type(-classes)


@dataclass(frozen=True)
class Store:
    """The records of one suite: <folder>/<key>.json with the predictions beside it as <key>.npz."""

    folder: Path

    def path(self, key: str) -> Path:
        """Where the record of this key lies or will lie."""
        return self.folder / f"{key}.json"

    def put(self, record: dict[str, Any], arrays: dict[str, numpy.ndarray] | None = None) -> Path:
        """Write predictions first and the record last, because the record's existence says that the run is done.

        The record of an accident is not written over that of a run that went well.
        """
        path = self.path(record["key"])
        if record["status"] not in FINISHED and (self.get(record["key"]) or {}).get("status") in GOOD:
            return path  # An accident takes nothing from what an earlier attempt found.
        if arrays:
            write_atomically(path.with_suffix(".npz"), pack_arrays(arrays))
        else:
            path.with_suffix(".npz").unlink(missing_ok=True)  # Those of an earlier attempt are not this record's.
        plain = json.loads(json.dumps(record, allow_nan=False))
        write_atomically(path, json.dumps(plain | {"digest": digest(plain)}, indent=1).encode())
        return path

    def get(self, key: str) -> dict[str, Any] | None:
        """The record of this key; None when there is none or it cannot be read."""
        try:
            record = json.loads(self.path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) and record.get("key") == key else None

    def keys(self) -> Iterator[str]:
        """Keys of all records there, in order."""
        for path in sorted(self.folder.glob("*.json")):
            if len(path.stem) == 64:
                yield path.stem

    def finished(self, key: str) -> bool:
        """Whether this run's outcome is known (an accident of the machine is no outcome)."""
        record = self.get(key)
        return record is not None and record.get("schema") == SCHEMA and record.get("status") in FINISHED
