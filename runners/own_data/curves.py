"""Would more labels help, and from how many on does finetuning pay? From runs on parts of the training rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from results.stats.cross_validation import Resampled
from results.stats.learning_curve import Curve, crossing

PARTS = (4, 2)
"""Training rows divided by these, and undivided."""
FEWEST = 8
"""Training rows below which no part is trained."""
MORE = 100
"""Labels that somebody may think of adding."""
FAR = 4
"""A crossing further off than so many times the rows is none that a fit can know of."""


def sizes_of(train_rows: Sequence[int]) -> tuple[int, ...]:
    """Training sizes below the whole, the same for every unit."""
    smallest = min(train_rows)
    return tuple(size for part in PARTS if (size := smallest // part) >= FEWEST)


@dataclass(frozen=True)
class Curves:
    """The learning curves of some rows.

    Attributes:
        sizes: training rows, ascending.
        scores: mean score at each size, by row.
        curves: what can be fitted, by row; nothing where a score is undefined.
        rows: labelled rows that there are.
    """

    sizes: tuple[int, ...]
    scores: Mapping[str, NDArray[numpy.float64]]
    curves: Mapping[str, Curve]
    rows: int

    def gain(self, label: str) -> Resampled | None:
        """By how much MORE labels raise the score of this row, all rows being trained on."""
        return self.curves[label].gain(self.rows, MORE) if label in self.curves else None

    def score_at(self, label: str, rows: int) -> Resampled | None:
        """The score that the fit promises with so many rows."""
        if label not in self.curves:
            return None
        found = self.curves[label].error_at(rows)
        return Resampled(1 - found.mean, found.standard_error, 1 - found.high, 1 - found.low, found.p, found.n)

    def overtakes(self, finetuned: str, frozen: str) -> str:
        """From how many rows on a finetuned row is ahead of the frozen encoder, in words; "" where that is unknown."""
        if finetuned not in self.scores or frozen not in self.scores:
            return ""
        ahead = self.scores[finetuned] > self.scores[frozen]
        tuned, fixed = f"finetuning ({finetuned})", f"the frozen encoder ({frozen})"
        if ahead.all():
            return f"At {self.sizes[0]} to {self.sizes[-1]} training rows {tuned} is ahead of {fixed} throughout."
        if ahead[-1]:
            first = len(ahead) - int(numpy.argmin(ahead[::-1]))
            return f"Between {self.sizes[first - 1]} and {self.sizes[first]} training rows {tuned} overtakes {fixed}."
        at = self._crossing(finetuned, frozen)
        later = f"; by the fits it would overtake at about {_rounded(at)}" if at else ""
        return f"Up to {self.sizes[-1]} training rows {tuned} stays behind {fixed}{later}."

    def _crossing(self, finetuned: str, frozen: str) -> float | None:
        if finetuned not in self.curves or frozen not in self.curves:
            return None
        laws = self.curves[finetuned].law, self.curves[frozen].law
        at = crossing(*laws)
        falls_faster = laws[0].exponent > laws[1].exponent
        return at if at and falls_faster and self.sizes[-1] < at <= FAR * self.rows else None


def _rounded(rows: float) -> int:
    """To two digits, which is more than is known."""
    digits = max(0, len(str(int(rows))) - 2)
    return int(round(rows, -digits))


def curves_of(
    sizes: tuple[int, ...], scores: Mapping[str, NDArray[numpy.float64]], rows: int, test_share: float
) -> Curves:
    """Curves from scores (units, sizes) of every row.

    Units without a score at some size are left out of the fit; so is a row with fewer than three units left.
    """
    means, curves = {}, {}
    for label, values in scores.items():
        whole = values[numpy.isfinite(values).all(axis=1)]
        means[label] = whole.mean(axis=0) if len(whole) else numpy.full(len(sizes), numpy.nan)
        if len(whole) >= 3 and len(sizes) >= 2 and (whole <= 1).all():
            curves[label] = Curve.of(sizes, 1 - whole, test_share)
    return Curves(sizes, means, curves, rows)
