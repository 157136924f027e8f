"""The sign flip, its companions and the corrections: validity under the null, symmetry, ties, and very few seeds."""

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from math import comb

import numpy
import pytest

from results import stats
from results.stats import signs

Test = Callable[[numpy.ndarray], float]
TESTS: dict[str, Test] = {
    "sign flip": lambda row: stats.sign_flip(row).p,
    "wilcoxon": lambda row: stats.wilcoxon(row).p,
    "t": stats.t_test,
}
each_test = pytest.mark.parametrize("test", TESTS.values(), ids=TESTS.keys())


def by_enumeration(differences: numpy.ndarray) -> float:
    patterns = numpy.array(list(product((-1, 1), repeat=len(differences))))
    means = numpy.abs(patterns @ differences)
    return float((means >= abs(differences.sum()) - 1e-9).mean())


def in_points(counts: numpy.ndarray, examples: int = 277) -> numpy.ndarray:
    return 100 * (numpy.full(len(counts), 0.7) + counts / examples) - 70.0


@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 11])
def test_the_sign_flip_counts_every_pattern_even_with_ties_and_zeros(n: int) -> None:
    generator = numpy.random.default_rng(n)
    for _ in range(20):
        differences = in_points(generator.integers(-2, 4, n))
        assert stats.sign_flip(differences).p == pytest.approx(by_enumeration(differences), abs=1e-12)


def test_three_ways_to_compute_the_distribution_of_signed_sums_agree() -> None:
    differences = in_points(numpy.random.default_rng(0).integers(-3, 6, 24))
    exact, _ = signs.sign_pattern_p(differences)
    steps = signs._on_lattice(numpy.abs(differences))
    assert steps is not None
    observed = int((numpy.sign(differences) * steps).sum())
    assert signs._by_convolution(steps, observed) == pytest.approx(exact, abs=1e-12)
    drawn = numpy.abs(signs.drawn_sums(differences, 200_000, seed=0)) >= abs(differences.sum()) - 1e-9
    assert drawn.mean() == pytest.approx(exact, abs=5 * numpy.sqrt(exact / 200_000))


def test_ten_seeds_on_four_tasks_are_tested_exactly() -> None:
    # Twenty differences of 1 and twenty of the square root of 2 are on no lattice, but have few sums.
    ones, roots = [(2 * number - 20, comb(20, number)) for number in range(21)], numpy.sqrt(2.0)
    for flipped, flipped_roots in ((0, 0), (3, 5), (7, 4), (10, 9)):
        observed = (20 - 2 * flipped) + (20 - 2 * flipped_roots) * roots
        signs_of = [numpy.repeat((-1.0, 1.0), (count, 20 - count)) for count in (flipped, flipped_roots)]
        result = stats.sign_flip(numpy.concatenate((signs_of[0], roots * signs_of[1])))
        patterns = sum(
            count * times for one, count in ones for root, times in ones if abs(one + root * roots) >= observed - 1e-9
        )
        assert result.exact
        assert result.floor == 2.0**-39
        assert result.p == patterns / 2**40


def test_forty_differences_agree_with_a_count_of_integers() -> None:
    # The sum of these integers is too long for the lattice on which the test itself would count.
    generator = numpy.random.default_rng(5)
    differences = generator.integers(1, 40_000, 40) * generator.choice((-1, 1, 1), 40)
    assert numpy.abs(differences).sum() > signs.LATTICE_STEPS
    patterns = numpy.ones(1, dtype=numpy.int64)
    for size in numpy.abs(differences):
        longer = numpy.zeros(patterns.size + int(size), dtype=numpy.int64)
        longer[: patterns.size] += patterns
        longer[int(size) :] += patterns
        patterns = longer
    sums = 2 * numpy.arange(patterns.size) - patterns.size + 1
    extreme = int(patterns[numpy.abs(sums) >= abs(differences.sum())].sum())
    assert int(patterns.sum()) == 2**40
    assert Fraction(stats.sign_flip(differences / 1000).p) == Fraction(extreme, 2**40)


def test_a_p_from_drawn_patterns_is_not_called_exact() -> None:
    assert stats.sign_flip(in_points(numpy.tile([3, 1, 2, -1], 20))).exact
    correlations = numpy.random.default_rng(1).normal(0.1, 1.0, signs.ENUMERATED_TO + 1)
    assert not stats.sign_flip(correlations).exact
    assert stats.sign_flip(correlations[1:]).exact


def test_many_accuracies_are_tested_exactly_and_many_correlations_by_drawing() -> None:
    accuracies = in_points(numpy.tile([3, 1, 2, -1], 20))
    assert stats.sign_flip(accuracies).floor == 2.0**-79
    assert stats.sign_flip(accuracies).p < 1e-6
    correlations = numpy.random.default_rng(1).normal(1.0, 0.1, 80)
    drawn = stats.sign_flip(correlations)
    assert drawn.p == drawn.floor == 1 / 100_001
    assert stats.sign_flip(correlations, seed=3) == drawn


@each_test
@pytest.mark.parametrize("n", [6, 10, 50])
def test_p_is_uniform_under_the_null(test: Test, n: int) -> None:
    rows = numpy.random.default_rng(n).normal(size=(1500, n))
    p = numpy.array([test(row) for row in rows])
    for level in (0.05, 0.2, 0.5, 0.8):
        reachable = level if test is stats.t_test else numpy.floor(level * 2 ** (n - 1)) / 2 ** (n - 1)
        noise = 4 * numpy.sqrt(level * (1 - level) / len(rows))
        assert (p <= level).mean() <= level + noise
        if n > 6:  # Coarse ranks leave gaps between the possible p-values.
            assert (p <= level).mean() >= reachable - noise - 0.02


def test_sign_flip_keeps_its_level_when_runs_collapse() -> None:
    generator = numpy.random.default_rng(0)
    scores = generator.normal(size=(2, 2000, 8)) - 15 * (generator.random((2, 2000, 8)) < 0.1)
    rejected = numpy.mean([stats.sign_flip(row).p <= 0.05 for row in scores[0] - scores[1]])
    assert 0.03 < rejected < 0.065


@each_test
def test_swapping_method_and_reference_changes_no_p(test: Test) -> None:
    for row in numpy.random.default_rng(2).normal(0.5, 1.0, (20, 9)):
        assert test(row) == pytest.approx(test(-row), abs=1e-12)
        assert test(row) == pytest.approx(test(row[::-1]), abs=1e-12)
        assert test(row) == pytest.approx(test(100 * row), abs=1e-12)


def test_differences_that_differ_only_by_rounding_are_ties() -> None:
    noisy = numpy.array([0.7 - 0.6, 0.6 - 0.5, 0.3 - 0.2, 0.9 - 0.8, 0.5 - 0.6, 0.4 - 0.3, 0.8 - 0.7])
    clean = numpy.array([1.0, 1.0, 1.0, 1.0, -1.0, 1.0, 1.0])
    assert len(set(numpy.abs(noisy))) > 1
    assert stats.sign_flip(noisy).p == stats.sign_flip(clean).p == 16 / 128
    assert stats.wilcoxon(noisy) == stats.wilcoxon(clean)
    assert stats.wins_ties_losses([1e-17, -1e-17, 0.0, 0.1]) == (1, 3, 0)


def test_methods_equal_up_to_rounding_do_not_differ() -> None:
    noise = numpy.full(10, 1e-16)
    assert stats.sign_flip(noise).p == 1.0
    assert stats.wilcoxon(noise) == stats.Wilcoxon(1.0, 0.0, 0)


@pytest.mark.parametrize("n", range(1, 6))
def test_no_mark_is_possible_below_six_seeds(n: int) -> None:
    result = stats.sign_flip(numpy.arange(1.0, n + 1))
    assert result.p == result.floor == 2.0 ** (1 - n)
    assert result.floor > 0.05


def test_a_mark_needs_more_seeds_the_more_comparisons_are_corrected_for() -> None:
    needed = {m: stats.smallest_sample(m) for m in (1, 3, 7, 21, 28, 56)}
    assert needed == {1: 6, 3: 7, 7: 9, 21: 10, 28: 11, 56: 12}
    for comparisons, n in needed.items():
        assert comparisons * stats.sign_flip(numpy.ones(n)).floor <= 0.05
        assert comparisons * stats.sign_flip(numpy.ones(n - 1)).floor > 0.05


def test_one_seed_bounds_nothing() -> None:
    assert numpy.isnan(stats.t_interval([1.5])).all()
    assert numpy.isnan(stats.t_test([1.5]))
    assert numpy.isnan(stats.effect([1.5]).d_z)
    assert numpy.isnan(stats.spread([1.5]).sd)
    assert stats.sign_flip([1.5]) == stats.SignFlip(1.0, 1.0, 1, 1.5)


def test_differences_without_spread() -> None:
    assert stats.t_test([0.0, 0.0, 0.0]) == 1.0
    assert stats.t_test([2.0, 2.0, 2.0]) == 0.0
    assert stats.t_interval([2.0, 2.0]) == (2.0, 2.0)
    assert stats.effect([0.0, 0.0]) == stats.Effect(0.0, 0.0)
    assert stats.effect([-2.0, -2.0]).d_z == -numpy.inf


def test_the_t_interval_has_its_nominal_coverage() -> None:
    rows = numpy.random.default_rng(0).normal(1.0, 2.0, (2000, 5))
    for level in (0.5, 0.95):
        ends = numpy.array([stats.t_interval(row, level) for row in rows])
        covered = ((ends[:, 0] <= 1.0) & (ends[:, 1] >= 1.0)).mean()
        assert covered == pytest.approx(level, abs=4 * numpy.sqrt(level * (1 - level) / 2000))


@pytest.mark.parametrize("adjust", [stats.holm, stats.benjamini_hochberg])
def test_adjusted_p_values_keep_their_order_and_only_grow(adjust: Callable[[numpy.ndarray], numpy.ndarray]) -> None:
    generator = numpy.random.default_rng(0)
    for size in (1, 2, 7, 30):
        p = generator.random(size).round(1)
        adjusted = adjust(p)
        assert (adjusted >= p).all()
        assert (adjusted <= 1).all()
        assert (numpy.diff(adjusted[numpy.argsort(p, kind="stable")]) >= 0).all()
        shuffled = generator.permutation(size)
        assert adjust(p[shuffled]) == pytest.approx(adjusted[shuffled])
        assert (adjust(p * 0.5) <= adjusted).all()


def test_holm_is_never_below_benjamini_hochberg_and_one_p_stays_itself() -> None:
    p = numpy.random.default_rng(5).random(20)
    assert (stats.holm(p) >= stats.benjamini_hochberg(p)).all()
    assert stats.holm([0.03]) == pytest.approx([0.03])
    assert stats.benjamini_hochberg([0.03]) == pytest.approx([0.03])


def test_holm_controls_the_family_wise_error() -> None:
    p = numpy.random.default_rng(0).random((3000, 5))
    assert numpy.mean([(stats.holm(row) <= 0.05).any() for row in p]) == pytest.approx(0.05, abs=0.016)


EVERY_VECTOR_FUNCTION: list[Callable[[list[float]], object]] = [
    stats.sign_flip,
    stats.t_interval,
    stats.t_test,
    stats.wilcoxon,
    stats.holm,
    stats.benjamini_hochberg,
    stats.effect,
    stats.probability_of_winning,
    stats.spread,
    stats.wins_ties_losses,
    stats.expected_best_without_replacement,
    stats.interquartile_mean,
    lambda values: stats.mcnemar(values, values),
    lambda values: stats.variance_permutation(values, values),
    lambda values: stats.stratified_sign_flip([[1.0], values]),
    lambda values: stats.welch_satterthwaite([values]),
    lambda values: stats.interquartile_mean_interval([values]),
    lambda values: stats.performance_profile([values], [0.5]),
    lambda values: stats.friedman([values, values]),
    lambda values: stats.pairwise_holm([[values, values]]),
]


@pytest.mark.parametrize("function", EVERY_VECTOR_FUNCTION)
def test_empty_input_is_refused(function: Callable[[list[float]], object]) -> None:
    with pytest.raises(ValueError, match="at least"):
        function([])


@pytest.mark.parametrize("missing", [float("nan"), float("inf")])
@pytest.mark.parametrize("function", EVERY_VECTOR_FUNCTION)
def test_a_missing_value_is_refused_instead_of_ignored(
    function: Callable[[list[float]], object], missing: float
) -> None:
    with pytest.raises(ValueError, match="finite"):
        function([0.5, missing, 0.2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.holm([0.5, 1.2]), "between 0 and 1"),
        (lambda: stats.smallest_sample(0), "at least 1"),
        (lambda: stats.smallest_sample(3, alpha=0.0), "alpha"),
        (lambda: stats.t_interval([1.0, 2.0], level=1.0), "level"),
        (lambda: stats.sign_flip([[1.0], [2.0]]), "one dimension"),
        (lambda: stats.mcnemar([1, 0], [1]), "equally many"),
    ],
)
def test_the_error_for_invalid_arguments_names_them(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
