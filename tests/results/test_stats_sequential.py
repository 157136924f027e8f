"""The sequential sign flip: its level over all looks by enumeration, its intervals, and decisions on a family."""

from itertools import product

import numpy
import pytest

from results.stats import sequential
from results.stats.across_tasks import stratified_sign_flip
from results.stats.multiplicity import holm
from results.stats.sequential import Looks, joint_signs, repeated_p, sequential_p, smallest_p
from results.stats.sequential_family import ENDED, OPEN, REJECTED, decide, sequential_interval, still_open

LOOKS = Looks((4, 6, 9))
LEVELS = (0.01, 0.05, 0.1, 0.3, 0.7)


def sizes(kind: str, generator: numpy.random.Generator) -> numpy.ndarray:
    if kind == "ties":
        return generator.integers(0, 3, 9).astype(float)
    return generator.standard_normal(9) if kind == "normal" else generator.standard_cauchy(9)


@pytest.mark.parametrize("kind", ["normal", "heavy", "ties"])
def test_over_all_sign_patterns_the_level_holds_at_every_look(kind: str) -> None:
    generator = numpy.random.default_rng(1)
    for _ in range(2):
        size = sizes(kind, generator)
        p = numpy.array([sequential_p([size * signs], LOOKS) for signs in product((-1, 1), repeat=9)])
        assert (numpy.diff(p, axis=1) <= 1e-12).all()
        for level in LEVELS:
            for look, share in enumerate(LOOKS.spent):
                assert (p[:, look] <= level).mean() <= level * share + 1e-12
        reached = numpy.unique(p[:, -1])
        # At the last look the level is exhausted up to the resolution of the patterns.
        assert [float((p[:, -1] <= value + 1e-12).mean()) for value in reached] == pytest.approx(reached.tolist())


@pytest.mark.parametrize(("tasks", "seeds"), [(1, 7), (2, 6), (3, 5)])
def test_a_single_look_is_the_sign_flip_itself(tasks: int, seeds: int) -> None:
    for differences in numpy.random.default_rng(2).normal(0.4, 1.0, (20, tasks, seeds)).round(1):
        (p,) = sequential_p(differences, Looks((seeds,)))
        assert p == pytest.approx(stratified_sign_flip(list(differences)).p, abs=1e-12)


def test_two_looks_by_hand() -> None:
    # Differences 3, 2, 1, with looks at two and three seeds: f = 4/9, 1. Of the first two, |5| is the largest of
    # |5|, |1|, so p_1 = 1/2 and Q_1 = 9/8. Of the three, |6| is the largest of 6, 4, 2, 0: p_2 = 1/4, C_2 = 9/20,
    # which only its own pattern (of four, up to flipping all signs) reaches: Q_2 = 1/4.
    assert sequential_p([[3.0, 2.0, 1.0]], Looks((2, 3))) == pytest.approx((1.0, 0.25))
    assert sequential_p([[3.0, 2.0, -1.0]], Looks((2, 3))) == pytest.approx((1.0, 0.5))


def test_drawn_patterns_agree_with_all_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    differences = numpy.random.default_rng(3).normal(0.5, 1.0, (1, 9))
    exact = numpy.array(sequential_p(differences, LOOKS))
    monkeypatch.setattr(sequential, "ENUMERATED_TO", 0)
    sequential._patterns.cache_clear()
    drawn = [numpy.array(sequential_p(differences, LOOKS, seed)) for seed in range(3)]
    sequential._patterns.cache_clear()
    noise = 5 * numpy.sqrt(exact / sequential.DRAWS / numpy.array(LOOKS.spent))
    for one in drawn:
        assert (numpy.abs(one - exact) <= noise).all()
    assert len({tuple(one) for one in drawn}) == 3


def test_drawn_patterns_keep_the_level_however_few_they_are() -> None:
    looks, generator = Looks((3, 6)), numpy.random.default_rng(4)
    rows = generator.standard_cauchy((1500, 4, 6))
    p = numpy.array([sequential_p(row, looks, seed, draws=79) for seed, row in enumerate(rows)])
    for level in (0.1, 0.3):
        assert (p[:, -1] <= level).mean() <= level + 4 * numpy.sqrt(level * (1 - level) / len(rows))
        assert (p[:, -1] <= level).mean() >= level - 0.05


def test_later_seeds_do_not_change_an_earlier_p() -> None:
    differences = numpy.random.default_rng(5).normal(0.3, 1.0, (3, 9))
    complete = sequential_p(differences, LOOKS)
    assert sequential_p(differences[:, :7], LOOKS) == complete[:2]
    assert sequential_p(differences[:, :3], LOOKS) == ()


def test_flipping_or_scaling_all_differences_changes_nothing() -> None:
    differences = numpy.random.default_rng(6).normal(0.6, 1.0, (2, 9))
    p = sequential_p(differences, LOOKS)
    assert sequential_p(-differences, LOOKS) == p
    assert sequential_p(100 * differences, LOOKS) == pytest.approx(p)
    assert sequential_p(numpy.zeros((2, 9)), LOOKS) == (1.0, 1.0, 1.0)


def test_what_six_eight_and_ten_seeds_can_reject() -> None:
    looks = Looks((6, 8, 10))
    one = [2.0**-5 / 0.36, 2.0**-7 / 0.64, 2.0**-9]
    assert smallest_p(looks) == pytest.approx(one)
    assert smallest_p(looks)[0] > 0.05
    assert smallest_p(looks, tasks=2)[0] == pytest.approx(2.0**-11 / 0.36, abs=5e-4)
    assert smallest_p(looks, tasks=3)[0] * 9 < 0.05


def test_looks_must_ascend() -> None:
    for seeds in ((), (0, 3), (6, 6), (8, 6)):
        with pytest.raises(ValueError, match="ascending numbers of seeds"):
            Looks(seeds)
    with pytest.raises(ValueError, match="finite"):
        sequential_p([[1.0, numpy.nan, 1.0, 2.0]], LOOKS)


def test_an_interval_ends_where_the_test_begins_to_reject() -> None:
    for differences in numpy.random.default_rng(7).normal(1.0, 2.0, (5, 1, 9)):
        joint = joint_signs(differences, LOOKS)
        assert joint is not None
        low, high = sequential_interval(differences, LOOKS, 0.9)
        span = float(numpy.ptp(differences))
        assert low < differences.mean() < high
        for end, side in ((low, -1), (high, 1)):
            assert repeated_p(joint, end + side * 1e-4 * span) <= 0.1 < repeated_p(joint, end - side * 1e-4 * span)


def test_with_one_look_the_interval_excludes_zero_exactly_when_the_test_rejects() -> None:
    looks = Looks((8,))
    rejected = 0
    for differences in numpy.random.default_rng(8).normal(0.8, 1.0, (40, 1, 8)):
        low, high = sequential_interval(differences, looks, 0.95)
        rejects = sequential_p(differences, looks)[0] <= 0.05
        assert rejects == (low > 0 or high < 0)
        rejected += rejects
    assert 5 < rejected < 35


def test_intervals_of_all_looks_together_cover_the_truth() -> None:
    looks, missed, data_sets = Looks((5, 7)), 0, 400
    for differences in numpy.random.default_rng(9).standard_t(3, (data_sets, 1, 7)) + 1.0:
        ends = [sequential_interval(differences[:, :seeds], looks, 0.8) for seeds in looks.seeds]
        missed += any(not low <= 1.0 <= high for low, high in ends)
    assert 0.08 < missed / data_sets <= 0.2 + 3 * numpy.sqrt(0.16 / data_sets)


def test_too_few_seeds_bound_nothing_and_equal_differences_bound_tightly() -> None:
    assert sequential_interval([[1.0, 2.0, 1.5, 0.5]], LOOKS, 0.99) == (-numpy.inf, numpy.inf)
    assert numpy.isnan(sequential_interval([[1.0]], LOOKS)).all()
    assert sequential_interval([[2.0] * 9], LOOKS, 0.9) == pytest.approx((2.0, 2.0), abs=1e-6)


def family(generator: numpy.random.Generator) -> dict[str, numpy.ndarray]:
    gains = {"strong": 3.0, "middling": 1.2, "none": 0.0}
    differences = {name: generator.normal(gain, 1.0, (3, 9)) for name, gain in gains.items()}
    differences["middling"][:, 1] *= -1  # The second seed hides the effect at the first look.
    differences["none"][:, 4:8] = -differences["none"][:, :4]
    return differences


def test_a_family_is_decided_look_by_look() -> None:
    differences = family(numpy.random.default_rng(10))
    first = decide({name: rows[:, :4] for name, rows in differences.items()}, LOOKS)
    assert first["strong"].state == REJECTED
    assert first["strong"].seeds == 4
    assert still_open(first) == ("middling", "none")
    # The decided comparison gets no more seeds.
    end = decide(differences | {"strong": differences["strong"][:, :4]}, LOOKS)
    assert end["strong"].p == first["strong"].p
    assert end["middling"].state == REJECTED
    assert end["none"].state == ENDED
    assert still_open(end) == ()
    assert end["none"].estimate == pytest.approx(differences["none"].mean())
    assert end["strong"].low > 0
    # Extra seeds after the decision change nothing.
    assert decide(differences, LOOKS)["strong"] == end["strong"]


def test_decisions_are_those_of_holm_when_there_is_one_look() -> None:
    looks = Looks((7,))
    for rows in numpy.random.default_rng(11).normal(0.7, 1.0, (10, 3, 1, 7)):
        decisions = list(decide({str(i): row for i, row in enumerate(rows)}, looks).values())
        expected = holm([sequential_p(row, looks)[0] for row in rows])
        assert [one.p_adjusted for one in decisions] == pytest.approx(expected.tolist())
        assert [one.state == REJECTED for one in decisions] == (expected <= 0.05).tolist()


def test_a_comparison_without_runs_counts_in_the_family() -> None:
    differences = numpy.full((1, 9), 1.0) + numpy.arange(9) / 100
    alone = decide({"a": differences}, LOOKS)["a"]
    beside = decide({"a": differences, "b": [[]]}, LOOKS)
    assert beside["a"].p_adjusted == pytest.approx(2 * alone.p_adjusted)
    assert beside["b"].state == OPEN
    assert beside["b"].look == 0
    assert still_open(beside) == ("b",)


def test_a_family_errs_at_most_as_often_as_declared() -> None:
    data_sets, looks = 500, Looks((5, 7))
    generator, errors = numpy.random.default_rng(12), 0
    for _ in range(data_sets):
        scores = generator.standard_normal((4, 1, 7)) - 15 * (generator.random((4, 1, 7)) < 0.1)
        p = [sequential_p(row - scores[0], looks)[-1] for row in scores[1:]]
        errors += bool((holm(p) <= 0.2).any())
    assert 0.02 < errors / data_sets <= 0.2 + 3 * numpy.sqrt(0.16 / data_sets)
