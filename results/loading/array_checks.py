"""Whether the arrays beside a record can be used: read member by member, with limits, and never as pickles."""

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
"""Bytes of all arrays of a run together; those of a search of BERT-large have a few million."""
_BROKEN = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
           tokenize.TokenError, SyntaxError, TypeError, OverflowError)  # fmt: skip
"""What Python's readers raise for damaged content; reading runs none of it."""


def arrays_complaint(source: bytes | Path, tested: int | None) -> str | None:
    """Why the arrays of a run cannot be used; None when they can.

    Args:
        source: the npz file or its bytes.
        tested: how many test examples the record speaks of, where it tells.
    """
    try:
        content = _content(source)
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            members = opened.infolist()
            if sum(member.file_size for member in members) > LARGEST:
                return f"its arrays have more than {LARGEST >> 20} MiB"
            # Without its data an array still tells its shape: what belongs to no table is not read to the end.
            shapes = {member.filename.removesuffix(".npy"): _shape(opened, member) for member in members}
    except _BROKEN as error:
        return f"holds no arrays that can be read ({type(error).__name__}: {str(error)[:80] or 'damaged'})"
    return _odd_splits(shapes, tested) or _odd_search(shapes)


def _content(source: bytes | Path) -> bytes:
    if isinstance(source, bytes):
        return source
    if not source.is_file():
        raise OSError("is no file")
    if source.stat().st_size > LARGEST:
        raise OSError(f"has more than {LARGEST >> 20} MiB")
    return source.read_bytes()


def _shape(opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[tuple[int, ...], str]:
    """Shape and kind of one array, whose bytes are all there and whole (their checksum is that of the file)."""
    content = io.BytesIO(opened.read(member))
    version = npy.read_magic(content)
    reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = reader(content)
    if dtype.hasobject:
        raise ValueError("Python objects, which are never loaded")
    if int(np.prod(shape, dtype=object)) * dtype.itemsize != member.file_size - content.tell():
        raise ValueError(f"{member.filename}: not as many bytes as its shape says")
    return shape, dtype.kind


def _odd_splits(shapes: dict[str, Any], tested: int | None) -> str | None:
    for split in ("test", "dev"):
        found = {what: shapes.get(f"{split}_{what}") for what in ("predictions", "labels", "logits")}
        there = {what: one for what, one in found.items() if one is not None}
        for what, (shape, kind) in there.items():
            if len(shape) != (2 if what == "logits" else 1) or kind not in ("f" if what == "logits" else "iuf"):
                return f"its {split}_{what} have the shape {shape} and the type {kind!r}"
        lengths = {shape[0] for shape, _ in there.values()}
        if split == "test" and tested is not None and lengths:
            lengths.add(tested)
        if len(lengths) > 1:
            return f"its {split} arrays are of {' and '.join(map(str, sorted(lengths)))} examples"
    return None


def _odd_search(shapes: dict[str, Any]) -> str | None:
    """What is wrong with what a search noted; nothing where there was none."""
    noted = {name.removeprefix(STORED): one for name, one in shapes.items() if name.startswith(STORED)}
    if MODULES not in noted:
        return None
    names, kind = noted.pop(MODULES)
    if len(names) != 1 or kind != "U":
        return f"its {STORED}{MODULES} is no list of names"
    reason = rejection_reason(noted, names[0])
    return f"its search notes {reason}" if reason else None
