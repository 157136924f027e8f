"""Rank intervals and the matrix of pairs: by hand, their coverage, and the effect of adding a method."""

from pathlib import Path

import numpy
import pytest

from helpers import synthetic_records
from helpers.synthetic_records import Suite
from results.analysis.claims import claims
from results.loading.frame import load
from results.stats.multiplicity import holm
from results.stats.paired import sign_flip
from results.stats.pairwise import pairwise
from results.stats.rank_intervals import RankIntervals, rank_intervals
from results.tabulating.pairwise import pairwise_table
from results.tabulating.table import Table


def tables(scores: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """(methods, seeds) scores -> differences and p-values of all pairs."""
    gaps = scores[:, None] - scores[None]
    p = [[sign_flip(gap).p for gap in row] for row in gaps]
    return gaps.mean(axis=2), numpy.array(p)


def test_three_methods_by_hand() -> None:
    # a beats c with p = .01, b beats c with p = .03, a beats b with p = .4; six directions in all, four per method.
    gaps = numpy.array([[0.0, 1.0, 3.0], [-1.0, 0.0, 2.0], [-3.0, -2.0, 0.0]])
    p = numpy.array([[1.0, 0.4, 0.01], [0.4, 1.0, 0.03], [0.01, 0.03, 1.0]])
    result = rank_intervals(gaps, p)
    # Each alone, a: .005 x 4 passes. b: .015 x 4 = .06 does not. c: .005 x 4 passes, then .015 x 3 passes.
    assert result.low.tolist() == [1, 1, 3]
    assert result.high.tolist() == [2, 3, 3]
    # All at once: .005 x 6 = .03 passes, .015 x 5 = .075 does not.
    assert result.low_simultaneous.tolist() == [1, 1, 2]
    assert result.high_simultaneous.tolist() == [2, 3, 3]


def test_no_difference_or_one_in_the_other_direction_is_no_evidence() -> None:
    result = rank_intervals(numpy.zeros((3, 3)), numpy.zeros((3, 3)))
    assert result.low.tolist() == result.low_simultaneous.tolist() == [1, 1, 1]
    assert result.high.tolist() == result.high_simultaneous.tolist() == [3, 3, 3]


def test_intervals_cover_the_true_ranks_and_narrow_with_the_seeds() -> None:
    true, data_sets, alpha = numpy.array([2.0, 2.0, 1.0, 0.0]), 300, 0.2
    ranks = numpy.array([1 + (true > own).sum() for own in true])
    widths = {}
    for seeds in (7, 12):
        missed = numpy.zeros(5)
        total = 0.0
        for scores in numpy.random.default_rng(seeds).normal(true[:, None], 1.2, (data_sets, 4, seeds)):
            result = rank_intervals(*tables(scores), alpha)
            missed[:4] += (ranks < result.low) | (ranks > result.high)
            missed[4] += ((ranks < result.low_simultaneous) | (ranks > result.high_simultaneous)).any()
            total += (result.high - result.low).sum()
        # Methods with equal means share the better rank.
        assert (missed / data_sets <= alpha + 3 * numpy.sqrt(alpha * (1 - alpha) / data_sets)).all(), missed
        widths[seeds] = total
    assert widths[12] < 0.8 * widths[7]


def test_intervals_follow_from_the_directions_of_the_pairs() -> None:
    generator = numpy.random.default_rng(1)
    for _ in range(20):
        gaps, p = tables(generator.normal(numpy.arange(5)[:, None] / 2, 1.0, (5, 8)))
        result = rank_intervals(gaps, p)
        off = ~numpy.eye(5, dtype=bool)
        one_sided = numpy.where(gaps > 0, p / 2, 1.0)
        better = numpy.zeros((5, 5), dtype=bool)
        better[off] = holm(one_sided[off]) <= 0.05
        assert result.low_simultaneous.tolist() == (1 + better.sum(axis=0)).tolist()
        assert (result.low >= result.low_simultaneous).all()
        assert (result.high <= result.high_simultaneous).all()
        # The order of the methods does not matter.
        reversed_order = rank_intervals(gaps[::-1, ::-1], p[::-1, ::-1])
        assert reversed_order == RankIntervals(*(pytest.approx(x[::-1]) for x in vars(result).values()))


def test_invalid_tables_of_comparisons_are_refused() -> None:
    with pytest.raises(ValueError, match="other sign"):
        rank_intervals(numpy.ones((2, 2)), numpy.ones((2, 2)))
    with pytest.raises(ValueError, match="square tables of one shape"):
        rank_intervals(numpy.zeros((2, 3)), numpy.zeros((2, 3)))
    with pytest.raises(ValueError, match="less than 0.5"):
        rank_intervals(numpy.zeros((2, 2)), numpy.ones((2, 2)), 0.6)


def test_reversed_pairs_are_consistent() -> None:
    scores = {name: numpy.random.default_rng(i).normal(i, 1.0, (2, 6)).round() for i, name in enumerate("abc")}
    result = pairwise("abc", lambda first, second: list(scores[first] - scores[second]))
    assert len(result) == 6
    for (first, second), one in result.items():
        other = result[second, first]
        assert (one.difference, one.low, one.high) == (-other.difference, -other.high, -other.low)
        assert (one.p, one.record) == (other.p, other.record[::-1])
        gaps = scores[first] - scores[second]
        assert one.record == ((gaps > 0).sum(), (gaps == 0).sum(), (gaps < 0).sum())
        assert one.low < one.difference < one.high
        assert one.difference == pytest.approx(gaps.mean())


def cells(table: Table) -> dict[tuple[str, str], object]:
    heads = [column.header for column in table.columns]
    return {(str(row[0].value), head): cell for row in table.rows for head, cell in zip(heads, row, strict=True)}


def test_adding_a_method_changes_no_pair(tmp_path: Path) -> None:
    made = []
    for number, methods in enumerate((("vanilla", "agwm", "mixout"), ("vanilla", "agwm", "mixout", "lora"))):
        results = load("toy", synthetic_records.write(Suite(methods=methods), tmp_path / str(number)))
        table = pairwise_table(results, "100")
        assert table is not None
        made.append(cells(table))
    fewer, more = made
    names = ("vanilla", "agwm", "mixout")
    pairs = [(first, second) for first in names for second in names]
    assert [fewer[pair] for pair in pairs] == [more[pair] for pair in pairs]


def test_the_matrix_agrees_with_the_claims_and_lists_the_best_first(tmp_path: Path) -> None:
    results = load("toy", synthetic_records.write(Suite(left_out=(("lora", "rte", 1), ("lora", "rte", 2))), tmp_path))
    table = pairwise_table(results, "100")
    assert table is not None
    claim = claims(results, "100", "vanilla")["agwm"]
    cell = cells(table)["agwm", "vanilla"]
    assert cell.value.startswith(f"{claim.difference:+.1f}".replace("-", "−"))
    assert cell.marks == ("†" if claim.p <= 0.05 else "")
    means = [float(row[1].value) for row in table.rows]
    assert means == sorted(means, reverse=True)
    assert table.rows[0][0].value == "agwm"


def test_a_method_without_paired_seeds_is_reported_and_left_out(tmp_path: Path) -> None:
    gone = tuple(("lora", "rte", seed) for seed in range(2, 7))
    results = load("toy", synthetic_records.write(Suite(left_out=gone), tmp_path))
    table = pairwise_table(results, "100")
    assert table is not None
    assert [row[0].value for row in table.rows].count("lora") == 0
    assert any("lora" in note for note in table.notes)
    two = load("toy", synthetic_records.write(Suite(methods=("vanilla", "agwm")), tmp_path / "two"))
    assert pairwise_table(two, "100") is None


def test_many_methods_keep_their_ranks_and_the_columns_that_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = load("toy", synthetic_records.write(Suite(), tmp_path))
    complete = pairwise_table(results, "100")
    monkeypatch.setattr("results.tabulating.pairwise.MOST", 3)
    table = pairwise_table(results, "100")
    assert complete is not None
    assert table is not None
    assert {column.header for column in table.columns[6:]} == {"vanilla", "agwm"}
    assert [row[:6] for row in table.rows] == [row[:6] for row in complete.rows]
    assert any("only few columns are printed" in note for note in table.notes)
