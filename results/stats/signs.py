"""The distribution of a sum whose terms have random signs: exact where possible, otherwise by drawn signs."""

from functools import lru_cache

import numpy
from numpy.typing import NDArray

from results.stats.inputs import Vector

ENUMERATED_TO = 40
"""Up to this many terms all 2^n sign patterns are counted, from the 2^(n/2) sums of each half.

Forty terms, ten seeds on four tasks, take 0.05 seconds and 50 megabytes, so that twelve methods, all against all, take
four seconds; two terms more take twice as much of both.
"""
LATTICE_STEPS = 200_000
"""Longest lattice on which the distribution is convolved, in steps from zero to the sum of all terms."""
DRAWS = 100_000
DECIMALS = 12
"""To which terms are rounded; further digits, in scores up to 100, are rounding errors of subtraction."""
RELATIVE_TOLERANCE = 1e-10
"""Sums closer than this share of sum |term| count as equal: they differ by the order of addition."""
TERMS_PER_TABLE = 8

Steps = NDArray[numpy.int64]


def sign_pattern_p(terms: Vector, seed: int = 0) -> tuple[float, float]:
    """(p, floor): P(|sum of +-terms| >= |sum of terms|) under independent fair signs, and the smallest p possible.

    Exact up to ENUMERATED_TO terms, and beyond for terms on a common lattice, such as accuracies; else (1 + hits) /
    (1 + DRAWS) over seeded draws, which keeps the level of the test (Phipson and Smyth 2010).
    """
    terms = terms.round(DECIMALS)
    # Reversed differences have the same p; tables share many comparisons, in either order.
    return _sign_pattern_p((terms if terms.sum() >= 0 else -terms).tobytes(), seed)


@lru_cache(maxsize=10_000)
def _sign_pattern_p(content: bytes, seed: int) -> tuple[float, float]:
    terms = numpy.frombuffer(content)
    exact_floor = 2.0 ** (1 - terms.size)
    threshold = abs(terms.sum()) - RELATIVE_TOLERANCE * numpy.abs(terms).sum()
    if threshold <= 0:
        return 1.0, exact_floor
    if terms.size <= ENUMERATED_TO:
        return _by_halves(terms, threshold), exact_floor
    steps = _on_lattice(numpy.abs(terms))
    if steps is not None:
        return _by_convolution(steps, int((numpy.sign(terms).astype(int) * steps).sum())), exact_floor
    hits = int((numpy.abs(drawn_sums(terms, DRAWS, seed)) >= threshold).sum())
    return (1 + hits) / (1 + DRAWS), 1 / (1 + DRAWS)


def sums_of_subsets(steps: Steps) -> Vector:
    """The share of all subsets of the non-negative integers `steps` that sum to s, as entry s; read-only."""
    return _sums_of_subsets(tuple(numpy.sort(steps).tolist()))


@lru_cache(maxsize=32)
def _sums_of_subsets(steps: tuple[int, ...]) -> Vector:
    # Cached, as ranks without ties are the same for all pairs of as many runs.
    share = numpy.zeros(sum(steps) + 1)
    share[0] = 1.0
    reached = 1
    for step in steps:
        following = numpy.zeros(reached + step)
        following[:reached] = share[:reached]
        following[step:] += share[:reached]
        reached += step
        share[:reached] = following / 2
    share.flags.writeable = False
    return share


def drawn_sums(terms: Vector, draws: int, seed: int) -> Vector:
    """(draws,) sums of the terms (n,) under independent fair signs; the same seed draws the same signs."""
    # One random byte holds the signs of eight terms and looks their sum up in a table of 256.
    total, addend = numpy.zeros(draws), numpy.empty(draws)
    for number, signs in enumerate(_drawn_signs(terms.size, draws, seed)):
        table = _all_sums(terms[number * TERMS_PER_TABLE : (number + 1) * TERMS_PER_TABLE])
        total += table.take(signs, out=addend, mode="wrap")  # No sign is out of bounds; this mode needs no copy.
    return total


def _by_halves(terms: Vector, threshold: float) -> float:
    middle = terms.size // 2
    left, right = _ascending_sums(terms[:middle]), _ascending_sums(terms[middle:])
    # Minus every right sum is a right sum, too. Searching for ascending values is several times as fast.
    above = left.size - numpy.searchsorted(left, threshold + right, side="left")
    # The distribution is symmetric and the threshold positive, so the lower tail has as many patterns.
    return 2 * int(above.sum()) / 2**terms.size


def _by_convolution(steps: Steps, observed: int) -> float:
    # A signed sum is twice the sum of the positive steps, minus the sum of all.
    share = sums_of_subsets(steps)
    signed = 2 * numpy.arange(share.size) - int(steps.sum())
    return float(share[numpy.abs(signed) >= abs(observed)].sum())


def _on_lattice(sizes: Vector) -> Steps | None:
    # Euclid's algorithm on floats; its result is used only if it fits every term.
    tolerance = 1e-9 * sizes.max()
    step = 0.0
    for size in numpy.unique(sizes):
        remainder = float(size)
        while remainder > tolerance:
            step, remainder = remainder, abs(step - remainder * round(step / remainder))
    multiples = numpy.rint(sizes / step)
    fits = bool((numpy.abs(multiples * step - sizes) <= 10 * tolerance).all())
    return multiples.astype(numpy.int64) if fits and multiples.sum() <= LATTICE_STEPS else None


def _all_sums(terms: Vector) -> Vector:
    sums = numpy.zeros(1)
    for term in terms:
        sums = numpy.concatenate((sums - term, sums + term))
    return sums


def _ascending_sums(terms: Vector) -> Vector:
    sums = numpy.zeros(1)
    for size in numpy.abs(terms):
        sums = numpy.concatenate((sums - size, sums + size))
        sums.sort(kind="stable")  # Merges the two ascending halves, which takes much less than sorting.
    return sums


@lru_cache(maxsize=2)
def _drawn_signs(count: int, draws: int, seed: int) -> tuple[NDArray[numpy.uint8], ...]:
    # Cached, as a table tests hundreds of pairs of one size, and drawing takes longer than adding.
    generator = numpy.random.default_rng(seed)
    sizes = [min(TERMS_PER_TABLE, count - start) for start in range(0, count, TERMS_PER_TABLE)]
    return tuple(generator.integers(0, 2**size, draws, dtype=numpy.uint8) for size in sizes)
