"""Committed tables and figures follow from the committed records: tables as text, figures by the numbers they show."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from paper_figures.make import TOGETHER as SUITES_TOGETHER
from paper_figures.make import draw_all, make_together
from results.loading.frame import load
from results.loading.layout import MANIFEST, ROOT, Layout
from results.tabulating.collect import TOGETHER, collect
from runners.cli.publish_command import VERDICT

COMMITTED = Layout()
SUITES = sorted(path.stem for path in COMMITTED.records.glob("*.parquet"))
FOLDERS = ("amix", "baselines", "runners", "results", "paper_figures")
READMES = [ROOT / "README.md", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("README.md"))]
IMAGE = re.compile(r"\(([^()\s]+\.png)\)")
SHOWN = sorted({(path.parent / image).resolve() for path in READMES for image in IMAGE.findall(path.read_text())})
"""The images that a README shows."""
SHOWN_SUITES = sorted({image.parent.name for image in SHOWN} - {"bench", SUITES_TOGETHER})
"""The suites whose figures a README shows; those of benchmarks are not made from records, and one is of two suites."""


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


@pytest.mark.skipif("lowres-cpu" not in SUITES or "tune-minilm" not in SUITES, reason="no records of these suites")
def test_the_history_of_lowres_cpu_is_that_of_its_records() -> None:
    """Times and flags in the table of results/README.md; the history of the file itself is in git."""
    results, tuning = load("lowres-cpu", COMMITTED), load("tune-minilm", COMMITTED)
    rows = [
        (results.plan.runs[key].task, results.plan.runs[key].seed in results.plan.exploratory_seeds, record)
        for key, record in results.records.items()
    ]
    dirty = {(task, added) for task, added, record in rows if record["environment"]["git_dirty"]}
    assert dirty == {("sst2", False)}
    assert sum(record["environment"]["git_dirty"] for *_, record in rows) == 60

    def first(task: str, added: bool) -> str:
        return min(str(record["environment"]["time"]) for t, a, record in rows if (t, a) == (task, added))[:16]

    assert first("sst2", False) == "2026-11-26T08:01"
    assert first("qnli", False) == "2026-11-23T11:51"
    assert first("stsb", False) < "2026-11-23T09:10" < first("qqp", False)
    assert min(first(task, True) for task in results.plan.tasks) == "2026-11-28T03:53"
    assert min(record["environment"]["time"] for record in tuning.records.values())[:16] == "2026-11-23T06:17"


def test_what_is_said_of_the_reliability_diagram_agrees_with_its_data() -> None:
    text = " ".join((ROOT / "results" / "README.md").read_text(encoding="utf-8").split())
    curves = pd.read_csv(COMMITTED.figures("lowres-cpu") / "reliability-n100-300.csv").query("state == 'before'")
    curves["right"] = curves["n"] * curves["correct"]
    sure = curves[curves["confidence"] > 0.98].groupby(["task", "label"])[["n", "right"]].sum()
    share = sure["n"] / curves.groupby(["task", "label"])["n"].sum()
    correct = sure["right"] / sure["n"]
    assert len(share) == 3 * 2
    for values, words in ((share, "% of a task's predictions are in bins"), (correct, "% are correct.*")):
        assert f"{100 * values.min():.0f} to {100 * values.max():.0f} {words}" in text
    assert "mean confidence above 0.98" in text


@pytest.mark.skipif(not COMMITTED.figures(SUITES_TOGETHER).exists(), reason="one of the two suites has no records yet")
def test_the_figure_over_both_encoders_shows_the_committed_records(remade: Layout) -> None:
    assert make_together(VERDICT, remade)
    made, committed = remade.figures(SUITES_TOGETHER), COMMITTED.figures(SUITES_TOGETHER)
    assert captions(made) == captions(committed)
    pd.testing.assert_frame_equal(pd.read_csv(made / "forest.csv"), pd.read_csv(committed / "forest.csv"), rtol=1e-6)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
@pytest.mark.parametrize("suite", sorted(path.stem for path in (ROOT / "runners" / "suites").glob("*.yaml")))
def test_the_tables_of_every_suite_but_quick_can_be_committed(suite: str) -> None:
    path = f"results/tables/{suite}/{TOGETHER}.md"
    ignored = subprocess.run(["git", "check-ignore", "--no-index", "-q", path], cwd=ROOT, check=False).returncode
    assert ignored == (0 if suite == "quick" else 1), f"{path}: see .gitignore"


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
