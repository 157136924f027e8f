"""Several tasks at once, ranks, aggregates and the two-way bootstrap: what each claims, and edge cases."""

from itertools import product

import numpy
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, recall_score

from results import stats as statistics
from results.stats.examples import drawn_scores
from results.stats.weighted_metrics import METRICS

UNEQUAL = [[1.0, 2.0, -0.5], [0.3, 0.1], [0.2, 0.4, 0.6, -0.1]]


def test_every_task_has_the_same_weight_however_many_seeds_it_has() -> None:
    result = statistics.stratified_sign_flip(UNEQUAL)
    means = [numpy.mean(task) for task in UNEQUAL]
    assert result.mean == pytest.approx(numpy.mean(means))
    assert result.n == 9
    weights = numpy.concatenate([numpy.full(len(task), 1 / len(task)) for task in UNEQUAL])
    terms = weights * numpy.concatenate(UNEQUAL)
    sums = numpy.abs(numpy.array(list(product((-1, 1), repeat=9))) @ terms)
    assert result.p == pytest.approx((sums >= abs(terms.sum()) - 1e-12).mean(), abs=1e-12)


def test_with_one_task_the_tests_are_those_of_a_cell() -> None:
    task = [0.4, 1.2, -0.3, 0.8, 0.9, 0.1]
    assert statistics.stratified_sign_flip([task]) == statistics.sign_flip(task)
    welch = statistics.welch_satterthwaite([task])
    assert (welch.low, welch.high) == pytest.approx(statistics.t_interval(task))
    assert welch.p == pytest.approx(statistics.t_test(task))


def test_equivalence_is_two_one_sided_tests() -> None:
    task = numpy.array([0.4, 1.2, -0.3, 0.8, 0.9, 0.1])
    found = statistics.welch_satterthwaite([task])
    numbers = found.mean, found.standard_error, found.degrees_of_freedom
    for margin in (0.2, 1.0, 3.0):
        above = stats.ttest_1samp(task, -margin, alternative="greater").pvalue
        below = stats.ttest_1samp(task, margin, alternative="less").pvalue
        assert statistics.equivalence_p(*numbers, margin) == pytest.approx(max(above, below), abs=1e-12)
    assert [statistics.equivalence_p(0.5, 0.0, numpy.nan, margin) for margin in (1.0, 0.5)] == [0.0, 1.0]
    assert numpy.isnan(statistics.equivalence_p(0.5, numpy.nan, numpy.nan, 1.0))
    with pytest.raises(ValueError, match="margin"):
        statistics.equivalence_p(*numbers, 0.0)


def test_welch_satterthwaite_is_nan_when_the_spread_is_unknown() -> None:
    single = statistics.welch_satterthwaite([[1.0], [2.0, 3.0]])
    assert single.mean == 1.75
    assert numpy.isnan([single.standard_error, single.p, single.low, single.high]).all()
    constant = statistics.welch_satterthwaite([[1.0, 1.0], [3.0, 3.0]])
    assert (constant.low, constant.mean, constant.high, constant.p) == (2.0, 2.0, 2.0, 0.0)
    assert statistics.welch_satterthwaite([[0.0, 0.0]]).p == 1.0


def test_more_seeds_do_not_replace_tasks() -> None:
    # The method wins on only one of three tasks; more seeds of the same tasks are no evidence about other tasks.
    generator = numpy.random.default_rng(0)
    differences = numpy.array([3.0, 0.0, 0.0])[:, None] + 0.2 * generator.normal(size=(3, 30))
    assert statistics.stratified_sign_flip(differences).p < 1e-4
    assert statistics.t_test(statistics.task_means(differences)) > 0.2


def test_no_tasks_are_refused() -> None:
    for function in (statistics.stratified_sign_flip, statistics.welch_satterthwaite, statistics.task_means):
        with pytest.raises(ValueError, match="at least one task"):
            function([])


def test_pairwise_holm_is_the_corrected_stratified_test_of_each_pair() -> None:
    generator = numpy.random.default_rng(0)
    scores = [generator.normal([[0.0], [2.0], [2.1]], 1.0, (3, 6)) for _ in range(3)]
    table = statistics.pairwise_holm(scores)
    pairs = [(0, 1), (0, 2), (1, 2)]
    p = [statistics.stratified_sign_flip([task[i] - task[j] for task in scores]).p for i, j in pairs]
    assert [table[pair] for pair in pairs] == pytest.approx(statistics.holm(p))
    assert (table == table.T).all()
    assert (numpy.diag(table) == 1).all()
    with pytest.raises(ValueError, match="same methods"):
        statistics.pairwise_holm([numpy.ones((2, 3)), numpy.ones((3, 3))])


def test_cliques_are_maximal_runs_of_neighbours_without_a_difference() -> None:
    ranks = [3.0, 1.0, 2.0, 4.0]  # Best first: 1, 2, 0, 3.
    alike = numpy.eye(4, dtype=bool)
    assert statistics.cliques(ranks, alike) == []
    for i, j in ((1, 2), (2, 0), (0, 3), (2, 3)):
        alike[i, j] = alike[j, i] = True
    assert statistics.cliques(ranks, alike) == [[1, 2], [2, 0, 3]]
    assert statistics.cliques(ranks, numpy.ones((4, 4), dtype=bool)) == [[1, 2, 0, 3]]
    with pytest.raises(ValueError, match="shape"):
        statistics.cliques(ranks, alike[:3])


def test_ranks_share_ties_and_ignore_rounding() -> None:
    table = statistics.rank_table([[0.1 + 0.2, 0.3, 0.5], [0.9, 0.8, 0.7]])
    assert table.tolist() == [[2.5, 2.5, 1.0], [1.0, 2.0, 3.0]]
    with pytest.raises(ValueError, match="at least 1 x 2"):
        statistics.rank_table([[0.5], [0.4]])


def test_friedman_at_its_extremes() -> None:
    tied = statistics.friedman(numpy.ones((4, 3)))
    assert (tied.chi_squared, tied.chi_squared_p, tied.f, tied.f_p) == (0.0, 1.0, 0.0, 1.0)
    unanimous = statistics.friedman(numpy.tile([0.1, 0.2, 0.3, 0.4], (5, 1)))
    assert unanimous.chi_squared == 15.0
    assert unanimous.kendall_w == 1.0
    assert (unanimous.f, unanimous.f_p) == (numpy.inf, 0.0)


def test_with_few_tasks_hardly_any_of_eight_methods_differ() -> None:
    found = [round(statistics.critical_difference(8, tasks), 2) for tasks in (4, 5, 8, 9)]
    assert found == [5.25, 4.70, 3.71, 3.50]
    with pytest.raises(ValueError, match="two methods"):
        statistics.critical_difference(1, 4)


def test_widened_interval_is_wider() -> None:
    generator = numpy.random.default_rng(0)
    run = generator.normal(size=(4, 5))
    scores = 70 + run + 0.1 * generator.normal(size=(4, 5))
    plain = statistics.interquartile_mean_interval(scores, draws=4000, widened=False)
    wide = statistics.interquartile_mean_interval(scores, draws=4000)
    assert wide[1] - wide[0] == pytest.approx((plain[1] - plain[0]) * numpy.sqrt(5 / 4), rel=0.1)
    assert statistics.interquartile_mean_interval(scores, draws=4000) == wide


def test_a_profile_falls_and_counts_runs_above_each_threshold() -> None:
    profile = statistics.performance_profile([[0.2, 0.6], [0.4, 0.8, 0.9, 0.9]], [0.0, 0.5, 0.8, 0.95])
    assert profile.tolist() == [1.0, 0.625, 0.25, 0.0]


SCORERS = {
    "accuracy": accuracy_score,
    "f1": lambda y, p: f1_score(y, p, zero_division=0.0),
    "matthews": matthews_corrcoef,
    "pearson": lambda y, p: stats.pearsonr(y, p)[0],
    "spearman": lambda y, p: stats.spearmanr(y, p)[0],
    "macro_f1": lambda y, p: f1_score(y, p, average="macro", zero_division=0.0),
    "weighted_f1": lambda y, p: f1_score(y, p, average="weighted", zero_division=0.0),
    "balanced_accuracy": lambda y, p: recall_score(y, p, labels=numpy.unique(y), average="macro"),
}


@pytest.mark.parametrize("metric", METRICS)
def test_weighted_metric_is_the_metric_of_the_resample(metric: str) -> None:
    generator = numpy.random.default_rng(0)
    examples = 40
    if metric in ("pearson", "spearman"):
        labels = generator.normal(3, 1, examples).round(1)
        predictions = labels + generator.normal(0, 1, (3, examples)).round(1)
    else:
        classes = 2 if metric in ("accuracy", "f1") else 3
        labels = generator.integers(0, classes, examples)
        predictions = numpy.where(generator.random((3, examples)) < 0.3, 0, labels)
    drawn = generator.integers(0, examples, (5, examples))
    weights = numpy.stack([numpy.bincount(row, minlength=examples) for row in drawn]).astype(float)
    scores = METRICS[metric](weights, labels.astype(float), predictions.astype(float))
    expected = [[SCORERS[metric](labels[row], seed[row]) for seed in predictions] for row in drawn]
    assert scores == pytest.approx(numpy.array(expected), abs=1e-9)


@pytest.mark.parametrize("metric", ["f1", "matthews", "pearson", "spearman"])
def test_a_constant_prediction_scores_zero(metric: str) -> None:
    labels = numpy.array([0.0, 1.0, 1.0, 0.0, 1.0])
    assert METRICS[metric](numpy.ones((2, 5)), labels, numpy.zeros((1, 5))).tolist() == [[0.0], [0.0]]


def predictions_of(labels: numpy.ndarray, right: float, generator: numpy.random.Generator) -> numpy.ndarray:
    return numpy.where(generator.random((6, labels.size)) < right, labels, 1 - labels)


def test_drawn_scores_of_one_seed_spread_as_the_examples_do() -> None:
    labels, right = numpy.zeros(400), numpy.arange(400) % 4 > 0
    predictions = numpy.where(right, 0.0, 1.0)[None, None]
    drawn = drawn_scores(predictions, labels, "accuracy", 4000)[:, 0]
    assert drawn.mean() == pytest.approx(0.75, abs=0.002)
    assert drawn.std() == pytest.approx(numpy.sqrt(0.75 * 0.25 / 400), rel=0.05)


def test_drawn_scores_of_seeds_spread_as_their_mean_does_and_are_paired() -> None:
    labels = numpy.zeros(200)
    shares = numpy.array([0.5, 0.6, 0.9])  # Of right examples, the same ones as far as they go.
    seeds = (numpy.arange(200) / 200 >= shares[:, None]).astype(float)
    drawn = drawn_scores(numpy.stack([seeds, seeds]), labels, "accuracy", 6000)
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert drawn[:, 0].mean() == pytest.approx(shares.mean(), abs=0.005)
    of_seeds = shares.var(ddof=1) / 3
    assert drawn[:, 0].var() > of_seeds
    assert drawn[:, 0].var() == pytest.approx(of_seeds, rel=0.15)
