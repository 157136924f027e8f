"""Committed tables and figures follow from the committed records: tables as text, figures by the numbers they show."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from paper_figures.make import draw_all
from results.loading.frame import load
from results.loading.layout import MANIFEST, ROOT, Layout
from results.tabulating.collect import TOGETHER, collect

COMMITTED = Layout()
SUITES = sorted(path.stem for path in COMMITTED.records.glob("*.parquet"))
FOLDERS = ("amix", "baselines", "runners", "results", "paper_figures")
READMES = [ROOT / "README.md", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("README.md"))]
IMAGE = re.compile(r"\(([^()\s]+\.png)\)")
SHOWN = sorted({(path.parent / image).resolve() for path in READMES for image in IMAGE.findall(path.read_text())})
"""The images that a README shows."""
SHOWN_SUITES = sorted({image.parent.name for image in SHOWN} - {"bench"})
"""The suites whose figures a README shows; figures of benchmarks are not made from records."""


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """An empty output tree with the committed archives."""
    layout = Layout(tmp_path_factory.mktemp("remade"))
    layout.records.mkdir()
    for suite in SUITES:
        shutil.copy(COMMITTED.archive(suite), layout.archive(suite))
    return layout


def tables(layout: Layout, suite: str) -> list[str]:
    """The tables of a suite's one committed file."""
    return (layout.tables(suite) / f"{TOGETHER}.md").read_text(encoding="utf-8").split("\n### ")


def captions(folder: Path) -> dict[str, dict[str, str]]:
    return {figure["name"]: figure for figure in json.loads((folder / MANIFEST).read_text())["figures"]}


@pytest.mark.skipif(not SUITES, reason="no records are committed")
@pytest.mark.parametrize("suite", SUITES)
def test_committed_tables_are_made_from_the_committed_records(suite: str, remade: Layout) -> None:
    assert collect(suite, remade).problems == ()
    if not (COMMITTED.tables(suite) / f"{TOGETHER}.md").exists():
        pytest.skip(f"the records of {suite} are kept, its tables are not")
    assert tables(remade, suite) == tables(COMMITTED, suite), f"python -m runners collect --suite {suite}"


@pytest.mark.parametrize("suite", SHOWN_SUITES)
def test_figures_in_a_readme_show_the_committed_records(suite: str, remade: Layout) -> None:
    """The committed data and captions of each image equal those drawn now; pixels may differ between machines."""
    made, committed = remade.figures(suite), COMMITTED.figures(suite)
    draw_all(load(suite, remade), made, formats=())
    for image in (image for image in SHOWN if image.parent == committed):
        assert image.exists(), f"{image} is shown in a README: python -m runners figures --suite {suite}"
        data = f"{image.stem}.csv"
        pd.testing.assert_frame_equal(pd.read_csv(made / data), pd.read_csv(committed / data), rtol=1e-6, atol=1e-9)
        assert captions(made)[image.stem] == captions(committed)[image.stem]
