"""The table of methods is complete, up to date in the README, and states how parity was checked."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from amix.training.registry import built_in_methods
from results.loading.layout import ROOT
from results.tabulating.methods import NAME
from results.tabulating.readme import markers
from results.tabulating.render.markdown import markdown
from results.tabulating.table import Table
from runners.benchmarks.trained_share import trainable_share
from runners.cli.app import app
from runners.cli.listings import published_methods_table

METHODS = built_in_methods()


@pytest.fixture(scope="module")
def table() -> Table:
    return published_methods_table()


def test_every_method_has_its_row(table: Table) -> None:
    assert [row[0].value for row in table.rows] == list(METHODS)
    assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_readme_shows_what_the_command_writes(table: Table) -> None:
    opening, closing = markers(NAME)
    shown = (ROOT / "baselines" / "README.md").read_text(encoding="utf-8").partition(opening)[2].partition(closing)[0]
    assert shown.strip() == markdown(table).strip(), "python -m runners publish"


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_called_matched_exactly_if_cases_measure_it(method: str) -> None:
    info = METHODS[method].info
    assert ("matched" in info.parity) == bool(info.cases)


def test_the_trained_share_is_relative_to_the_plain_model() -> None:
    assert trainable_share(METHODS["vanilla"], "minilm-l2", 10) == 1
    assert 0 < trainable_share(METHODS["lora"], "minilm-l2", 10) < 0.02
    assert trainable_share(METHODS["vanilla"], "minilm-l2", 10) == 1, "the model of one method is not another's"


def test_listing_writes_to_the_given_folder_and_nowhere_else(tmp_path: Path) -> None:
    listed = ROOT / "baselines" / "README.md"
    before = listed.read_text(encoding="utf-8")
    arguments = ["methods", "--encoder", "minilm-l2", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "minilm-l2" in (tmp_path / "tables" / "methods.md").read_text()
    assert (tmp_path / "tables" / "methods.csv").exists()
    assert listed.read_text(encoding="utf-8") == before
