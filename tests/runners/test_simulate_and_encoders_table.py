"""The commands simulate and encoders table: each writes its files where --out says, without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import synthetic_records
from results.loading.layout import ROOT
from runners.cli.simulate_command import Name

FILES = {
    Name.PAIRED_TESTS: ["paired-tests.csv"],
    Name.SEQUENTIAL: ["sequential.csv", "sequential.md"],
    Name.VARIANCE_COMPONENTS: ["variance-components.csv", "variance-components.md"],
    Name.CROSS_VALIDATION: ["cross-validation.csv"],
}


def run(*arguments: str | Path) -> str:
    """Run a command in a process of its own, and check that it never imports torch."""
    command = [str(argument) for argument in arguments]
    code = f"import sys; from runners.cli.app import app; app({command!r}, standalone_mode=False)"
    code += "; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", list(Name))
def test_each_simulation_writes_its_files(name: Name, tmp_path: Path) -> None:
    printed = run("simulate", name, "--data-sets", "2", "--seed", "3", "--out", tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == FILES[name]
    for file in FILES[name]:
        assert file in printed
        assert (ROOT / "results" / "tables" / file).is_file(), "a simulation's files are committed"


def test_the_encoders_table_has_a_column_per_suite(tmp_path: Path) -> None:
    for name, encoder in (("small", "minilm-l6"), ("large", "bert-large")):
        synthetic_records.write(synthetic_records.Suite(name=name, encoder=encoder), tmp_path)
    run("encoders", "table", "small", "large", "--out", tmp_path)
    table = (tmp_path / "tables" / "encoders-n100.md").read_text()
    assert "minilm-l6" in table
    assert "bert-large" in table
    assert "Made by: python -m runners encoders table small large --size 100" in table
