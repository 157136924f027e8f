"""The figure of one run's search: its numbers, its files, and the error for runs without one."""

from pathlib import Path

import numpy
import pytest

from helpers import synthetic_records
from paper_figures.figures.one_search import NoSearch, make_one, search_of_run
from paper_figures.style import style
from results.loading.frame import load
from results.loading.layout import Layout

SUITE = synthetic_records.Suite(
    tasks=("rte",), methods=("vanilla", "agwm"), seeds=(1, 2), predictions=True, searching=("agwm",)
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return synthetic_records.write(SUITE, tmp_path)


def test_one_run_is_drawn_with_its_own_numbers(layout: Layout) -> None:
    noted = synthetic_records.search("agwm", "rte", 2)
    with style():
        drawing = search_of_run(load("toy", layout), "100", "agwm", "rte", 2)
    data = drawing.data
    assert data["B"].to_numpy() == pytest.approx(noted["diagnostics/search/pretrained_share"][:, -1].mean(axis=0))
    assert data["1 − A"].to_numpy() == pytest.approx(1 - noted["diagnostics/search/task_share"][:, -1].mean(axis=0))
    assert data["decile 0"].to_numpy() == pytest.approx(
        noted["diagnostics/search/attention_deciles"][:, -1, :, 0].mean(axis=0)
    )
    titles = [axes.get_title() for axes in drawing.figure.axes[:4]]
    assert titles == ["1 − A", "B", "Losses", "Attention factors"]
    lower, upper = drawing.figure.axes[2].lines
    assert numpy.asarray(upper.get_xdata()).tolist() == [1, 3, 5, 7, 9, 11]
    assert lower.get_ydata() == pytest.approx(noted["diagnostics/search/lower_loss"].mean(axis=0))


def test_its_files_are_named_after_the_run(layout: Layout) -> None:
    files = make_one("toy", layout, "agwm/rte/1")
    assert {file.name for file in files} == {f"search-agwm-rte-1-n100.{end}" for end in ("pdf", "svg", "png", "csv")}
    assert all(file.stat().st_size > 500 for file in files)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        ("vanilla/rte/1", "there are: agwm/rte/1, agwm/rte/2"),
        ("agwm/rte/3", "no search of agwm/rte/3"),
        ("agwm/rte", "give a run as label/task/seed"),
        ("agwm/rte/one", "give a run as"),
    ],
)
def test_a_run_without_a_search_is_refused(layout: Layout, run: str, words: str) -> None:
    with pytest.raises(NoSearch, match=words):
        make_one("toy", layout, run)
