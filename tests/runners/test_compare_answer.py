"""What compare says of scores that are given: which row is chosen, what more labels do, what minutes leave out."""

from dataclasses import replace

import numpy

from amix.specs.tasks import find_task
from runners.own_data.answer import answer
from runners.own_data.budget import choose, expected_seconds
from runners.own_data.curves import curves_of
from runners.own_data.engine import default_rows, rows_of
from runners.own_data.standings import Folds, standings

MAJORITY = "majority class"


def test_minutes_take_the_costliest_rows_away_first_and_say_so() -> None:
    seconds = {"cheap": 1.0, "middle": 10.0, "dear": 100.0}
    everything = choose(seconds, 5, 2, 2, None)
    assert (everything.labels, everything.repeats, everything.left_out) == (tuple(seconds), 2, ())
    for minutes in (0.1, 0.8, 1.5, 5.0, 15.0, 60.0):
        found = choose(seconds, 5, 2, 2, minutes)
        assert found.seconds <= 60 * minutes or (found.labels, found.repeats) == (("cheap",), 1)
        assert found.labels == tuple(seconds)[: len(found.labels)]
        assert len(found.left_out) == 3 - len(found.labels) + (found.repeats < 2)
        if found.labels != tuple(seconds):
            more = expected_seconds(seconds, tuple(seconds)[: len(found.labels) + 1], 5, 2)
            assert more > 60 * minutes, "another row would have fitted"


def folds(**scores: list[float]) -> Folds:
    return Folds({name: numpy.array(values) for name, values in scores.items()}, 0.25)


TASK = replace(find_task("mini-rte"), metrics=("accuracy",))
BASE = [0.5, 0.52, 0.48, 0.5, 0.5]
HIGH = [0.80, 0.84, 0.78, 0.82, 0.81]


def test_the_cheapest_row_that_is_as_good_is_chosen() -> None:
    near = [value - 0.004 + 0.01 * (-1) ** place for place, value in enumerate(HIGH)]
    found = standings(folds(**{MAJORITY: BASE}, dear=HIGH, cheap=near), {"dear": 50.0, "cheap": 2.0}, {}, MAJORITY)
    assert (found.best.label, found.chosen.label, found.learnt) == ("dear", "cheap", True)
    said = answer(TASK, found, None, "", {})
    assert said[0].startswith("On your texts dear scores highest: accuracy 81.0, 95 % interval")
    assert "takes 25 times the time (50 s against 2 s a training). So cheap is chosen." in said[1]
    assert "which chance alone can give" in said[1]


def test_a_row_that_is_worse_is_not_chosen_for_being_cheap() -> None:
    worse = [value - 0.1 for value in HIGH]
    found = standings(folds(**{MAJORITY: BASE}, dear=HIGH, cheap=worse), {"dear": 50.0, "cheap": 2.0}, {}, MAJORITY)
    assert found.chosen.label == found.best.label == "dear"
    assert "The best of the cheaper rows, cheap, is 10.0 points" in answer(TASK, found, None, "", {})[1]
    unsure = [value - 0.1 * (place % 2) for place, value in enumerate(HIGH)]
    found = standings(folds(**{MAJORITY: BASE}, dear=HIGH, cheap=unsure), {"dear": 50.0, "cheap": 2.0}, {}, MAJORITY)
    assert found.of("cheap").p is not None
    assert found.of("cheap").p > 0.05  # type: ignore[operator]
    assert found.chosen.label == "dear", "four points less are not as good, though a test cannot show them"


def test_nothing_learnt_is_said() -> None:
    found = standings(folds(**{MAJORITY: BASE}, only=[0.5, 0.55, 0.46, 0.49, 0.52]), {"only": 1.0}, {}, MAJORITY)
    assert not found.learnt
    assert any("Do not rely on the model" in one for one in answer(TASK, found, None, "", {}))


def test_what_more_labels_do_and_where_finetuning_overtakes() -> None:
    sizes = (50, 100, 200)
    frozen = numpy.tile([0.70, 0.74, 0.77], (5, 1))
    tuned = numpy.tile([0.60, 0.72, 0.85], (5, 1))
    curves = curves_of(sizes, {"frozen": frozen, "tuned": tuned}, 250, 0.25)
    assert curves.overtakes("tuned", "frozen") == (
        "Between 100 and 200 training rows finetuning (tuned) overtakes the frozen encoder (frozen)."
    )
    gain = curves.gain("tuned")
    assert gain is not None
    assert 0 < gain.mean < 0.15
    behind = curves_of(sizes, {"frozen": frozen, "tuned": tuned - 0.1}, 250, 0.25)
    assert "stays behind the frozen encoder (frozen); by the fits it would overtake at about" in behind.overtakes(
        "tuned", "frozen"
    )
    ahead = curves_of(sizes, {"frozen": frozen, "tuned": frozen + 0.1}, 250, 0.25)
    assert "throughout" in ahead.overtakes("tuned", "frozen")
    undefined = curves_of(sizes, {"frozen": numpy.full((5, 3), numpy.nan)}, 250, 0.25)
    assert undefined.gain("frozen") is None


def test_the_usual_rows_exist_and_a_plus_adds_to_them() -> None:
    rows, frozen = default_rows()
    labels = [row.label for row in rows]
    assert frozen in labels
    assert [row.label for row in rows_of("")] == labels
    assert [row.label for row in rows_of("+mixout")] == [*labels, "mixout"]
    assert [row.label for row in rows_of("vanilla, mixout")] == ["vanilla", "mixout"]
