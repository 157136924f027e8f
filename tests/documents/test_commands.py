"""Every command that a document or a committed table names exists, and so does every test."""

import ast
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import TyperGroup, get_command

from results.loading.layout import ROOT
from results.tabulating.readme import readme_files
from runners.cli.app import app

DOCUMENTS = sorted({*readme_files(), ROOT / "CONTRIBUTING.md", *(ROOT / "results" / "tables").rglob("*.md")})
COMMAND = re.compile(r"(?:python|torchrun [^\n]*?) -m (runners\b[^\n`|(]*)")
TEST = re.compile(r"\b(tests/[\w/]+\.py)(?:::(\w+))?")
ENTRY_POINT = re.compile(r"python -m (\w+)\.(?!cli\.dask)")


def commands(document: Path) -> Iterator[list[str]]:
    """The words after `-m runners` of each command in the document, without comments."""
    for words in COMMAND.findall(document.read_text(encoding="utf-8")):
        yield shlex.split(words.replace("\\", "").replace("'", " "), comments=True)[1:]


def exists(words: list[str]) -> bool:
    """Whether the command, its subcommand and its options are declared."""
    command = get_command(app)
    while words and isinstance(command, TyperGroup) and words[0].rstrip(".,;:)") in command.commands:
        command = command.commands[words[0].rstrip(".,;:)")]
        words = words[1:]
    unknown = isinstance(command, TyperGroup) and bool(words) and not words[0].startswith("-")
    declared = {flag for parameter in command.params for flag in parameter.opts} | {"--help", "-h"}
    return not unknown and all(word.split("=")[0] in declared for word in words if re.match(r"--?[a-z]", word))


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_command_in_a_document_exists(document: Path) -> None:
    assert [words for words in commands(document) if not exists(words)] == []


def test_a_command_that_does_not_exist_is_found(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text(
        "`python -m runners sweep --suite x`, `python -m runners swep`\npython -m runners plan --sute x # a\n"
        "python -m runners bench lop"
    )
    assert [exists(words) for words in commands(document)] == [True, False, False, False]


def missing_tests(text: str) -> list[str]:
    """The files and functions of tests that the text names and that do not exist."""
    return [match[0] for match in TEST.finditer(text) if not _is_there(match[1], match[2])]


def _is_there(file: str, function: str | None) -> bool:
    path = ROOT / file
    return path.exists() and (function is None or f"\ndef {function}(" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_every_test_in_a_document_exists(document: Path) -> None:
    assert missing_tests(document.read_text(encoding="utf-8")) == []


def test_each_fault_has_a_test() -> None:
    text = (ROOT / "runners" / "README.md").read_text(encoding="utf-8")
    section = text.partition("\n## When something goes wrong\n")[2].partition("\n## ")[0]
    rows = [row for row in section.splitlines() if row.startswith("| ") and not row.startswith(("| **", "| ---"))]
    assert len(rows) > 30
    assert [row for row in rows[1:] if "::test_" not in row.rsplit("|", 2)[1]] == []


def test_a_test_that_does_not_exist_is_found() -> None:
    named = "`tests/documents/test_commands.py::test_each_fault_has_a_test`, `tests/documents/test_commands.py`"
    assert missing_tests(named) == []
    missing = ["tests/test_x.py", "tests/documents/test_commands.py::test_each"]
    assert missing_tests(" and ".join(missing)) == missing


def test_results_and_figures_are_made_by_the_commands_of_runners_alone() -> None:
    """No module is an entry point in what people read, but the one that generates the embedded tasks."""
    named = {found for path in DOCUMENTS for found in ENTRY_POINT.findall(path.read_text(encoding="utf-8"))}
    assert not named & {"results", "paper_figures", "runners"}
    for folder in ("results", "paper_figures"):
        for path in (ROOT / folder).rglob("*.py"):
            assert "__main__" not in path.read_text(encoding="utf-8"), path


RESULT = re.compile(r"\bresults/[\w./-]+\.(?:md|csv|json|parquet)\b")


def test_a_result_that_a_configuration_cites_is_committed() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    configurations = [name for name in files if name.endswith((".yaml", ".toml"))]
    cited = {(name, one) for name in configurations for one in RESULT.findall((ROOT / name).read_text("utf-8"))}
    assert any(name == "runners/own_data/rows.yaml" for name, _ in cited)
    assert {(name, one) for name, one in cited if one not in files} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_nobody_is_told_to_install_what_is_in_the_requirements(document: Path) -> None:
    required = set(re.findall(r"^([\w-]+)", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE))
    for command in re.findall(r"`pip install ([^`]*)`", document.read_text(encoding="utf-8")):
        assert not required & {re.split(r"[=<>]", word)[0] for word in command.split()}, command


@pytest.mark.parametrize("folder", ["amix/agwm", "amix/runs", "amix/training", "runners/planning", "runners/sweeping"])
def test_a_folder_says_what_each_of_its_files_is_for(folder: str) -> None:
    said = set(re.findall(r"\w+", ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text())) or ""))
    assert {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"} - said == set()
