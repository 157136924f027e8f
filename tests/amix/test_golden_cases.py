"""Reading reference cases from any folder, and recording differences."""

import json
import math
import re
from pathlib import Path

import numpy
import pytest

from amix.training.registry import built_in_methods
from helpers.official_cases import CHOSEN, OWN, Case, Parity, cases, descriptions, own_case
from results.tabulating.methods import PARITY, measured_parity


def write_case(folder: Path, name: str, **description: object) -> dict[str, object]:
    numpy.savez(folder / f"{name}.npz", x=numpy.arange(3.0))
    return {"name": name, "hyperparameters": {"p": 0.5}, "tolerance": {"all": 1e-12}} | description


def test_cases_are_chosen_by_patterns_in_the_folder_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [write_case(tmp_path, name) for name in ("sam", "sam_other", "sage")]
    (tmp_path / "cases.json").write_text(json.dumps(entries))
    monkeypatch.setattr(CHOSEN, "folders", (tmp_path,))
    assert set(cases("sam*")) == {"sam", "sam_other"}
    assert cases("s*", but="sam*") == ["sage"]
    assert Case("sam").tensor("x").tolist() == [0.0, 1.0, 2.0]
    assert own_case("sam").hyperparameters["rho"] == 0.05


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no cases.json, which describes the cases"):
        descriptions((tmp_path,))


def test_tolerances_are_found_by_their_purpose() -> None:
    assert own_case("hype_normal").limit("hidden states") == 1e-11
    assert own_case("childtuning_d").limit("mask") == 0.0
    assert own_case("rose_first").limit("mask") == 0.0
    assert own_case("rose_ensemble").limit("mask") == 1e-7
    assert own_case("mixout_mix").limit("grad_W") == 1e-12
    with pytest.raises(KeyError):
        own_case("hype_normal").limit("masks")


def test_differences_are_recorded_and_checked() -> None:
    parity, case = Parity(), own_case("sam")
    parity(case, 1e-15, 1e-12)
    parity(case, 2.34e-13, 1e-12)
    parity(case, 0.0, 1e-10)
    with pytest.raises(AssertionError, match="sam: 2 > 1e-12"):
        parity(case, 2.0, 1e-12)
    with pytest.raises(AssertionError, match="sam: nan > 1e-12"):
        parity(case, math.nan, 1e-12)
    parity.found.pop("sam")
    parity(case, 2.34e-13, 1e-12)
    assert json.loads(parity.text()) == {"sam": {"difference": 2.3e-13, "tolerance": 1e-12}}


def test_the_file_has_every_case_within_its_tolerance() -> None:
    written = json.loads(PARITY.read_text())
    assert set(written) == set(descriptions(OWN)), "pytest --write-parity, all parity tests"
    assert all(one["difference"] <= one["tolerance"] for one in written.values())


def test_every_case_belongs_to_a_method() -> None:
    claimed = {pattern for method in built_in_methods().values() for pattern in method.info.cases}
    assert set(descriptions(CHOSEN.folders)) - set(cases(*claimed)) == set()


@pytest.mark.parametrize("method", [name for name, one in built_in_methods().items() if one.info.cases])
def test_a_method_with_official_code_documents_its_options(method: str) -> None:
    assert re.search(r"\b[Oo]ptions?\b|code named there", built_in_methods()[method].__doc__ or "")


def test_the_table_reads_the_number_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "parity.json"
    entries = {"a_1": 3e-16, "a_2": 4.4e-13, "b": 0.0}
    file.write_text(json.dumps({name: {"difference": one, "tolerance": 1e-9} for name, one in entries.items()}))
    monkeypatch.setattr("results.tabulating.methods.PARITY", file)
    assert measured_parity("matched: all", ["a_*"]) == "matched: all (2 cases: largest difference 4e-13)"
    assert measured_parity("matched: masks", ["b"]) == "matched: masks (1 case: equal)"
    assert measured_parity("no official code", []) == "no official code"
    with pytest.raises(ValueError, match="no case is named c"):
        measured_parity("matched", ["a_*", "c"])
