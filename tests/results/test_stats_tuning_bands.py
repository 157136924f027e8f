"""Bands of tuning curves: their coverage, by hand and by simulation, and their shape."""

import numpy
import pytest
from scipy import stats

from results.stats import tuning_bands
from results.stats.tuning_bands import BANDS, distribution_band, expected_best_band


def test_the_coverage_probability_by_hand() -> None:
    one = tuning_bands._holding(numpy.array([0.1]), numpy.array([0.7]))
    assert one == pytest.approx(0.6)
    # Two numbers, the smaller in (.1, .6), the larger in (.4, .9): both in (.1, .9), minus both in (.1, .4) and both in
    # (.6, .9).
    two = tuning_bands._holding(numpy.array([0.1, 0.4]), numpy.array([0.6, 0.9]))
    assert two == pytest.approx(0.8**2 - 0.3**2 - 0.3**2)
    # Kolmogorov's distance also gives a band, whose coverage scipy computes.
    for count in (3, 9, 25):
        index, distance = numpy.arange(1, count + 1) / count, 0.3
        low, high = (index - distance).clip(min=0), (index - 1 / count + distance).clip(max=1)
        assert tuning_bands._holding(low, high) == pytest.approx(stats.kstwo.cdf(distance, count), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 5, 12, 30])
def test_equal_tails_have_exactly_the_requested_simultaneous_coverage(count: int) -> None:
    for alpha in (0.5, 0.05):
        tail = tuning_bands._tail(count, alpha)
        low, high = tuning_bands._order_limits(count, tail)
        assert tuning_bands._holding(low, high) == pytest.approx(1 - alpha, abs=1e-9)
        index = numpy.arange(1, count + 1)
        assert stats.beta.cdf(low, index, count - index + 1) == pytest.approx(numpy.full(count, tail))
        assert stats.beta.sf(high, index, count - index + 1) == pytest.approx(numpy.full(count, tail))


@pytest.mark.parametrize("kind", BANDS)
@pytest.mark.parametrize("ties", [False, True])
def test_bands_cover_the_whole_distribution_and_the_whole_curve(kind: str, ties: bool) -> None:
    generator, level, data_sets, trials = numpy.random.default_rng(0), 0.8, 600, 9
    grid = numpy.linspace(0, 1, 6)
    held = {"distribution": 0, "curve": 0}
    numbers = numpy.arange(1, 16)
    for _ in range(data_sets):
        drawn = generator.random(trials)
        if ties:
            drawn = grid[numpy.searchsorted(grid, drawn)]
        band = distribution_band(drawn, level, kind)
        places = grid if ties else numpy.linspace(0, 1, 2001)
        place = numpy.searchsorted(band.scores, places, side="right")
        truth = places
        held["distribution"] += bool(((band.lower[place] <= truth) & (truth <= band.upper[place] + 1e-12)).all())
        mean = numbers / (numbers + 1)
        if ties:
            mean = 1 - 0.2 * (grid[:-1, None] ** numbers).sum(axis=0)
        curve = expected_best_band(drawn, (0, 1), 15, level, kind)
        held["curve"] += bool(((curve.low <= mean + 1e-12) & (mean <= curve.high + 1e-12)).all())
    noise = 4 * numpy.sqrt(level * (1 - level) / data_sets)
    assert held["distribution"] / data_sets >= level - noise
    assert held["curve"] >= held["distribution"]
    if not ties:
        # Between the points checked, coverage can only fail more often.
        assert held["distribution"] / data_sets <= level + noise + 0.02


@pytest.mark.parametrize("kind", BANDS)
def test_the_band_contains_the_estimate_and_rises(kind: str) -> None:
    for seed in range(10):
        scores = numpy.random.default_rng(seed).normal(80, 5, 11).clip(0, 100)
        band = expected_best_band(scores, (0, 100), kind=kind)
        share = numpy.arange(scores.size + 1) / scores.size
        best = numpy.diff(share ** numpy.arange(1, scores.size + 1)[:, None]) @ numpy.sort(scores)  # Their own F^n.
        assert (band.low <= best).all()
        assert (best <= band.high).all()
        assert (numpy.diff(band.low) >= 0).all()
        assert (numpy.diff(band.high) >= 0).all()
        wider = expected_best_band(scores, (0, 100), level=0.99, kind=kind)
        assert (wider.low < band.low).all()
        assert (wider.high > band.high).all()


def test_equal_tails_are_narrower_at_the_upper_end() -> None:
    scores = numpy.random.default_rng(1).normal(size=30)
    narrow, even = distribution_band(scores), distribution_band(scores, kind="kolmogorov")
    assert narrow.lower[-1] > even.lower[-1]
    assert narrow.upper[0] < even.upper[0]
    assert narrow.upper[15] - narrow.lower[15] > even.upper[15] - even.lower[15]


def test_one_trial_bounds_nothing() -> None:
    mean = expected_best_band([70.0], (0, 100))
    # F is between .025 and .975 from the score on, and anything up to .975 below it.
    assert mean.low[0] == pytest.approx(100 - (0.975 * 70 + 30))
    assert mean.high[0] == pytest.approx(100 - 0.025 * 30)


def test_invalid_arguments_of_a_band_are_refused() -> None:
    with pytest.raises(ValueError, match="not within 0, 1"):
        expected_best_band([0.5, 70.0], (0, 1))
    with pytest.raises(ValueError, match="one of equal-tailed, kolmogorov"):
        distribution_band([1.0], kind="dkw")
    with pytest.raises(ValueError, match="at least 1 needed"):
        expected_best_band([1.0], (0, 1), trials=0)
