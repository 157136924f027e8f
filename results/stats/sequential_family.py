"""Several methods against one reference, looked at after several numbers of seeds: which comparisons are decided.

After every look Holm's step-down runs over the sequential p-values of `sequential`. A decided comparison keeps the p of
its look and gets no more seeds; the others go on, and Holm's requirement on them falls with every rejection. The final
p-values are at most those of any earlier look, so the probability that any look rejects any true null is at most alpha,
however the null differences of the methods depend on one another.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import ArrayLike

from results.stats.across_tasks import per_task
from results.stats.inputs import Vector, proportion
from results.stats.multiplicity import holm
from results.stats.sequential import JointSigns, Looks, joint_signs, repeated_p, sequential_p

REJECTED, OPEN, ENDED = "rejected", "open", "not rejected"
"""States of a comparison: decided; gets the next seeds; past the last look without a significant difference."""
STEPS, HALVINGS = 16, 14
"""For an interval's end: points tried between the estimate and the farthest difference, then bisection steps."""


@dataclass(frozen=True)
class Decision:
    """A comparison after its latest look, or after the look that decided it.

    Attributes:
        state: REJECTED, OPEN or ENDED.
        look: Number of that look, from 1; 0 before the first is complete.
        seeds: Its seeds.
        p: Sequential p-value of this comparison alone, over all looks so far; 1 before the first.
        p_adjusted: After Holm over the family.
        estimate: Mean over tasks of the mean difference of these seeds, in the unit of the differences. Comparisons
            stop early where the difference is large, so it is biased away from zero.
        low: Lower end of the interval that covers all looks and all comparisons (level alpha / their number).
        high: Its upper end; infinite if the look cannot bound the difference at that level.
    """

    state: str
    look: int
    seeds: int
    p: float
    p_adjusted: float
    estimate: float
    low: float
    high: float


def decide(
    differences: Mapping[str, Sequence[ArrayLike]], looks: Looks, alpha: float = 0.05, seed: int = 0
) -> dict[str, Decision]:
    """Decide every comparison of a family, look by look.

    Args:
        differences: By comparison, one (n,) array per task as in `sequential_p`: the whole declared family, with empty
            arrays for comparisons without runs yet. More seeds than those of the deciding look change nothing.
        looks: The declared numbers of seeds.
        alpha: Bound on the probability that any look rejects any true null hypothesis.
        seed: Of the sign patterns, where they are drawn.

    Returns:
        One decision per comparison, in the order given.

    Raises:
        ValueError: Without comparisons or tasks, for alpha outside (0, 1), or for values that are not finite.
    """
    if not differences:
        raise ValueError("differences: at least one comparison needed")
    proportion(alpha, "alpha")
    complete = {name: looks.reached(min(len(numpy.asarray(task)) for task in own)) for name, own in differences.items()}
    p_values = {name: sequential_p(own, looks, seed) if complete[name] else () for name, own in differences.items()}
    deciding, adjusted = step_down(list(p_values.values()), len(looks.seeds), alpha)
    decisions = {}
    for number, (name, own) in enumerate(differences.items()):
        look = deciding[number] or complete[name]
        state = REJECTED if deciding[number] else ENDED if look == len(looks.seeds) else OPEN
        decisions[name] = _decision(
            own, looks, state, look, p_values[name], float(adjusted[number]), alpha / len(differences), seed
        )
    return decisions


def step_down(p_values: Sequence[Sequence[float]], looks: int, alpha: float) -> tuple[list[int], Vector]:
    """Holm's step-down after every look.

    Args:
        p_values: Per comparison its sequential p-values, one per complete look.
        looks: Number of declared looks.
        alpha: Level of the family.

    Returns:
        Per comparison the number of the look that rejects it, 0 for none, and its adjusted p after the latest look.
    """
    deciding = [0] * len(p_values)
    adjusted = numpy.ones(len(p_values))
    for look in range(1, looks + 1):
        current = []
        for number, own in enumerate(p_values):
            known = min(deciding[number] or look, len(own))
            current.append(own[known - 1] if known else 1.0)
        adjusted = holm(current)
        for number, own in enumerate(p_values):
            if not deciding[number] and adjusted[number] <= alpha:
                deciding[number] = min(look, len(own))
    return deciding, adjusted


def still_open(decisions: Mapping[str, Decision]) -> tuple[str, ...]:
    """The comparisons that get the next seeds, in the order given: neither rejected nor past the last look."""
    return tuple(name for name, decision in decisions.items() if decision.state == OPEN)


def sequential_interval(
    differences: Sequence[ArrayLike], looks: Looks, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the true difference at the latest complete look, valid over all looks together.

    Args:
        differences: As in `sequential_p`.
        looks: The declared numbers of seeds.
        level: Probability that the intervals of all looks cover the truth.
        seed: Of the sign patterns, where they are drawn.

    Returns:
        The ends of the smallest interval around all differences that `repeated_p` does not reject; infinite ends if
        the seeds are too few to exclude anything at that level, (nan, nan) before the first look.

    Raises:
        ValueError: As `sequential_p`, and for a level outside (0, 1).
    """
    alpha = 1 - proportion(level, "level")
    joint = joint_signs(differences, looks, seed)
    if joint is None:
        return math.nan, math.nan
    return _end(joint, alpha, -1), _end(joint, alpha, 1)


def _decision(
    own: Sequence[ArrayLike],
    looks: Looks,
    state: str,
    look: int,
    p_values: Sequence[float],
    adjusted: float,
    alpha: float,
    seed: int,
) -> Decision:
    if look == 0:
        return Decision(state, 0, 0, 1.0, adjusted, math.nan, math.nan, math.nan)
    seeds = looks.seeds[look - 1]
    used = [task[:seeds] for task in per_task(own)]
    low, high = sequential_interval(used, looks, 1 - alpha, seed)
    return Decision(state, look, seeds, p_values[look - 1], adjusted, float(numpy.mean(used)), low, high)


def _end(joint: JointSigns, alpha: float, side: int) -> float:
    # Beyond the farthest difference all signs agree, and the p-value is the smallest that this look has.
    middle = float(joint.table.mean())
    farthest = float((side * (joint.table - middle)).max())
    span = 1.001 * farthest if farthest > 0 else 1e-9 * max(1.0, abs(middle))
    if repeated_p(joint, middle + side * span) > alpha:
        return side * math.inf
    points = numpy.linspace(0.0, span, STEPS + 1)
    inside = max(point for point in points[:-1] if point == 0 or repeated_p(joint, middle + side * point) > alpha)
    outside = float(inside) + span / STEPS
    inside = float(inside)
    for _ in range(HALVINGS):
        between = (inside + outside) / 2
        if repeated_p(joint, middle + side * between) > alpha:
            inside = between
        else:
            outside = between
    return middle + side * outside
