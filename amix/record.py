"""What a run is (RunSpec), what it leaves behind (a record), and where records lie (Store). Imports no torch."""

import hashlib
import io
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy

from amix.seed_sources import Seeds

SCHEMA = 1
FINISHED = ("ok", "diverged", "failed")
"""Statuses after which a run is not run again: its outcome is data; `oom` and `cancelled` are accidents."""
STATUSES = (*FINISHED, "oom", "cancelled")
OUT_OF_DOMAIN = "out_of_domain"
"""Block of a record's scores (by rule) and of its data: a score, or the majority's, for each out-of-domain set."""


@dataclass(frozen=True)
class RunSpec:
    """One finetuning run: everything that decides its scores, and nothing else (no path, host or device).

    n_train None means the whole train split. encoder is an alias, a Hub id or the name of a folder. method_source and
    task_source are the sha256 of the files of a method or task from outside the project, so that an edited one is run
    again; they are empty for the project's own. encoder_source tells two folders of one name apart. seed is what pairs
    the run with those of other methods; seed_sources names the sources of randomness (amix.seed_sources) that have
    another one.
    """

    task: str
    n_train: int | None
    seed: int
    method: str
    encoder: str
    method_config: dict[str, Any] = field(default_factory=dict)
    method_source: str = ""
    task_source: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    subset: str = "uniform"
    encoder_source: str = ""
    seed_sources: dict[str, int] = field(default_factory=dict)
    schema: int = SCHEMA

    def as_dict(self) -> dict[str, Any]:
        """The spec as plain JSON types: tuples become lists, infinity a word, what does not apply is left out.

        An empty encoder_source and sources whose seed is the run's do not: runs that are the same have one key.
        """
        content = asdict(self)
        content["seed_sources"] = {source: seed for source, seed in self.seed_sources.items() if seed != self.seed}
        for name in ("encoder_source", "seed_sources"):
            if not content[name]:
                del content[name]
        plain: dict[str, Any] = json.loads(json.dumps(_finite(content)))
        return plain

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "RunSpec":
        """The spec that as_dict() gave; an unknown field is a TypeError."""
        return cls(**content)

    @property
    def seeds(self) -> Seeds:
        """The seed of every source of randomness; ValueError for a source that is none."""
        return Seeds.of(self.seed, self.seed_sources)

    @property
    def key(self) -> str:
        """sha256 over the canonical JSON: the run's name on disk."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()


def _finite(value: Any) -> Any:
    """JSON has no infinity; a setting that is infinite is written as a word, which float() reads."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def write_atomically(path: Path, content: bytes) -> None:
    """Write so that a reader, or a crash, sees the old file or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


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
        """Write predictions first and the record last, because the record's existence says that the run is done."""
        path = self.path(record["key"])
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
            record = json.loads(self.path(key).read_text())
        except (OSError, ValueError):
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
