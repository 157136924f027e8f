"""Figures: the numbers they draw, the same bytes when remade, and none where there is nothing to draw."""

from pathlib import Path

import pandas as pd
import pytest
import synthetic

from paper_figures.drawing import looks, style
from paper_figures.figures import draw_all, drawings, made_before, make
from paper_figures.trade_offs import pareto
from results.frame import load
from results.layout import Layout

SUITE = synthetic.Suite(
    outcomes={("lora", "rte", 3): "diverged", ("mixout", "rte", 1): "oom"}, left_out=(("mixout", "sst2", 2),)
)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return synthetic.write(SUITE, tmp_path_factory.mktemp("figures"))


def test_remade_figures_are_the_same_bytes(layout: Layout) -> None:
    first = {path: path.read_bytes() for path in make("toy", layout)}
    assert {path.suffix for path in first} == {".pdf", ".svg", ".png", ".csv", ".json"}
    assert {path: path.read_bytes() for path in make("toy", layout)} == first


def test_every_figure_has_its_numbers_title_and_caption(layout: Layout) -> None:
    with style():
        made = dict(drawings(load("toy", layout)))
    assert {"strips-n100", "mean-against-spread-n100", "cost-against-score-n100"} <= set(made)
    for drawing in made.values():
        assert len(drawing.data) > 0
        assert drawing.title
        assert drawing.caption.endswith(".")


def test_strips_draw_every_scored_run_and_mark_the_failed_one(layout: Layout) -> None:
    with style():
        drawing = dict(drawings(load("toy", layout)))["strips-n100"]
    assert len(drawing.data) == 3 * 4 * 6 - 2
    panel = drawing.figure.axes[1]
    crosses = [line for line in panel.lines if line.get_marker() == "x" and len(line.get_xdata()) > 0]
    assert [line.get_xdata()[0] for line in crosses] == [pytest.approx(52.7)]
    assert [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()] == list(SUITE.methods)


def test_the_pareto_front_is_what_nothing_beats() -> None:
    assert pareto([1, 2, 3, 1], [50, 60, 60, 40]) == [True, True, False, False]
    assert pareto([1, 1], [50, 50]) == [True, True]


def test_methods_look_different_and_reference_and_focus_always_the_same(layout: Layout) -> None:
    table = looks(load("toy", layout).plan)
    assert len({(look.colour, look.marker) for look in table.values()}) == len(table)
    assert (table["vanilla"].marker, table["agwm"].marker) == ("o", "*")


def test_figures_of_other_records_are_not_taken_for_these(layout: Layout, tmp_path: Path) -> None:
    results = load("toy", layout)
    draw_all(results, tmp_path)
    assert [figure.name for figure in made_before(results, tmp_path) or []]
    assert made_before(load("toy", layout, "best_dev"), tmp_path) is None
    next(tmp_path.glob("*.svg")).unlink()
    assert made_before(results, tmp_path) is None


def test_nothing_run_draws_nothing(tmp_path: Path) -> None:
    suite = synthetic.Suite(tasks=("rte",), methods=("vanilla",), seeds=(1,), left_out=(("vanilla", "rte", 1),))
    files = make("toy", synthetic.write(suite, tmp_path))
    assert [file.name for file in files] == ["figures.json"]


def test_the_csv_beside_a_figure_holds_the_numbers_drawn(layout: Layout) -> None:
    path = next(path for path in make("toy", layout) if path.name == "cost-against-score-n100.csv")
    table = pd.read_csv(path).set_index("label")
    assert table.loc["vanilla", "passes"] == 1
    assert table.loc["agwm", "passes"] == 2
