"""What the registry requires of a method, and how methods are found."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from amix.training import registry
from amix.training.method import Method, MethodError
from amix.training.method_info import MethodInfo
from amix.training.multi_stage import MultiStageMethod
from amix.training.registry import built_in_methods, find_method, load_external, methods, register

ROOT = Path(__file__).parents[2]
INFO = MethodInfo(paper="nobody, 2026", year=2026, kind="test")


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove what a test registers afterwards; the project's own methods, registered on import, stay."""
    methods()
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))


@dataclass(frozen=True)
class Strength:
    """One setting."""

    strength: float = 1.0


class Changeable:
    """A configuration that is not frozen."""


def method(base: type[Method] = Method, **attributes: Any) -> type[Method]:
    """A class that meets the contract, except for what the test changes."""
    kept = {"__doc__": "A method.", "name": "own", "info": INFO, "Config": Strength} | attributes
    return type("Own", (base,), {name: value for name, value in kept.items() if value is not ...})


def test_a_method_that_meets_the_contract_is_found() -> None:
    own = register(method())
    assert find_method("own") is own


PROBLEMS: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": ...}, "has no name$"),
    "no info": ({"info": ...}, "has no info$"),
    "an info of another kind": ({"info": {"year": 2026}}, r"its info is \{'year': 2026\}, not a MethodInfo"),
    "one fact beside the info": ({"null": {}}, r": sets null in the class: write info = MethodInfo\(null=\.\.\.\)"),
    "facts in place of the info": (
        {"info": ..., "paper": "p", "year": 2026},
        r"has no info; sets paper, year in the class: write info = MethodInfo\(paper=\.\.\., year=\.\.\.\)",
    ),
    "a run in one stage": ({"run": print}, r"has run: derive it from amix\.training\.multi_stage\.MultiStageMethod"),
    "a misspelt hook": ({"on_fit_strat": print}, "defines on_fit_strat; did you mean the hook on_fit_start"),
    "a hook in the plural": ({"before_steps": print}, "defines before_steps; did you mean the hook before_step"),
    "upper case": ({"name": "Own"}, "the name 'Own' is not lower_case_with_underscores"),
    "no docstring": ({"__doc__": None}, "has no docstring"),
    "the docstring of the base": ({"__doc__": Method.__doc__}, "has no docstring"),
    "settings that change": ({"Config": Changeable}, "Config is not a frozen dataclass"),
    "unknown null setting": ({"info": replace(INFO, null={"strenght": 0})}, "info.null: Config has no strenght"),
    "unknown tuned setting": ({"info": replace(INFO, grid={"lr": (1.0,)})}, "info.grid: Config has no lr"),
    "unknown toy setting": ({"info": replace(INFO, toy_settings={"a": 1})}, "info.toy_settings: Config has no a"),
}


@pytest.mark.parametrize(("attributes", "message"), PROBLEMS.values(), ids=list(PROBLEMS))
def test_a_method_that_breaks_the_contract_is_refused(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        register(method(**attributes))
    assert "own" not in registry._METHODS


def test_a_method_of_several_stages_may_have_a_run() -> None:
    register(method(MultiStageMethod, run=print))


def test_a_taken_name_is_refused() -> None:
    find_method("vanilla")
    with pytest.raises(MethodError, match="the name 'vanilla' is taken by baselines.vanilla.Vanilla"):
        register(method(name="vanilla"))


def test_the_file_of_a_method_may_be_imported_again() -> None:
    register(method())
    again = register(method())
    assert find_method("own") is again


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    with pytest.raises(MethodError, match="unknown method 'vanila'; did you mean vanilla"):
        find_method("vanila")


@pytest.mark.parametrize("reference", ["absent.py:Own", "absent", "own.txt:Own"])
def test_an_external_method_is_a_file_and_a_class(tmp_path: Path, reference: str) -> None:
    (tmp_path / "own.txt").write_text("")
    with pytest.raises(MethodError, match=r"give an existing file and a class as path/to/file\.py:ClassName"):
        load_external(str(tmp_path / reference))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('paper="p", kind="test"', "own.py, line 2: MethodInfo missing 1 required keyword-only argument: 'year'"),
        ('paper="p", kind="test", yaer=2026', "own.py, line 2: MethodInfo got an unexpected keyword argument 'yaer'"),
    ],
)
def test_a_missing_or_unknown_field_of_info_is_one_line(tmp_path: Path, given: str, message: str) -> None:
    (tmp_path / "own.py").write_text(f"from amix.training.method_info import MethodInfo\nMethodInfo({given})\n")
    with pytest.raises(MethodError, match=message):
        load_external(f"{tmp_path / 'own.py'}:Own")


def test_an_external_class_that_is_not_a_method_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("class Own: ...")
    with pytest.raises(MethodError, match="has no class Own that derives from"):
        load_external(f"{tmp_path / 'own.py'}:Own")


@pytest.mark.parametrize(
    "name", [name for name, one in built_in_methods().items() if one.__module__.startswith("baselines.")]
)
def test_a_baseline_is_in_the_folder_of_its_kind(name: str) -> None:
    method = built_in_methods()[name]
    folders = method.__module__.split(".")[1:-1]
    kind = re.sub(r"\W", "_", method.info.kind)
    assert folders == ([kind] if name != "vanilla" else []), method.__module__


IN_A_FRESH_PROCESS_EACH = """
import os, sys
import transformers.modeling_utils  # Imported once, not in each process: any run needs it for its encoder.
from amix.training.registry import find_method
for name in sys.argv[1:]:
    if not os.fork():
        find_method(name)
        print(name, *(module for module in sys.modules if module.startswith("baselines.")), flush=True)
        os._exit(0)
    os.wait()
"""


def test_no_method_is_found_by_importing_all_others() -> None:
    # One file of a method's own name is like another; the others are found by the beginning of their names.
    methods = built_in_methods()
    names = [name for name, method in methods.items() if not method.__module__.endswith(f".{name}")] + [
        "mixout",
        "lora",
    ]
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS_EACH, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = {name: modules for name, *modules in map(str.split, done.stdout.splitlines())}
    assert list(found) == names
    for name, modules in found.items():
        named = [module.rpartition(".")[2] for module in modules if module.count(".") == 2]
        others = [file for file in named if not file.startswith("_") and not name.startswith(file)]
        assert len(others) <= 2, f"{name} needs none but what it derives from, and got {others}"


def test_methods_are_listed_where_only_the_library_is_installed(tmp_path: Path) -> None:
    (tmp_path / "amix").symlink_to(ROOT / "amix")
    code = "from amix.training.registry import methods, find_method; print(*methods(), find_method('agwm').name)"
    command = [sys.executable, "-P", "-c", code]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == ["agwm", "agwm_fast", "agwm_official", "agwm"]


@pytest.mark.parametrize("name", built_in_methods())
def test_a_method_says_which_options_of_the_official_code_it_has(name: str) -> None:
    said = " ".join(str(find_method(name).__doc__).split())
    assert re.search("Official options that change numbers|[Nn]o official code", said), name
