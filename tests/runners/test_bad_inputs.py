"""Bad inputs of every kind end in one line that names the place, with an exit code, and leave nothing behind."""

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import datasets
import huggingface_hub.constants
import pytest

from amix.training import foreign_code
from helpers.bad_inputs.apart import apart_cases
from helpers.bad_inputs.carry_out import ROOT, lay_out, outcome_of, problems
from helpers.bad_inputs.case import BadInput, every_line, on_suite, suite_with
from helpers.bad_inputs.encoders import encoder_cases
from helpers.bad_inputs.files import file_cases
from helpers.bad_inputs.legal import LegalInput, legal_inputs
from helpers.bad_inputs.options import option_cases
from helpers.bad_inputs.plugins import METHODS, plugin_cases
from helpers.bad_inputs.suites import suite_cases
from helpers.bad_inputs.tables import table_cases
from helpers.toy_encoders import save_encoder
from helpers.warm_processes import warm_workers

TEMPLATE = Path("encoder")
"""Stands for the tiny encoder until a test has made it."""
AT_A_TIME = 40
CASES: tuple[BadInput, ...] = (
    *suite_cases(), *file_cases(), *table_cases(), *option_cases(), *plugin_cases(), *encoder_cases(TEMPLATE),
)  # fmt: skip
APART = tuple(apart_cases())
LEGAL = tuple(legal_inputs(TEMPLATE))


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is no folder is sought nowhere else."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(save_encoder("bert", tmp_path_factory.mktemp("encoder") / "bert"))


def wrong_ends(cases: Sequence[BadInput], folder: Path, encoder: Path) -> list[str]:
    """What is wrong with how these cases ended, one line each."""
    found = []
    for number, case in enumerate(cases):
        place = folder / str(number)
        place.mkdir()
        lay_out(place, case.files, encoder)
        outcome = outcome_of(place, case.command, case.env, case.apart, case.limits)
        if wrong := problems(case, outcome):
            found.append(f"{case.name}: {'; '.join(wrong)}\n    {outcome.message[-600:]}")
    return found


def families() -> list[tuple[str, int]]:
    """The kinds of cases by the first word of their names, in parts of AT_A_TIME."""
    counts: dict[str, int] = {}
    for case in CASES:
        kind = case.name.partition(",")[0]
        counts[kind] = counts.get(kind, 0) + 1
    return [(kind, part) for kind, count in counts.items() for part in range(-(-count // AT_A_TIME))]


@pytest.mark.parametrize(("kind", "part"), families())
def test_a_bad_input_ends_in_one_line_and_leaves_nothing(kind: str, part: int, tmp_path: Path, encoder: Path) -> None:
    # Cases that begin with an encoder's folder were described before there was one.
    described = encoder_cases(encoder) if kind == "encoder" else CASES
    cases = [case for case in described if case.name.partition(",")[0] == kind]
    wrong = wrong_ends(cases[part * AT_A_TIME :][:AT_A_TIME], tmp_path, encoder)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("case", APART, ids=lambda case: case.name)
def test_so_it_does_in_a_process_of_its_own(case: BadInput, tmp_path: Path, encoder: Path) -> None:
    with warm_workers():
        wrong = wrong_ends([case], tmp_path, encoder)
    assert not wrong, "\n".join(wrong)


def test_no_code_of_a_folder_runs_for_who_says_yes_to_everything(tmp_path: Path, encoder: Path) -> None:
    (case,) = (one for one in encoder_cases(encoder) if "own code of an unknown kind, AutoConfig" in one.name)
    lay_out(tmp_path, case.files, encoder)
    words = ("bash", "-c", 'yes | "$@"', "bash", sys.executable, "-P", "-m", "runners", *case.command)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "code of its own" in done.stderr
    assert "[y/N]" not in done.stdout + done.stderr
    assert not list(tmp_path.rglob("RAN"))


def test_there_are_many_and_no_two_alike() -> None:
    cases = (*CASES, *APART)
    assert len({case.name for case in cases}) == len(cases)
    asked = {(case.command, tuple(sorted(case.env.items())), case.limits, _content(case)) for case in cases}
    assert len(asked) >= 1500
    assert len(asked) >= 0.95 * len(cases)


def _content(case: BadInput) -> str:
    """What lies in a case's folder, as far as it is told apart; what makes a file is told apart by the case's name."""
    return case.name if any(map(callable, case.files.values())) else repr(sorted(case.files.items()))


def test_every_known_fault_is_among_them() -> None:
    covered = {case.line for case in (*CASES, *APART, *LEGAL)} - {""}
    assert covered == every_line()


def test_an_import_that_does_not_end_is_stopped(tmp_path: Path, encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_code, "LONGEST_IMPORT", 0.3)
    endless = "try:\n    while True:\n        pass\nexcept Exception:\n    pass\n"
    files = {"own.py": endless, "own.yaml": suite_with(methods=METHODS)}
    case = BadInput("", "endless", on_suite(("plan",)), ("own.py, line", "still being imported", "on_fit_start"), files)
    assert not wrong_ends([case], tmp_path, encoder)


@pytest.mark.parametrize("part", range(-(-len(LEGAL) // 20)))
def test_what_only_looks_wrong_is_accepted(part: int, tmp_path: Path, encoder: Path) -> None:
    wrong = []
    for number, one in enumerate(itertools.islice(legal_inputs(encoder), 20 * part, 20 * part + 20)):
        if said := refused(one, tmp_path / str(number), encoder):
            wrong.append(said)
    assert not wrong, "\n".join(wrong)


def refused(one: LegalInput, place: Path, encoder: Path) -> str:
    """How a legal input was refused, "" where it was accepted."""
    place.mkdir()
    lay_out(place, one.files, encoder)
    outcome = outcome_of(place, one.command, {})
    missing = [words for words in one.says if words not in outcome.printed]
    return (
        f"{one.name}: code {outcome.code}, does not say {missing}: {outcome.printed[-600:]}"
        if missing or outcome.code
        else ""
    )


def test_there_are_legal_ones_of_every_kind() -> None:
    assert len({one.name for one in LEGAL}) == len(LEGAL) >= 60


def test_a_good_folder_is_told_from_bad_ones(tmp_path: Path, encoder: Path) -> None:
    """The checks themselves find fault with a run that goes well."""
    good = BadInput("", "good", on_suite(("sweep", "-w", "0")), ("own.yaml",))
    (said,) = wrong_ends([good], tmp_path, encoder)
    for words in ("exit code 0", "several lines", "does not say 'own.yaml'", "writes out"):
        assert words in said
