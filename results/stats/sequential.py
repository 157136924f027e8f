"""One comparison looked at after several numbers of seeds: an exact sign flip whose level holds over all looks.

Looks are numbers of seeds fixed before the first run, such as 6, 8 and 10. Of the level a, the first k looks together
may use the share a f_k, with f_k = (n_k / n_K)^2 (an alpha-spending function: Lan and DeMets 1983; powers of the
information: Kim and DeMets 1987), so that little is spent on few seeds. With p_k(s) the ordinary two-sided sign-flip p
of look k under the sign pattern s,

    C_1 = p_1 / f_1,   C_k = min(Q_(k-1), p_k / (f_k - f_(k-1))),   Q_k(s) = P(C_k(s') <= C_k(s)) / f_k,

where s' is a uniform pattern over all seeds of look k, so that the dependence between looks is computed, not bounded.
Q_k of the data is the p-value after look k. By induction P(Q_k <= a) <= a f_k for every a: C_k <= c has probability at
most c f_(k-1) + c (f_k - f_(k-1)), hence Q_k <= C_k <= Q_(k-1). So "reject at the first look with Q_k <= a" errs with
probability at most a, given only that differences are symmetric about zero, independent from seed to seed; Q never
grows; and with a single look it is the sign flip itself. As Q is a p-value at every level a at once, Holm's step-down
over methods may be applied after any look (`sequential_family`).

Why not one of the alternatives. AdaStop (Mathieu et al. 2024, arXiv 2306.10882) is the same construction, a permutation
test with a budget per look, for unpaired runs: it permutes runs between methods, which gives up the pairing, and
controls the family by a maximum over methods, which needs their differences to be *jointly* symmetric. With a shared
reference they are not, once runs collapse: a collapse of the reference moves all differences up together, while no
event moves them all down (results/tables/sequential.md shows the excess). Holm only needs each difference to be
symmetric by itself, which holds for equal methods. The sequential test of Koning and van Meer (2025, arXiv 2501.03982)
follows the probability, under the null and given the data so far, that the final test will reject; for a sign flip
that depends on the sizes of differences not observed yet.

What a first look can reject: Q_k is never below 2^(1 - tasks n_k) / f_k. With looks at 6, 8 and 10 seeds one task
gives 0.087, 0.012 and 0.002: six seeds decide nothing on a single task, whatever the differences. Two tasks tested
together give 0.0018 at the first look, three 0.00014 (there patterns are drawn, 20,000 of them, which bounds p by
0.00005 / f_k). See `smallest_p`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy
from numpy.typing import ArrayLike, NDArray

from results.stats.across_tasks import per_task
from results.stats.inputs import Matrix, Vector
from results.stats.signs import DECIMALS, RELATIVE_TOLERANCE

SPENDING_POWER = 2
"""Exponent of the share of seeds in the spending function.

Lower exponents leave too little for the last look; with higher ones a single task cannot be decided before it.
"""
ENUMERATED_TO = 16
"""Up to this many differences, over all tasks and seeds of the last look, all sign patterns are enumerated."""
DRAWS = 19_999
"""Patterns drawn otherwise; with that of the data they are 20,000, exchangeable under the null."""


@dataclass(frozen=True)
class Looks:
    """Numbers of seeds after which the results are tested, ascending; the last one ends the experiment."""

    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        ascending = all(first < second for first, second in zip(self.seeds, self.seeds[1:], strict=False))
        if not self.seeds or self.seeds[0] < 1 or not ascending:
            raise ValueError(f"looks: expected ascending numbers of seeds, such as [6, 8, 10], got {list(self.seeds)}")

    @property
    def spent(self) -> tuple[float, ...]:
        """The share of alpha that the looks up to each one may have used together; 1 at the last."""
        return tuple((seeds / self.seeds[-1]) ** SPENDING_POWER for seeds in self.seeds)

    def reached(self, seeds: int) -> int:
        """The number of looks that this many seeds complete."""
        return sum(look <= seeds for look in self.seeds)


@dataclass(frozen=True)
class JointSigns:
    """Sums of differences at each look reached, under many sign patterns, the first of them that of the data.

    Attributes:
        looks: The declared numbers of seeds.
        sums: Per look reached (patterns,) the sum of the signed differences.
        signs: Per look reached (patterns,) the sum of the signs alone.
        table: (tasks, seeds of the last look reached) differences.
    """

    looks: Looks
    sums: tuple[Vector, ...]
    signs: tuple[Vector, ...]
    table: Matrix

    def spent(self) -> tuple[float, ...]:
        """The spending function up to the last look reached."""
        return self.looks.spent[: len(self.sums)]

    def at(self, centre: float) -> tuple[Vector, ...]:
        """Per look (patterns,) the absolute sums of the differences minus `centre`, rounded so that ties stay ties."""
        distances = []
        for seeds, sums, signs in zip(self.looks.seeds, self.sums, self.signs, strict=False):
            quantum = RELATIVE_TOLERANCE * float(numpy.abs(self.table[:, :seeds] - centre).sum())
            distance = numpy.abs(sums - centre * signs)
            distances.append(numpy.rint(distance / quantum) if quantum > 0 else numpy.zeros_like(distance))
        return tuple(distances)


def sequential_p(
    differences: Sequence[ArrayLike], looks: Looks, seed: int = 0, draws: int = DRAWS
) -> tuple[float, ...]:
    """The p-value after each look that the seeds complete; it never grows from look to look.

    Args:
        differences: One (n,) array per task, method minus reference, in the declared order of seeds; seeds beyond the
            last complete look, or that another task lacks, are not used. Flips are independent per task and seed.
        looks: The declared numbers of seeds.
        seed: Of the sign patterns, where they are drawn.
        draws: Number of drawn patterns; fewer cost power and resolution, but keep the level.

    Returns:
        One p per complete look; none before the first is complete.

    Raises:
        ValueError: Without tasks, or for values that are not finite.
    """
    joint = joint_signs(differences, looks, seed, draws)
    if joint is None:
        return ()
    absolute = joint.at(0.0)
    return tuple(min(1.0, float(p[0])) for p in _calibrated(absolute, joint.spent()))


def smallest_p(looks: Looks, tasks: int = 1, seed: int = 0) -> tuple[float, ...]:
    """The smallest p that differences over this many tasks can reach at each look, however large they are.

    Args:
        looks: The declared numbers of seeds.
        tasks: How many tasks are tested together.
        seed: Of the sign patterns, where they are drawn.

    Returns:
        One p per look. A look can reject only if this p times the number of comparisons is at most alpha.
    """
    return sequential_p([numpy.ones(looks.seeds[-1])] * tasks, looks, seed)


def repeated_p(joint: JointSigns, centre: float) -> float:
    """The p-value of a true difference `centre` from the last look alone; earlier looks only cost level.

    The sequential test itself has at most this p, so that {centre: repeated_p > a} covers the truth at all looks
    together with probability 1 - a (repeated confidence intervals: Jennison and Turnbull 1989). It always contains the
    estimate.
    """
    absolute, spent = joint.at(centre), joint.spent()
    before = _calibrated(absolute[:-1], spent[:-1])
    # For the last look it suffices to compare each pattern with that of the data, without sorting.
    extreme = absolute[-1] >= absolute[-1][0]
    if before:
        extreme |= before[-1] <= extreme.mean() / (spent[-1] - spent[-2])
    return min(1.0, float(extreme.mean()) / spent[-1])


def joint_signs(differences: Sequence[ArrayLike], looks: Looks, seed: int = 0, draws: int = DRAWS) -> JointSigns | None:
    """The sums at every complete look under all, or drawn, sign patterns; None before the first look.

    Whether patterns are enumerated depends on the last declared look and the number of tasks, never on the data.
    """
    tasks = per_task(differences)
    reached = looks.reached(min(task.size for task in tasks))
    if reached == 0:
        return None
    seeds = looks.seeds[reached - 1]
    table = numpy.stack([task[:seeds] for task in tasks]).round(DECIMALS)
    patterns = _patterns(len(tasks), looks, reached, seed, draws)
    sums, signs = [], []
    for count in looks.seeds[:reached]:
        chosen = patterns[:, :, :count].reshape(len(patterns), -1)
        sums.append(chosen @ table[:, :count].reshape(-1))
        signs.append(chosen.sum(axis=1))
    return JointSigns(looks, tuple(sums), tuple(signs), table)


def counts_every_pattern(tasks: int, looks: Looks) -> bool:
    """Whether the p-values over this many tasks come from all sign patterns; if not, from DRAWS + 1 of them."""
    return tasks * looks.seeds[-1] <= ENUMERATED_TO


@lru_cache(maxsize=4)
def _patterns(tasks: int, looks: Looks, reached: int, seed: int, draws: int) -> NDArray[numpy.float64]:
    # (patterns, tasks, seeds), the first of them all plus. Cached, as all comparisons of a table share them.
    seeds = looks.seeds[reached - 1]
    if counts_every_pattern(tasks, looks):
        # Flipping all signs leaves an absolute sum unchanged, so the first sign stays plus.
        blocks = tasks * seeds
        bits = numpy.arange(2 ** (blocks - 1))[:, None] >> numpy.arange(blocks)[None]
        enumerated = 1.0 - 2.0 * (bits & 1).astype(numpy.float64)
        return enumerated.reshape(-1, tasks, seeds)
    # Each look draws from its own generator, so that a later look keeps the patterns of an earlier one.
    steps = numpy.diff((0, *looks.seeds[:reached]))
    parts = [
        numpy.random.default_rng((seed, number)).integers(0, 2, (draws, tasks, step), dtype=numpy.int8)
        for number, step in enumerate(steps)
    ]
    drawn = 1.0 - 2.0 * numpy.concatenate(parts, axis=2)
    return numpy.concatenate((numpy.ones((1, tasks, seeds)), drawn))


def _calibrated(absolute: Sequence[Vector], spent: Sequence[float]) -> list[Vector]:
    # Q_k of every pattern for every look, as in the module's docstring.
    calibrated: list[Vector] = []
    before = 0.0
    for sums, share in zip(absolute, spent, strict=True):
        combined = _share_at_least(sums) / (share - before)
        if calibrated:
            combined = numpy.minimum(calibrated[-1], combined)
        calibrated.append(_share_at_most(combined) / share)
        before = share
    return calibrated


def _share_at_least(values: Vector) -> Vector:
    return _share_at_most(-values)


def _share_at_most(values: Vector) -> Vector:
    # The last position of each value in ascending order; equal values share it.
    order = numpy.argsort(values)
    ordered = values[order]
    last = numpy.append(numpy.flatnonzero(ordered[1:] != ordered[:-1]), values.size - 1)
    share = numpy.empty(values.size)
    share[order] = numpy.repeat(last + 1, numpy.diff(last, prepend=-1)) / values.size
    return share
