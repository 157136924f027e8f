"""The distribution of a sum when every term's sign is a fair coin: exact while it can be, drawn above that."""

import numpy

from results.statistics.inputs import Vector

EXACT_TO = 40
"""Most terms whose 2^n sign patterns are all counted; two halves of 2^20 sums still take well under a second."""
DRAWS = 100_000
RELATIVE_TOLERANCE = 1e-10
"""Sums closer than this share of sum |term| are equal: they differ by the order of addition."""
TERMS_PER_BYTE = 8


def probability_at_least(terms: Vector, seed: int = 0) -> float:
    """P(|sum of +-terms| >= |sum of terms|) under independent fair signs, the observed pattern included.

    Exact to EXACT_TO terms; above, (1 + hits) / (1 + DRAWS) over seeded draws, which keeps the test's level
    (Phipson and Smyth 2010).
    """
    size = numpy.abs(terms).sum()
    threshold = abs(terms.sum()) - RELATIVE_TOLERANCE * size
    if threshold <= 0:
        return 1.0
    if terms.size <= EXACT_TO:
        return _share_of_patterns(terms, threshold)
    sums = _drawn_sums(terms, DRAWS, seed)
    return float((1 + numpy.count_nonzero(numpy.abs(sums) >= threshold)) / (1 + DRAWS))


def smallest_probability(n: int) -> float:
    """The floor of the two-sided p value for n terms: all signs equal, 2 of 2^n patterns."""
    exact: float = 2.0 ** (1 - n)
    return exact if n <= EXACT_TO else 1.0 / (1 + DRAWS)


def _share_of_patterns(terms: Vector, threshold: float) -> float:
    # Every pattern is one of the left half with one of the right half, so that counting needs 2^(n/2) sums, not 2^n.
    middle = terms.size // 2
    left, right = numpy.sort(_all_sums(terms[:middle])), _all_sums(terms[middle:])
    above = left.size - numpy.searchsorted(left, threshold - right, side="left")
    # The distribution is symmetric and the threshold positive: the lower tail has as many patterns.
    return float(2 * int(above.sum()) / 2**terms.size)


def _all_sums(terms: Vector) -> Vector:
    sums = numpy.zeros(1)
    for term in terms:
        sums = numpy.concatenate((sums - term, sums + term))
    return sums


def _drawn_sums(terms: Vector, draws: int, seed: int) -> Vector:
    # One random byte holds the signs of eight terms and looks their sum up in a table of 256.
    generator = numpy.random.default_rng(seed)
    total = numpy.zeros(draws)
    for start in range(0, terms.size, TERMS_PER_BYTE):
        table = _all_sums(terms[start : start + TERMS_PER_BYTE])
        total += table[generator.integers(0, table.size, draws)]
    return total
