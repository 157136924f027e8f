"""What a search notes of itself: the names, their shapes, one writer and one reader, without torch.

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
"""What the names in a run's side file begin with."""
MODULES = "modules"
"""The names of the modules that are mixed, in the order of their axis."""
DECILES = 11
"""From the smallest value to the largest."""


class Noted(StrEnum):
    """The names of what is noted.

    Shape (splits, steps), where steps are iterations, steps of the attention, or the end alone; those in PER_MODULE
    (splits, steps, modules), and the deciles (splits, 1, modules, 11).
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
    """Cosine of the two."""
    ATTENTION_ITERATION = "attention_iteration"
    """The iterations, counted from 1, that moved the attention; steps after the task weights' last count on."""
    ATTENTION_MEAN = "attention_mean"
    """Mean of the attention's entries, those of a1 and a2, after every step of the attention."""
    ATTENTION_MIN = "attention_min"
    """Smallest entry."""
    ATTENTION_AT_ONE = "attention_at_one"
    """Share of the entries that are 1."""
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
"""Those with an axis of modules."""


class DiagnosticsError(ValueError):
    """Something was noted, or asked for, that a search does not note so."""


def write(diagnostics: dict[str, list[Any]], modules: Sequence[str], noted: Mapping[Noted, NDArray[Any]]) -> None:
    """Add what one split noted to a run's diagnostics.

    Args:
        diagnostics: Fit.diagnostics.
        modules: Names of the mixed modules, the same for every split.
        noted: By name, shape (steps[, modules[, 11]]).

    Raises:
        DiagnosticsError: An array's shape is not that of its name.
    """
    shapes = {str(name): ((1, *values.shape), values.dtype.kind) for name, values in noted.items()}
    if reason := rejection_reason(shapes, len(modules)):
        raise DiagnosticsError(f"the search notes {reason}")
    for name, values in noted.items():
        diagnostics.setdefault(f"{PREFIX}{name}", []).append(values)
    diagnostics[f"{PREFIX}{MODULES}"] = list(modules)


def rejection_reason(shapes: Mapping[str, tuple[tuple[int, ...], str]], modules: int) -> str | None:
    """What is wrong with the arrays of a search; None where nothing is.

    Args:
        shapes: Shape, with the splits first, and numpy's kind of type, by name.
        modules: How many are mixed.
    """
    known = set(Noted)
    for name, (shape, kind) in shapes.items():
        if name not in known:
            return f"'{name}', which no search notes (known: {', '.join(Noted)})"
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
    """What one run noted of its search."""

    modules: tuple[str, ...]
    arrays: Mapping[Noted, NDArray[Any]]

    def __getitem__(self, name: Noted) -> NDArray[Any]:
        if name not in self.arrays:
            raise DiagnosticsError(f"this search noted no {Noted(name)}; it noted {', '.join(self.arrays)}")
        return self.arrays[name]

    def has(self, *names: Noted) -> bool:
        """Whether all these were noted: some rules have no upper loss, some estimators no implicit term."""
        return all(name in self.arrays for name in names)

    def at_end(self, name: Noted) -> NDArray[Any]:
        """The last value of each split, shape (splits, modules[, 11])."""
        return self[name][:, -1]

    def iterations(self, name: Noted) -> NDArray[np.int64]:
        """The iterations, counted from 1, at which something was noted: all, or those that moved the attention."""
        count, length = self[name].shape[1], self[Noted.LOWER_LOSS].shape[1]
        if name != Noted.LOWER_LOSS and self.has(Noted.ATTENTION_ITERATION):
            return self[Noted.ATTENTION_ITERATION][0].astype(np.int64)
        # Older records did not note them; the attention moves first, and then at even intervals.
        return 1 + -(-length // count) * np.arange(count)


def read(stored: Mapping[str, NDArray[Any]]) -> SearchNotes | None:
    """The search among a run's arrays, by their names in its side file; None where the run noted no search.

    Raises:
        DiagnosticsError: A name that no search notes, or a shape that is not that of its name.
    """
    found = {name.removeprefix(STORED): values for name, values in stored.items() if name.startswith(STORED)}
    modules = tuple(str(module) for module in found.pop(MODULES, ()))
    if not modules:
        return None
    shapes = {name: (values.shape, values.dtype.kind) for name, values in found.items()}
    if reason := rejection_reason(shapes, len(modules)):
        raise DiagnosticsError(f"the search notes {reason}")
    return SearchNotes(modules, {Noted(name): values for name, values in found.items()})
