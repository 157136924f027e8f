"""Diagnostics of a search: read back as written; unknown names and wrong shapes are refused."""

from typing import Any, get_args

import numpy
import pytest
from numpy.typing import NDArray

from amix.agwm.diagnostics import DECILES, STORED, DiagnosticsError, Noted, SearchNotes, read, write
from amix.agwm.search_rules import RULES
from amix.agwm.split_search import AttentionRule

MODULES = ("query", "key", "value")
SPLITS, ITERATIONS, STEPS = 2, 7, 4
SHAPES: dict[Noted, tuple[int, ...]] = {
    Noted.LOWER_LOSS: (ITERATIONS,),
    Noted.UPPER_LOSS: (STEPS,),
    Noted.DIRECT_NORM: (STEPS,),
    Noted.IMPLICIT_NORM: (STEPS,),
    Noted.DIRECT_IMPLICIT_COSINE: (STEPS,),
    Noted.ATTENTION_ITERATION: (STEPS,),
    Noted.ATTENTION_MEAN: (STEPS, 3),
    Noted.ATTENTION_MIN: (STEPS, 3),
    Noted.ATTENTION_AT_ONE: (STEPS, 3),
    Noted.TASK_SHARE: (1, 3),
    Noted.PRETRAINED_SHARE: (1, 3),
    Noted.ATTENTION_DECILES: (1, 3, DECILES),
}


def noted(split: int) -> dict[Noted, NDArray[Any]]:
    generator = numpy.random.default_rng(split)
    arrays: dict[Noted, NDArray[Any]] = {name: generator.random(shape) for name, shape in SHAPES.items()}
    return arrays | {Noted.ATTENTION_ITERATION: numpy.arange(1, ITERATIONS + 1, 2)}


def stored() -> dict[str, NDArray[Any]]:
    """The arrays of a run's side file, as runs write them."""
    diagnostics: dict[str, list[Any]] = {}
    for split in range(SPLITS):
        write(diagnostics, MODULES, noted(split))
    return {f"diagnostics/{name}": numpy.asarray(values) for name, values in diagnostics.items()}


def test_every_diagnostic_is_read_back_as_written() -> None:
    notes = read(stored() | {"test_predictions": numpy.zeros(3)})
    assert notes is not None
    assert set(SHAPES) == set(Noted) == set(notes.arrays)
    assert notes.modules == MODULES
    for name in Noted:
        written = [noted(split)[name] for split in range(SPLITS)]
        assert numpy.array_equal(notes[name], written), name
        assert numpy.array_equal(notes.at_end(name), [values[-1] for values in written]), name


def test_a_run_without_a_search_has_no_diagnostics() -> None:
    assert read({"test_predictions": numpy.zeros(3), "diagnostics/gates": numpy.zeros((2, 3))}) is None


@pytest.mark.parametrize(("moved", "expected"), [(None, [1, 5, 9, 13]), ([[1, 6, 11, 15]], [1, 6, 11, 15])])
def test_iterations_are_the_recorded_ones_or_at_even_intervals(
    moved: list[list[int]] | None, expected: list[int]
) -> None:
    arrays = {Noted.LOWER_LOSS: numpy.ones((1, 15)), Noted.UPPER_LOSS: numpy.ones((1, 4))}
    if moved is not None:
        arrays[Noted.ATTENTION_ITERATION] = numpy.asarray(moved, float)
    notes = SearchNotes(("dense",), arrays)
    assert notes.iterations(Noted.UPPER_LOSS).tolist() == expected
    assert notes.iterations(Noted.LOWER_LOSS).tolist() == list(range(1, 16))


WRONG: dict[str, tuple[str, Any, str]] = {
    "another name": ("attention_means", numpy.ones((STEPS, 3)), "the unknown name 'attention_means'"),
    "no axis of modules": ("attention_mean", numpy.ones(STEPS), r"'attention_mean' with the shape \(\d, 4\)"),
    "other modules": ("task_share", numpy.ones((1, 2)), r"'task_share' with the shape \(\d, 1, 2\)"),
    "an axis too many": ("lower_loss", numpy.ones((ITERATIONS, 3)), r"'lower_loss' with the shape \(\d, 7, 3\)"),
    "quartiles": ("attention_deciles", numpy.ones((1, 3, 5)), r"'attention_deciles' with the shape \(\d, 1, 3, 5\)"),
    "no steps": ("upper_loss", numpy.ones(0), r"'upper_loss' with the shape \(\d, 0\)"),
    "words": ("upper_loss", numpy.array(["a"] * STEPS), "'upper_loss' with the shape .* and the type 'U'"),
}


@pytest.mark.parametrize(("name", "values", "message"), WRONG.values(), ids=list(WRONG))
def test_writer_and_reader_refuse_unknown_names_and_wrong_shapes(name: str, values: Any, message: str) -> None:
    diagnostics: dict[str, list[Any]] = {}
    with pytest.raises(DiagnosticsError, match=message):
        write(diagnostics, MODULES, {**noted(0), name: values})  # type: ignore[dict-item]
    assert not diagnostics
    with pytest.raises(DiagnosticsError, match=message):
        read(stored() | {f"{STORED}{name}": numpy.stack([values] * SPLITS)})


def test_a_search_without_its_loss_is_refused() -> None:
    arrays = noted(0)
    del arrays[Noted.LOWER_LOSS]
    with pytest.raises(DiagnosticsError, match="no 'lower_loss'"):
        write({}, MODULES, arrays)


def test_reading_a_missing_diagnostic_is_an_error() -> None:
    diagnostics: dict[str, list[Any]] = {}
    write(diagnostics, MODULES, {Noted.LOWER_LOSS: numpy.ones(ITERATIONS)})
    notes = read({f"diagnostics/{name}": numpy.asarray(values) for name, values in diagnostics.items()})
    assert notes is not None
    assert notes.has(Noted.LOWER_LOSS)
    assert not notes.has(Noted.LOWER_LOSS, Noted.UPPER_LOSS)
    with pytest.raises(DiagnosticsError, match="recorded no upper_loss; it recorded lower_loss"):
        notes[Noted.UPPER_LOSS]


def test_every_rule_has_a_name_and_every_name_a_rule() -> None:
    assert set(RULES) == set(get_args(AttentionRule))
