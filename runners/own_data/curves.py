"""Learning curves from runs on parts of the training rows: would more labels help, and when does finetuning pay?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from results.stats.cross_validation import Resampled
from results.stats.learning_curve import Curve, crossing

PARTS = (4, 2)
"""Training sizes are all rows divided by these, and all rows."""
FEWEST = 8
"""Smallest part of the training rows that is trained on."""
MORE = 100
"""Number of additional labels whose effect is reported."""
FAR = 4
"""A crossing at more than this many times the rows is beyond what the fits can predict."""


def sizes_of(train_rows: Sequence[int]) -> tuple[int, ...]:
    """Training sizes below all rows, the same for every unit."""
    smallest = min(train_rows)
    return tuple(size for part in PARTS if (size := smallest // part) >= FEWEST)


@dataclass(frozen=True)
class Curves:
    """The learning curves of some rows.

    Attributes:
        sizes: training rows, ascending.
        scores: mean score at each size, by row.
        curves: fitted curves by row, for rows whose scores are all defined.
        rows: number of labelled rows.
    """

    sizes: tuple[int, ...]
    scores: Mapping[str, NDArray[numpy.float64]]
    curves: Mapping[str, Curve]
    rows: int

    def gain(self, label: str) -> Resampled | None:
        """How much MORE additional labels raise the score of this row when it is trained on all rows."""
        return self.curves[label].gain(self.rows, MORE) if label in self.curves else None

    def score_at(self, label: str, rows: int) -> Resampled | None:
        """The score that the fit predicts for this many rows; None without a fit."""
        if label not in self.curves:
            return None
        error = self.curves[label].error_at(rows)
        return Resampled(1 - error.mean, error.standard_error, 1 - error.high, 1 - error.low, error.p, error.n)

    def overtakes(self, finetuned: str, frozen: str) -> str:
        """At how many rows a finetuned row overtakes the frozen encoder, in words; "" if that is unknown."""
        if finetuned not in self.scores or frozen not in self.scores:
            return ""
        ahead = self.scores[finetuned] > self.scores[frozen]
        tuned, fixed = f"finetuning ({finetuned})", f"the frozen encoder ({frozen})"
        if ahead.all():
            return f"From {self.sizes[0]} to {self.sizes[-1]} training rows, {tuned} is ahead of {fixed} throughout."
        if ahead[-1]:
            first = len(ahead) - int(numpy.argmin(ahead[::-1]))
            return f"Between {self.sizes[first - 1]} and {self.sizes[first]} training rows, {tuned} overtakes {fixed}."
        at = self._crossing(finetuned, frozen)
        later = f"; by the fits it would overtake it at about {_rounded(at)}" if at else ""
        return f"Up to {self.sizes[-1]} training rows, {tuned} stays behind {fixed}{later}."

    def _crossing(self, finetuned: str, frozen: str) -> float | None:
        if finetuned not in self.curves or frozen not in self.curves:
            return None
        laws = self.curves[finetuned].law, self.curves[frozen].law
        at = crossing(*laws)
        falls_faster = laws[0].exponent > laws[1].exponent
        return at if at and falls_faster and self.sizes[-1] < at <= FAR * self.rows else None


def _rounded(rows: float) -> int:
    """Round to two digits, which is more precision than the fit has."""
    digits = max(0, len(str(int(rows))) - 2)
    return int(round(rows, -digits))


def curves_of(
    sizes: tuple[int, ...], scores: Mapping[str, NDArray[numpy.float64]], rows: int, test_share: float
) -> Curves:
    """Curves from the scores (units, sizes) of every row.

    Units without a score at some size are left out; a row with fewer than three remaining units gets no fit.

    Args:
        sizes: training rows, ascending.
        scores: scores between 0 and 1, by row.
        rows: number of labelled rows.
        test_share: test rows relative to training rows of a unit.
    """
    means, curves = {}, {}
    for label, values in scores.items():
        whole = values[numpy.isfinite(values).all(axis=1)]
        means[label] = whole.mean(axis=0) if len(whole) else numpy.full(len(sizes), numpy.nan)
        if len(whole) >= 3 and len(sizes) >= 2 and (whole <= 1).all():
            curves[label] = Curve.of(sizes, 1 - whole, test_share)
    return Curves(sizes, means, curves, rows)
