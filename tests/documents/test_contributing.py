"""The method of CONTRIBUTING.md is one file, which every command, table and contract test finds."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amix.training.method import Method
from helpers.toy_suite import save_encoder, write_suite
from results.loading.layout import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGES = ("amix", "baselines", "runners", "results", "paper_figures", "tests")
MADE = shutil.ignore_patterns("__pycache__", "records", "tables", "output", "golden")
NAME = "gradient_noise"
COMMANDS = """
import sys
import pytest
from amix.training.registry import built_in_methods
from runners.cli.app import app

*inputs, chosen = sys.argv[1:]
app(["sweep", *inputs, "--workers", "0"], standalone_mode=False)
app(["collect", *inputs], standalone_mode=False)
print("methods:", *built_in_methods())
loaded = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"  # A plugin of pytest's, by the sweep.
options = ["-q", "-p", "no:cacheprovider", "-W", loaded, "-k", chosen]
sys.exit(pytest.main(["tests/baselines/test_contract.py", *options]))
"""
"""A sweep, its tables, the list of methods and the contract tests, in one process, as each start takes eight seconds.

The sweep comes first, because it finds a method by its name alone.
"""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code with the method of CONTRIBUTING.md in the file named there."""
    folder = tmp_path_factory.mktemp("scratch")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=MADE)
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, folder / file)
    (path,) = re.findall(rf"`(baselines/\w+/{NAME}\.py)`", TEXT)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    (folder / path).write_text(code)
    return folder


def python(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def done(scratch: Path) -> str:
    """What the commands print in that copy; their tables are in its folder `out`."""
    suite = write_suite(scratch, save_encoder(scratch / "encoder"), tasks="mini-cola", methods=f"vanilla, {NAME}")
    # One family of encoders suffices to show that the method is found; some tests take another one for each method.
    chosen = f"{NAME} and (not roberta and not deberta and not mean or two_runs or regression or cost or counts)"
    return python(scratch, "-c", COMMANDS, "--suite", str(suite), "--out", str(scratch / "out"), chosen)


def test_the_method_is_in_lists_and_tables(scratch: Path, done: str) -> None:
    (listed,) = re.findall(r"^methods: (.*)$", done, flags=re.MULTILINE)
    assert NAME in listed.split()  # As `python -m runners methods` prints, which takes a minute.
    assert NAME in (scratch / "out/tables/tiny/main-n24.md").read_text().replace("\\_", "_")


def test_the_contract_tests_find_it_and_pass(done: str) -> None:
    assert re.search(r"^[7-9] passed", done, flags=re.MULTILINE), done


def test_it_passes_the_style_checks(scratch: Path) -> None:
    for check in (("check",), ("format", "--check")):
        python(scratch, "-m", "ruff", *check, "--no-cache", f"baselines/smoothness/{NAME}.py")


def test_the_table_of_hooks_lists_those_of_the_contract() -> None:
    hooks = re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.MULTILINE)
    public = [name for name, _ in inspect.getmembers(Method, inspect.isfunction) if not name.startswith("_")]
    assert len(hooks) == 11
    assert set(hooks) == set(public) - {"check_encoder", "export", "relative_passes"}
    listed = re.findall(r"\w+", inspect.getdoc(inspect.getmodule(Method)) or "")
    assert sorted(hooks, key=listed.index) == hooks
