"""The answers of compare for given scores: which row is chosen, what more labels do, what a time budget leaves out."""

from dataclasses import replace
from pathlib import Path

import numpy
import pandas
import pytest

from amix.specs.tasks import find_task
from runners.own_data.answer import answer
from runners.own_data.budget import choose, expected_seconds
from runners.own_data.curves import curves_of
from runners.own_data.engine import Outcome, default_rows, rows_of
from runners.own_data.folds import Unit
from runners.own_data.out_of_fold import out_of_fold
from runners.own_data.page import score_table
from runners.own_data.request import CompareError
from runners.own_data.standings import Folds, lowest_of, standings

MAJORITY = "majority class"


def test_a_time_budget_drops_the_most_expensive_rows_first_and_says_so() -> None:
    seconds = {"cheap": 1.0, "middle": 10.0, "dear": 100.0}
    everything = choose(seconds, 5, 2, 2, None)
    assert (everything.labels, everything.repeats, everything.left_out) == (tuple(seconds), 2, ())
    for minutes in (0.1, 0.8, 1.5, 5.0, 15.0, 60.0):
        choice = choose(seconds, 5, 2, 2, minutes)
        assert choice.seconds <= 60 * minutes or (choice.labels, choice.repeats) == (("cheap",), 1)
        assert choice.labels == tuple(seconds)[: len(choice.labels)]
        assert len(choice.left_out) == 3 - len(choice.labels) + (choice.repeats < 2)
        if choice.labels != tuple(seconds):
            more = expected_seconds(seconds, tuple(seconds)[: len(choice.labels) + 1], 5, 2)
            assert more > 60 * minutes, "another row would have fit"


def folds(**scores: list[float]) -> Folds:
    return Folds({name: numpy.array(values) for name, values in scores.items()}, 0.25)


TASK = replace(find_task("mini-rte"), metrics=("accuracy",))
BASE = [0.5, 0.52, 0.48, 0.5, 0.5]
HIGH = [0.80, 0.84, 0.78, 0.82, 0.81]


def test_the_cheapest_row_that_is_as_good_is_chosen() -> None:
    near = [value - 0.004 + 0.01 * (-1) ** place for place, value in enumerate(HIGH)]
    found = standings(folds(**{MAJORITY: BASE}, dear=HIGH, cheap=near), {"dear": 50.0, "cheap": 2.0}, {}, MAJORITY)
    assert (found.best.label, found.chosen.label, found.learnt) == ("dear", "cheap", True)
    sentences = answer(TASK, found, None, "", {})
    assert sentences[0].startswith("On your texts dear scores highest: accuracy 81.0, 95 % interval")
    assert "takes 25 times the time (50 s against 2 s per training). So cheap is chosen." in sentences[1]
    assert "which may be chance" in sentences[1]


def test_intervals_hold_only_possible_scores() -> None:
    wide = folds(**{MAJORITY: [0.1, 0.9, 0.2, 0.9, 0.5]}, only=[0.9, 0.1, 0.9, 0.2, 0.6])
    for metric, lowest in (("accuracy", 0.0), ("spearman", -1.0), ("matthews", -1.0), ("evaluate:mine", -1.0)):
        assert lowest_of(replace(TASK, metrics=(metric,))) == lowest
        score = replace(wide, scores={"only": 3 * wide.scores["only"] - 1}, lowest=lowest).score("only")
        assert (score.low, score.high) == (lowest, 1.0)


def test_a_gain_that_may_be_anything_is_not_promised() -> None:
    found = standings(folds(**{MAJORITY: BASE}, only=HIGH), {"only": 1.0}, {}, MAJORITY)
    noisy = numpy.array([[0.4, 0.9], [0.8, 0.5], [0.5, 0.8]])
    said = answer(TASK, found, curves_of((12, 24), {"only": noisy}, 30, 0.5), "", {})[-1]
    assert said == "What 100 more labels would bring only cannot be told from so few rows."


def test_a_gain_that_is_known_is_told_beside_one_that_is_not() -> None:
    found = standings(folds(**{MAJORITY: BASE}, sure=HIGH, unsure=BASE), {"sure": 1.0, "unsure": 2.0}, {}, MAJORITY)
    noisy = numpy.array([[0.4, 0.9], [0.8, 0.5], [0.5, 0.8]])
    steady = numpy.array([[0.70, 0.75], [0.71, 0.76], [0.72, 0.77]])
    said = answer(TASK, found, curves_of((12, 24), {"sure": steady, "unsure": noisy}, 30, 0.5), "", {})[-1]
    assert said.startswith("100 more labels: about +")
    assert "points for sure (" in said
    assert said.endswith(". What 100 more labels would bring unsure cannot be told from so few rows.")


def test_a_worse_row_is_not_chosen_for_being_cheap() -> None:
    worse = [value - 0.1 for value in HIGH]
    found = standings(folds(**{MAJORITY: BASE}, dear=HIGH, cheap=worse), {"dear": 50.0, "cheap": 2.0}, {}, MAJORITY)
    assert found.chosen.label == found.best.label == "dear"
    assert "The best of the cheaper rows, cheap, is 10.0 points" in answer(TASK, found, None, "", {})[1]
    unsure = [value - 0.1 * (place % 2) for place, value in enumerate(HIGH)]
    found = standings(folds(**{MAJORITY: BASE}, dear=HIGH, cheap=unsure), {"dear": 50.0, "cheap": 2.0}, {}, MAJORITY)
    assert found.of("cheap").p is not None
    assert found.of("cheap").p > 0.05  # type: ignore[operator]
    assert found.chosen.label == "dear", "four points less is not as good, even if the test cannot show it"


def test_the_answer_says_if_nothing_was_learnt() -> None:
    found = standings(folds(**{MAJORITY: BASE}, only=[0.5, 0.55, 0.46, 0.49, 0.52]), {"only": 1.0}, {}, MAJORITY)
    assert not found.learnt
    assert any("Do not rely on the model" in sentence for sentence in answer(TASK, found, None, "", {}))


def test_a_row_that_is_significantly_worse_than_the_majority_class_has_not_learnt() -> None:
    found = standings(folds(**{MAJORITY: HIGH}, only=BASE), {"only": 1.0}, {}, MAJORITY)
    assert found.majority.p is not None
    assert found.majority.p < 0.001, "the test is two-sided and finds a difference"
    assert not found.learnt
    assert any("Do not rely on the model" in sentence for sentence in answer(TASK, found, None, "", {}))


def test_a_requested_row_is_not_described_as_chosen_for_its_cost() -> None:
    near = [value - 0.004 + 0.01 * (-1) ** place for place, value in enumerate(HIGH)]
    scores, seconds = folds(**{MAJORITY: BASE}, cheap=HIGH, dear=near), {"dear": 50.0, "cheap": 2.0}
    found = standings(scores, seconds, {}, MAJORITY, asked="dear")
    sentence = answer(TASK, found, None, "", {})[1]
    assert sentence.startswith("dear is trained, as you asked: cheap is ")
    assert sentence.endswith("(2 s against 50 s per training).")
    assert "cheaper" not in sentence
    caption = score_table(TASK, found, {}, "").caption
    assert "trained, as asked" in caption
    assert "cheapest" not in caption
    found = standings(scores, seconds, {}, MAJORITY, asked="cheap")
    expected = "cheap is trained, as you asked (2 s per training); no row scores higher."
    assert answer(TASK, found, None, "", {})[1] == expected


def test_of_rows_with_equal_cost_none_is_called_cheaper() -> None:
    found = standings(folds(**{MAJORITY: BASE}, one=BASE, other=HIGH), {"one": 2.0, "other": 2.0}, {}, MAJORITY)
    assert "No row is cheaper, so other is chosen" in answer(TASK, found, None, "", {})[1]
    found = standings(folds(**{MAJORITY: BASE}, one=HIGH, other=HIGH), {"one": 2.0, "other": 2.0}, {}, MAJORITY)
    assert found.chosen is found.best


def test_a_row_without_a_model_is_neither_best_nor_chosen_nor_mentioned() -> None:
    low = [value - 0.2 for value in BASE]
    scores, seconds = folds(**{MAJORITY: BASE}, failed=BASE, only=low), {"failed": 1.0, "only": 9.0}
    found = standings(scores, seconds, {"failed": 5}, MAJORITY, ["failed"])
    assert found.best.label == found.chosen.label == "only"
    assert [row.label for row in found.trained] == ["only"]
    assert not any("failed" in sentence for sentence in answer(TASK, found, None, "", {}))
    with pytest.raises(CompareError, match="failed: all training runs failed"):
        standings(scores, seconds, {"failed": 5}, MAJORITY, ["failed"], "failed")
    with pytest.raises(CompareError, match="every row: all training runs failed"):
        standings(scores, seconds, {}, MAJORITY, ["failed", "only"])


def test_a_row_without_any_score_is_neither_best_nor_chosen() -> None:
    nothing = [float("nan")] * 5
    scores = folds(**{MAJORITY: nothing}, undefined=nothing, only=BASE)
    found = standings(scores, {"undefined": 1.0, "only": 9.0}, {}, MAJORITY)
    assert found.best.label == found.chosen.label == "only"
    with pytest.raises(CompareError, match="the score is undefined"):
        standings(folds(**{MAJORITY: BASE}, undefined=nothing), {}, {}, MAJORITY)


def test_combining_the_predictions_of_failed_runs_is_a_one_line_error() -> None:
    units = [Unit(TASK, Path(), 1, numpy.arange(3), 6, 3)]
    outcomes = [Outcome({}, None, None, 1.0, "failed", {})]
    with pytest.raises(CompareError, match="all training runs on the folds failed or diverged"):
        out_of_fold(TASK, pandas.DataFrame(), units, outcomes)


def test_curves_say_what_more_labels_do_and_when_finetuning_overtakes() -> None:
    sizes = (50, 100, 200)
    frozen = numpy.tile([0.70, 0.74, 0.77], (5, 1))
    tuned = numpy.tile([0.60, 0.72, 0.85], (5, 1))
    curves = curves_of(sizes, {"frozen": frozen, "tuned": tuned}, 250, 0.25)
    assert curves.overtakes("tuned", "frozen") == (
        "Between 100 and 200 training rows, finetuning (tuned) overtakes the frozen encoder (frozen)."
    )
    gain = curves.gain("tuned")
    assert gain is not None
    assert 0 < gain.mean < 0.15
    behind = curves_of(sizes, {"frozen": frozen, "tuned": tuned - 0.1}, 250, 0.25)
    assert "stays behind the frozen encoder (frozen); by the fits it would overtake it at about" in behind.overtakes(
        "tuned", "frozen"
    )
    ahead = curves_of(sizes, {"frozen": frozen, "tuned": frozen + 0.1}, 250, 0.25)
    assert "throughout" in ahead.overtakes("tuned", "frozen")
    undefined = curves_of(sizes, {"frozen": numpy.full((5, 3), numpy.nan)}, 250, 0.25)
    assert undefined.gain("frozen") is None


def test_the_default_rows_exist_and_a_plus_adds_to_them() -> None:
    rows, frozen = default_rows()
    labels = [row.label for row in rows]
    assert frozen in labels
    assert [row.label for row in rows_of("")] == labels
    assert [row.label for row in rows_of("+mixout")] == [*labels, "mixout"]
    assert [row.label for row in rows_of("vanilla, mixout")] == ["vanilla", "mixout"]
