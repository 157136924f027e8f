"""Whether the arrays stored with a record can be used: read one by one, with size limits, and never unpickled."""

import io
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from amix.agwm.diagnostics import MODULES, STORED, rejection_reason

LARGEST = 1 << 28
"""Bytes of all arrays of a run together; a search of BERT-large has a few million."""
_BROKEN = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
           tokenize.TokenError, SyntaxError, TypeError, OverflowError)  # fmt: skip
"""What Python's readers raise for damaged content, none of which is ever executed."""


def arrays_rejection(source: bytes | Path, tested: int | None) -> str | None:
    """Why the arrays of a run cannot be used; None when they can.

    Args:
        source: The npz file or its bytes.
        tested: Number of test examples according to the record; None if it does not say.
    """
    try:
        content = _content(source)
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            members = opened.infolist()
            if sum(member.file_size for member in members) > LARGEST:
                return f"its arrays have more than {LARGEST >> 20} MiB"
            shapes = {member.filename.removesuffix(".npy"): _shape(opened, member) for member in members}
    except _BROKEN as error:
        return f"has no readable arrays ({type(error).__name__}: {str(error)[:80] or 'damaged'})"
    return _odd_splits(shapes, tested) or _odd_search(shapes)


def _content(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source
    if not source.is_file():
        raise OSError("is not a file")
    if source.stat().st_size > LARGEST:
        raise OSError(f"has more than {LARGEST >> 20} MiB")
    return source.read_bytes()


def _shape(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], str]:
    """Shape and kind of one array whose bytes are complete and match the checksum in the zip file."""
    content = io.BytesIO(opened.read(member))
    version = npy.read_magic(content)
    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = reader(content)
    if dtype.hasobject:
        raise ValueError("Python objects, which are never loaded")
    if int(np.prod(shape, dtype=object)) * dtype.itemsize != member.file_size - content.tell():
        raise ValueError(f"{member.filename}: its size does not match its shape")
    return shape, dtype.kind


def _odd_splits(shapes: dict[str, Any], tested: int | None) -> str | None:
    for split in ("test", "dev"):
        arrays = {what: shapes.get(f"{split}_{what}") for what in ("predictions", "labels", "logits")}
        stored = {what: array for what, array in arrays.items() if array is not None}
        for what, (shape, kind) in stored.items():
            if len(shape) != (2 if what == "logits" else 1) or kind not in ("f" if what == "logits" else "iuf"):
                return f"its {split}_{what} have the shape {shape} and the type {kind!r}"
        lengths = {shape[0] for shape, _ in stored.values()}
        if split == "test" and tested is not None and lengths:
            lengths.add(tested)
        if len(lengths) > 1:
            return f"its {split} arrays have {' and '.join(map(str, sorted(lengths)))} examples"
    return None


def _odd_search(shapes: dict[str, Any]) -> str | None:
    """What is wrong with the diagnostics of a search; None if nothing is, or if there are none."""
    noted = {name.removeprefix(STORED): shape for name, shape in shapes.items() if name.startswith(STORED)}
    if MODULES not in noted:
        return None
    names, kind = noted.pop(MODULES)
    if len(names) != 1 or kind != "U":
        return f"its {STORED}{MODULES} is not a list of names"
    reason = rejection_reason(noted, names[0])
    return f"its search notes {reason}" if reason else None
