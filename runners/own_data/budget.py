"""Which rows and how many repeats fit into the minutes that somebody has."""

from collections.abc import Mapping
from dataclasses import dataclass

CURVE_ROWS = 2
"""Rows whose learning curve is drawn, at a quarter and half of the rows."""
CURVE_SHARE = 0.25 + 0.5
WHOLE_SHARE = 1.25
"""Work of the model of all rows, relative to that of a fold of five."""
STARTUP = 15.0
"""Seconds of imports, reading, tables and page."""


@dataclass(frozen=True)
class Choice:
    """What will be done: rows, repeats, and the seconds expected; left_out says what was dropped, in words."""

    labels: tuple[str, ...]
    repeats: int
    seconds: float
    left_out: tuple[str, ...] = ()


def expected_seconds(per_unit: Mapping[str, float], labels: tuple[str, ...], units: int, workers: int) -> float:
    """Seconds of a comparison with its learning curves and its model.

    Args:
        per_unit: seconds of one run of each row.
        labels: rows of the comparison.
        units: folds times repeats.
        workers: processes that share the runs.
    """
    costs = sorted((per_unit[label] for label in labels), reverse=True)
    curves = CURVE_SHARE * sum(costs[:CURVE_ROWS]) * units
    return STARTUP + (sum(costs) * units + curves) / max(workers, 1) + WHOLE_SHARE * costs[0]


def choose(per_unit: Mapping[str, float], folds: int, repeats: int, workers: int, minutes: float | None) -> Choice:
    """The most that fits: all rows with all repeats, else with one; else without the rows that cost most.

    Args:
        per_unit: seconds of one run of each row.
        folds: of the cross-validation.
        repeats: the most of them.
        workers: processes that share the runs.
        minutes: None for no limit.

    Returns:
        The choice; where even the cheapest row does not fit, that row with one repeat.
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
    said = [
        f"{label} (about {per_unit[label]:.0f} s for each of {folds} folds)" for label in per_unit if label not in kept
    ]
    if count < repeats:
        said.append(f"{repeats - count} of {repeats} repeats of the folds")
    return tuple(said)
