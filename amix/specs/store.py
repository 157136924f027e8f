"""The record, which a run leaves behind, and the Store of records. Imports no torch."""

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
"""Statuses after which a run is not repeated, because its outcome is data; all others are accidents."""
GOOD = ("ok", "diverged")
"""Outcomes that an accident in a later attempt never replaces; `failed` runs may be repeated on purpose."""
ACCIDENT = "accident"
"""A failure of the machine, the files or the code, not of the method: never scored, and run again."""
STATUSES = (*FINISHED, "oom", "cancelled", ACCIDENT)


def check_writable(folder: Path) -> None:
    """Make a folder and write to it, before hours of work whose results go there.

    Raises:
        OSError: It is a file, cannot be made, or cannot be written to; names the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _naming(folder), tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"written to see whether there is room")


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Add the path to errors of the operating system that name none, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers see either the old or the new content, even after a crash."""
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
    """Return the sha256 over a record (as read from JSON) without its own digest, which reveals edits by hand."""
    content = {name: value for name, value in record.items() if name != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def pack_arrays(arrays: dict[str, numpy.ndarray]) -> bytes:
    """Return the arrays as the bytes of an npz file."""
    buffer = io.BytesIO()
    numpy.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def id_type(classes: int) -> numpy.dtype[Any]:
    """Return the smallest signed integer type for the ids 0 to classes - 1: 8 bits for up to 128 classes."""
    return numpy.min_scalar_type(-classes)


@dataclass(frozen=True)
class Store:
    """The records of one suite: <folder>/<key>.json, with the predictions in <key>.npz."""

    folder: Path

    def path(self, key: str) -> Path:
        """Return the path of the record with this key, whether it exists or not."""
        return self.folder / f"{key}.json"

    def put(self, record: dict[str, Any], arrays: dict[str, numpy.ndarray] | None = None) -> Path:
        """Write the predictions and then the record, because the record's existence means that the run is done.

        The record of an accident does not replace that of a successful run.
        """
        path = self.path(record["key"])
        if record["status"] not in FINISHED and (self.get(record["key"]) or {}).get("status") in GOOD:
            return path
        if arrays:
            write_atomically(path.with_suffix(".npz"), pack_arrays(arrays))
        else:
            path.with_suffix(".npz").unlink(missing_ok=True)  # From an earlier attempt.
        plain = json.loads(json.dumps(record, allow_nan=False))
        write_atomically(path, json.dumps(plain | {"digest": digest(plain)}, indent=1).encode())
        return path

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the record with this key; None if there is none or it cannot be read."""
        try:
            record = json.loads(self.path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) and record.get("key") == key else None

    def holds(self, record: dict[str, Any], arrays: dict[str, numpy.ndarray]) -> bool:
        """Whether this very record is stored, with its predictions if it has any."""
        stored, predictions = self.get(record["key"]), self.path(record["key"]).with_suffix(".npz")
        return stored is not None and stored.get("digest") == digest(record) and (not arrays or predictions.exists())

    def keys(self) -> Iterator[str]:
        """Yield the keys of all records, in order."""
        for path in sorted(self.folder.glob("*.json")):
            if len(path.stem) == 64:
                yield path.stem

    def finished(self, key: str) -> bool:
        """Whether this run's outcome is known; an accident is not an outcome."""
        record = self.get(key)
        return record is not None and record.get("schema") == SCHEMA and record.get("status") in FINISHED
