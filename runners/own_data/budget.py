"""Which rows and how many repeats fit into the user's time budget."""

from collections.abc import Mapping
from dataclasses import dataclass

CURVE_ROWS = 2
"""Rows of the comparison whose learning curve is drawn, at a quarter and half of the training rows."""
CURVE_SHARE = 0.25 + 0.5
WHOLE_SHARE = 1.25
"""Work of training the model on all rows, relative to training on one fold of five."""
STARTUP = 15.0
"""Seconds for imports, reading, tables and the page."""


@dataclass(frozen=True)
class Choice:
    """What will be done: rows, repeats, and the expected seconds; left_out says in words what was dropped."""

    labels: tuple[str, ...]
    repeats: int
    seconds: float
    left_out: tuple[str, ...] = ()


def expected_seconds(per_unit: Mapping[str, float], labels: tuple[str, ...], units: int, workers: int) -> float:
    """Expected seconds of a comparison with its learning curves and its model.

    Args:
        per_unit: seconds of one run, by row.
        labels: rows of the comparison.
        units: folds times repeats.
        workers: processes that share the runs.
    """
    costs = sorted((per_unit[label] for label in labels), reverse=True)
    curves = CURVE_SHARE * sum(costs[:CURVE_ROWS]) * units
    return STARTUP + (sum(costs) * units + curves) / max(workers, 1) + WHOLE_SHARE * costs[0]


def choose(per_unit: Mapping[str, float], folds: int, repeats: int, workers: int, minutes: float | None) -> Choice:
    """The most that fits: all rows with all repeats, or with one repeat, or without the most expensive rows.

    Args:
        per_unit: seconds of one run, by row.
        folds: folds of the cross-validation.
        repeats: repeats that were asked for, at most.
        workers: processes that share the runs.
        minutes: the time budget; None for no limit.

    Returns:
        The choice; if even the cheapest row does not fit, that row with one repeat.
    """
    kept = tuple(per_unit)
    while True:
        for count in dict.fromkeys((repeats, 1)):
            seconds = expected_seconds(per_unit, kept, folds * count, workers)
            if minutes is None or seconds <= 60 * minutes or (len(kept) == 1 and count == 1):
                return Choice(kept, count, seconds, _left_out(per_unit, kept, folds, repeats, count))
        costliest = max(kept, key=lambda label: per_unit[label])
        kept = tuple(label for label in kept if label != costliest)


def _left_out(
    per_unit: Mapping[str, float], kept: tuple[str, ...], folds: int, repeats: int, count: int
) -> tuple[str, ...]:
    dropped = [
        f"{label} (about {per_unit[label]:.0f} s for each of {folds} folds)" for label in per_unit if label not in kept
    ]
    if count < repeats:
        dropped.append(f"{repeats - count} of {repeats} repeats of the folds")
    return tuple(dropped)
