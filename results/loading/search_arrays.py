"""The arrays beside a record: predictions on every example, and what a method noted of its search."""

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amix.agwm.diagnostics import STORED, SearchNotes, read
from results.loading.frame import Results, remembered


@dataclass(frozen=True)
class Search:
    """One run and what it noted of its search, arrays of shape (splits, steps[, modules, ...])."""

    label: str
    task: str
    seed: int
    notes: SearchNotes


def stored_arrays(results: Results, key: str, wanted: Callable[[str], bool]) -> dict[str, NDArray[Any]]:
    """The wanted arrays of one run by name; empty when it has none or its file is damaged."""
    source = results.predictions.get(key)
    if source is None:
        return {}
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files if wanted(name)}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return {}


def overflowing_ids(arrays: dict[str, NDArray[Any]]) -> bool:
    """Whether class ids were stored in too few bits: records from before 151 classes were thought of hold 8.

    An id above 127 stands there as a negative number, and no class has one; in a split of a task with so many classes
    some label is above 127.
    """
    return any(values.dtype.kind == "i" and values.size > 0 and values.min() < 0 for values in arrays.values())


@remembered
def searches(results: Results, size: str) -> tuple[Search, ...]:
    """Every run at one size that noted its search, in the plan's order."""
    runs = results.runs[(results.runs["size"] == size) & results.runs["key"].isin(results.predictions.keys())]
    found: list[Search] = []
    for label in results.plan.labels:
        own = runs[runs["label"] == label]
        # Whether a method searches shows in its first run: a suite of thousands need not open every file.
        if own.empty or _search(results, own.iloc[0]) is None:
            continue
        found += [search for _, run in own.iterrows() if (search := _search(results, run)) is not None]
    return tuple(found)


def _search(results: Results, run: Any) -> Search | None:
    notes = read(stored_arrays(results, run["key"], lambda name: name.startswith(STORED)))
    return None if notes is None else Search(run["label"], run["task"], int(run["seed"]), notes)
