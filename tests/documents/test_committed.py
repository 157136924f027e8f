"""Tables, figures and pages of every committed suite are what its committed records give, byte for byte."""

import shutil
from pathlib import Path

import pytest

from paper_figures.make import make
from paper_figures.page.report import write
from results.loading.layout import Layout
from results.tabulating.collect import collect

COMMITTED = Layout.default()
SUITES = sorted(path.stem for path in COMMITTED.records.glob("*.parquet"))


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """An empty output tree with the committed archives."""
    layout = Layout(tmp_path_factory.mktemp("remade"))
    layout.records.mkdir()
    for suite in SUITES:
        shutil.copy(COMMITTED.archive(suite), layout.archive(suite))
    return layout


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "report.html"}


def assert_same(made: dict[str, bytes], kept: dict[str, bytes], command: str) -> None:
    assert sorted(made) == sorted(kept), command
    assert [name for name in made if made[name] != kept[name]] == [], command


@pytest.mark.skipif(not SUITES, reason="no suite's records are committed")
@pytest.mark.parametrize("suite", SUITES)
def test_committed_results_are_those_of_the_committed_records(suite: str, remade: Layout) -> None:
    assert collect(suite, remade).problems == ()
    if not COMMITTED.page(suite).exists():
        pytest.skip(f"the records of {suite} are kept, its tables and figures are not")
    assert_same(contents(remade.tables(suite)), contents(COMMITTED.tables(suite)), "python -m runners collect")
    make(suite, remade)
    assert_same(contents(remade.figures(suite)), contents(COMMITTED.figures(suite)), "python -m runners figures")
    assert write(suite, remade).read_bytes() == COMMITTED.page(suite).read_bytes(), "python -m runners report"
