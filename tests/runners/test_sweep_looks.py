"""A real (tiny) sweep of a suite with two looks: what it runs, prints and shows."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.toy_suite import save_encoder, write_suite
from results.analysis.claims import claims
from results.loading.frame import load
from results.loading.layout import Layout
from runners.cli.app import app

pytestmark = pytest.mark.processes


def test_a_sweep_looks_twice_and_reports_both_looks(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, save_encoder(tmp_path / "encoder"), tasks="mini-cola", methods="vanilla, mixout")
    suite.write_text(suite.read_text() + "protocol: {looks: [1, 2]}\n")
    arguments = ["sweep", "--suite", str(suite), "--out", str(tmp_path / "out"), "--workers", "0"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    output = result.output
    assert output.count("Not decided yet: mixout.") == 1
    assert output.count("Without a decision after the last look: mixout.") == 1
    assert output.index("Not decided yet") < output.index("seed 2") < output.index("Without a decision")
    assert "4 runs: 4 ok" in output
    claim = claims(load("tiny", Layout(tmp_path / "out")), "24", "vanilla")["mixout"]
    assert (claim.seeds, claim.comparisons) == (2, 1)
    again = CliRunner().invoke(app, arguments)
    assert "Nothing is left to run" in again.output
