"""The diagnostics of a search: names, shapes, a writer and a reader; does not import torch.

A search writes one array per name and split into Fit.diagnostics; a run's side file holds them stacked, with the splits
as the first axis, under `diagnostics/search/NAME`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

PREFIX = "search/"
STORED = f"diagnostics/{PREFIX}"
"""Prefix of the names in a run's side file."""
MODULES = "modules"
"""The names of the modules that are mixed, in the order of their axis."""
DECILES = 11
"""Number of deciles, from the smallest value to the largest."""


class Noted(StrEnum):
    """The names of the diagnostics.

    Shapes: (splits, steps); those in PER_MODULE (splits, steps, modules); the deciles (splits, 1, modules, 11). Steps
    are iterations, steps of the attention, or only the end.
    """

    LOWER_LOSS = "lower_loss"
    """Loss of the task weights' batch at every iteration."""
    UPPER_LOSS = "upper_loss"
    """Loss of the held-out batch at every step of the attention."""
    DIRECT_NORM = "direct_norm"
    """Norm of the hypergradient's direct term at every step of the attention."""
    IMPLICIT_NORM = "implicit_norm"
    """Norm of its implicit term."""
    DIRECT_IMPLICIT_COSINE = "direct_implicit_cosine"
    """Cosine of the angle between the two terms."""
    ATTENTION_ITERATION = "attention_iteration"
    """The iterations, counted from 1, that moved the attention; steps after the last iteration continue the count."""
    ATTENTION_MEAN = "attention_mean"
    """Mean of the attention's entries (those of a1 and a2) after every step of the attention."""
    ATTENTION_MIN = "attention_min"
    """Smallest entry."""
    ATTENTION_AT_ONE = "attention_at_one"
    """Share of entries that are exactly 1."""
    TASK_SHARE = "task_share"
    """Mean of A over the matrix at the end."""
    PRETRAINED_SHARE = "pretrained_share"
    """Mean of B over the matrix at the end."""
    ATTENTION_DECILES = "attention_deciles"
    """Deciles of the attention's entries at the end."""


PER_MODULE = frozenset(
    {
        Noted.ATTENTION_MEAN,
        Noted.ATTENTION_MIN,
        Noted.ATTENTION_AT_ONE,
        Noted.TASK_SHARE,
        Noted.PRETRAINED_SHARE,
        Noted.ATTENTION_DECILES,
    }
)
"""Diagnostics with an axis of modules."""


class DiagnosticsError(ValueError):
    """A diagnostic has an unknown name or a wrong shape, or was not recorded."""


def write(diagnostics: dict[str, list[Any]], modules: Sequence[str], noted: Mapping[Noted, NDArray[Any]]) -> None:
    """Add the diagnostics of one split to those of the run.

    Args:
        diagnostics: Fit.diagnostics.
        modules: Names of the mixed modules, the same for every split.
        noted: Arrays by name, shape (steps[, modules[, 11]]).

    Raises:
        DiagnosticsError: An array has a wrong shape.
    """
    shapes = {str(name): ((1, *values.shape), values.dtype.kind) for name, values in noted.items()}
    if reason := rejection_reason(shapes, len(modules)):
        raise DiagnosticsError(f"the search recorded {reason}")
    for name, values in noted.items():
        diagnostics.setdefault(f"{PREFIX}{name}", []).append(values)
    diagnostics[f"{PREFIX}{MODULES}"] = list(modules)


def rejection_reason(shapes: Mapping[str, tuple[tuple[int, ...], str]], modules: int) -> str | None:
    """Return the first fault in the arrays of a search, as a noun phrase; None if there is none.

    Args:
        shapes: Shape (splits first) and numpy's dtype.kind, by name.
        modules: Number of mixed modules.
    """
    known = set(Noted)
    for name, (shape, kind) in shapes.items():
        if name not in known:
            return f"the unknown name '{name}' (known: {', '.join(Noted)})"
        if len(shape) < 2 or shape[2:] != _last_axes(Noted(name), modules) or kind not in "iuf" or 0 in shape:
            return f"'{name}' with the shape {shape} and the type '{kind}'"
    return None if Noted.LOWER_LOSS in shapes else f"no '{Noted.LOWER_LOSS}'"


def _last_axes(name: Noted, modules: int) -> tuple[int, ...]:
    """The axes after splits and steps."""
    if name == Noted.ATTENTION_DECILES:
        return (modules, DECILES)
    return (modules,) if name in PER_MODULE else ()


@dataclass(frozen=True)
class SearchNotes:
    """The diagnostics of the search of one run."""

    modules: tuple[str, ...]
    arrays: Mapping[Noted, NDArray[Any]]

    def __getitem__(self, name: Noted) -> NDArray[Any]:
        if name not in self.arrays:
            raise DiagnosticsError(f"this search recorded no {Noted(name)}; it recorded {', '.join(self.arrays)}")
        return self.arrays[name]

    def has(self, *names: Noted) -> bool:
        """Whether all these were recorded: some rules have no upper loss, some estimators no implicit term."""
        return all(name in self.arrays for name in names)

    def at_end(self, name: Noted) -> NDArray[Any]:
        """Return the last value of each split, shape (splits, modules[, 11])."""
        return self[name][:, -1]

    def iterations(self, name: Noted) -> NDArray[np.int64]:
        """Return the iterations, from 1, at which this was recorded: all, or those that moved the attention."""
        count, length = self[name].shape[1], self[Noted.LOWER_LOSS].shape[1]
        if name != Noted.LOWER_LOSS and self.has(Noted.ATTENTION_ITERATION):
            return self[Noted.ATTENTION_ITERATION][0].astype(np.int64)
        # Older records lack them; there the attention moves in the first iteration, and then at even intervals.
        return 1 + -(-length // count) * np.arange(count)


def read(stored: Mapping[str, NDArray[Any]]) -> SearchNotes | None:
    """Read the search's diagnostics from the arrays of a run's side file; None if the run had no search.

    Raises:
        DiagnosticsError: A name is unknown, or an array has a wrong shape.
    """
    arrays = {name.removeprefix(STORED): values for name, values in stored.items() if name.startswith(STORED)}
    modules = tuple(str(module) for module in arrays.pop(MODULES, ()))
    if not modules:
        return None
    shapes = {name: (values.shape, values.dtype.kind) for name, values in arrays.items()}
    if reason := rejection_reason(shapes, len(modules)):
        raise DiagnosticsError(f"the search recorded {reason}")
    return SearchNotes(modules, {Noted(name): values for name, values in arrays.items()})
