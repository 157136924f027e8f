"""The arrays beside a record: predictions on every example, and what a method noted of its search."""

import io
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from results.loading.array_checks import MODULES, SEARCH
from results.loading.frame import Results, remembered

ATTENTION_ITERATION = "attention_iteration"


@dataclass(frozen=True)
class Search:
    """What one run noted of its search: names of its modules, and arrays (splits, iterations[, modules, ...])."""

    label: str
    task: str
    seed: int
    modules: tuple[str, ...]
    arrays: dict[str, NDArray[np.float64]]

    def iterations(self, name: str) -> NDArray[np.int64]:
        """The iterations, counted from 1, at which an array was noted: all, or those that moved the attention."""
        count, length = self.arrays[name].shape[1], self.arrays["lower_loss"].shape[1]
        if count < length and ATTENTION_ITERATION in self.arrays:
            return self.arrays[ATTENTION_ITERATION][0].astype(np.int64)
        # Older records did not note them; the attention moves first, and then at even intervals.
        return 1 + -(-length // count) * np.arange(count)


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
    arrays = stored_arrays(results, run["key"], lambda name: name.startswith(SEARCH))
    named = {name.removeprefix(SEARCH): values for name, values in arrays.items()}
    modules = tuple(str(module) for module in named.pop(MODULES, ()))
    if not modules:
        return None
    return Search(run["label"], run["task"], int(run["seed"]), modules, named)
