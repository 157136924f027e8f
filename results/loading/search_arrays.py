"""The arrays stored with a record: predictions on every example, and the diagnostics of a search."""

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amix.agwm.diagnostics import STORED, SearchNotes, read
from results.loading.frame import Results, cached


@dataclass(frozen=True)
class Search:
    """One run and the diagnostics of its search, arrays of shape (splits, steps[, modules, ...])."""

    label: str
    task: str
    seed: int
    notes: SearchNotes


def stored_arrays(results: Results, key: str, wanted: Callable[[str], bool]) -> dict[str, NDArray[Any]]:
    """The wanted arrays of one run by name; empty if it has none or its file is damaged."""
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
    """Whether class ids overflowed: old records store them in 8 bits, too few for a task with 151 classes.

    An id above 127 is then a negative number, which is no class; some label of such a task's split is above 127.
    """
    return any(values.dtype.kind == "i" and values.size > 0 and values.min() < 0 for values in arrays.values())


@cached
def searches(results: Results, size: str) -> tuple[Search, ...]:
    """Every run at one size that stored the diagnostics of its search, in the plan's order."""
    runs = results.runs[(results.runs["size"] == size) & results.runs["key"].isin(results.predictions.keys())]
    searches: list[Search] = []
    for label in results.plan.labels:
        own = runs[runs["label"] == label]
        # The first run shows whether a method searches, so that not every file of a large suite must be opened.
        if own.empty or _search(results, own.iloc[0]) is None:
            continue
        searches += [search for _, run in own.iterrows() if (search := _search(results, run)) is not None]
    return tuple(searches)


def _search(results: Results, run: Any) -> Search | None:
    notes = read(stored_arrays(results, run["key"], lambda name: name.startswith(STORED)))
    return None if notes is None else Search(run["label"], run["task"], int(run["seed"]), notes)
