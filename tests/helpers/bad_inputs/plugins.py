"""Methods in files from outside the project that cannot be used: at import, as described, and when asked."""

from collections.abc import Iterator

from helpers.bad_inputs.case import RUN, BadInput, on_suite, suite_with

HEAD = """\"\"\"A method of one's own.\"\"\"
from dataclasses import dataclass

from amix.training.method import Method
from amix.training.method_info import MethodInfo
from amix.training.registry import register

"""
INFO = """MethodInfo(paper="own", year=2024, kind="smoothness", parity="none", null={}, grid={}, toy_settings={})"""
GOOD = (
    HEAD
    + f"""
class Own(Method):
    \"\"\"Plain finetuning under another name.\"\"\"

    @dataclass(frozen=True)
    class Config:
        \"\"\"strength: of nothing.\"\"\"

        strength: float = 0.5

    name = "own"
    info = {INFO}
"""
)
METHODS = {"vanilla": None, "own": {"method": "own.py:Own"}}


def plugin_cases() -> Iterator[BadInput]:
    """Every fault, met by a suite and by one of the other commands that take a method's file."""
    for number, (line, name, content, says) in enumerate((*_at_import(), *_described(), *_asked())):
        files = {"own.py": content, "own.yaml": suite_with(methods=METHODS)}
        sweep = on_suite(("plan",) if number % 2 else ("sweep", "-w", "0"))
        yield BadInput(line, f"plugin, {name}, in a suite", sweep, ("own.py", says), files)
        if number % 2:
            other: tuple[str, ...] = on_suite(("plan",), "--methods", "+own.py:Own")
        else:
            other = (*RUN, "-m", "own.py:Own")
        yield BadInput(line, f"plugin, {name}, as {other[0]}", other, ("own.py", says), {"own.py": content})
    for name, content, says in (
        ("a method that is not there", "own.py:Other", "has no class Other"),
        ("no class", "own.py:", "has no class"),
        ("a function", "own.py:register", "has no class register"),
        ("the base class", "own.py:Method", "own.py"),
    ):
        suite = suite_with(methods={"x": {"method": content}})
        yield BadInput("", f"plugin, {name}", on_suite(("plan",)), ("own", says), {"own.py": GOOD, "own.yaml": suite})
    twice = suite_with(methods={"a": {"method": "own.py:Own"}, "b": {"method": "other.py:Own"}})
    files = {"own.py": GOOD, "other.py": GOOD + "\n", "own.yaml": twice}
    yield BadInput("", "plugin, one name in two files", on_suite(("plan",)), ("other.py", "own.py:Own", "taken"), files)
    listing = ("methods", "--methods", "own.py:Own", "-e", "enc")
    yield BadInput("", "plugin, syntax, as methods", listing, ("own.py, line 1",), {"own.py": "class Own(:\n"})
    ends = {"own.py": GOOD + ENDS_IN_LOSS, "own.yaml": suite_with(methods={"own": {"method": "own.py:Own"}})}
    raises = {"own.py": GOOD + RAISES_IN_LOSS, "own.yaml": suite_with(methods={"own": {"method": "own.py:Own"}})}
    yield from _in_runs(ends, raises)


ENDS_IN_LOSS = """
    def loss(self, model, batch, fit):
        raise SystemExit(0)
"""
RAISES_IN_LOSS = """
    def loss(self, model, batch, fit):
        raise ValueError("a loss of no kind")
"""


def _in_runs(ends: dict[str, str], raises: dict[str, str]) -> Iterator[BadInput]:
    """What only a run can show: a record and its tables are written, the exit code says that it went wrong."""
    for verb in ("sweep", "all"):
        command = on_suite((verb, "-w", "0"))
        line = "plugin ends Python: exit in its loss"
        yield BadInput(line, f"plugin, exit in its loss, {verb}", command, ("SystemExit",), ends, runs=True)
        line = "mistake that fails every run: every run failed"
        yield BadInput(line, f"plugin, error in its loss, {verb}", command, ("a loss of no kind",), raises, runs=True)


Case = tuple[str, str, str | bytes, str]
"""Line, name, the file, what the message says."""


def _at_import() -> Iterator[Case]:
    ends, syntax, raises = "plugin ends Python: exit at import", "traceback: plugin syntax", "traceback: plugin raises"
    yield syntax, "syntax", HEAD + "class Own(:\n", "line 8"
    yield "", "indentation", HEAD + "def own():\nreturn 1\n", "line 9"
    yield "", "a merge conflict", "<<<<<<< HEAD\n" + GOOD, "line 1"
    yield "", "not UTF-8", GOOD.encode() + b"x = 'f\xfcr alle'\n", "own.py"
    yield "", "a NUL", GOOD + "\0", "own.py"
    yield "", "JSON", '{"a": true\n', "own.py"
    yield "", "a notebook", '{"cells": [], "metadata": {}, "nbformat": null}', "own.py"
    yield "", "empty", "", "has no class Own"
    yield raises, "an error", HEAD + "raise ValueError('not today')\n", "line 8"
    yield "", "an import that is not there", "import no_such_library_anywhere\n" + GOOD, "no_such_library_anywhere"
    yield "", "a name that is not there", "import torch\n\nx = torc.nn\n" + GOOD, "line 3"
    yield "", "division by zero", "x = 1 / 0\n" + GOOD, "line 1"
    yield "", "an assertion", "assert False, 'never'\n" + GOOD, "line 1"
    yield "", "endless recursion", "def f():\n    return f()\n\n\nf()\n" + GOOD, "RecursionError"
    yield "", "a file that is not there", "open('gone.txt')\n" + GOOD, "gone.txt"
    yield "", "its own group of errors", "class Bad(Exception):\n    pass\n\n\nraise Bad('a\\nb')\n", "Bad"
    yield (
        "",
        "a warning as an error",
        "import warnings\nwarnings.simplefilter('error')\nraise UserWarning('x')\n",
        "line 3",
    )
    yield ends, "exit", "import sys\n\nsys.exit(0)\n" + GOOD, "line 3"
    yield ends, "exit by name", "raise SystemExit\n" + GOOD, "line 1"
    yield "", "exit with words", "import sys\nsys.exit('done')\n" + GOOD, "line 2"
    yield "", "exit with a code", "import sys\nsys.exit(3)\n" + GOOD, "line 2"
    yield "", "quit", "quit()\n" + GOOD, "line 1"
    yield "", "exit in a function", "import sys\n\n\ndef f():\n    sys.exit()\n\n\nf()\n" + GOOD, "line 5"


def _described() -> Iterator[Case]:
    """What the contract asks for and the class does not have."""
    changes = (
        ("no name", '    name = "own"\n', "", "has no name"),
        ("no info", f"    info = {INFO}\n", "", "has no info"),
        ("a name in capitals", '"own"\n', '"Own Method"\n', "lower_case"),
        ("a name that is taken", '    name = "own"\n', '    name = "vanilla"\n', "is taken"),
        ("an empty name", '    name = "own"\n', '    name = ""\n', "lower_case"),
        ("a name that is a number", '    name = "own"\n', "    name = 5\n", "own.py"),
        ("no docstring", '    """Plain finetuning under another name."""\n', "", "docstring"),
        ("a Config that can change", "@dataclass(frozen=True)", "@dataclass", "frozen"),
        ("a Config that is none", "    @dataclass(frozen=True)\n", "", "frozen"),
        ("info a text", INFO, '"smoothness"', "MethodInfo"),
        ("info without a year", "year=2024, ", "", "year"),
        ("info with an unknown fact", "year=2024", "yaer=2024, year=2024", "yaer"),
        ("info of a setting that is not there", "null={}", 'null={"p": 0}', "Config has no p"),
        ("another class", "class Own(Method)", "class Own(dict)", "has no class Own"),
        ("no base class", "class Own(Method)", "class Own", "has no class Own"),
        ("a fact in the class", '    name = "own"\n', '    name = "own"\n    year = 2024\n', "MethodInfo(year="),
        ("a run of stages", '    name = "own"\n', '    name = "own"\n    run = None\n', "MultiStageMethod"),
        ("a setting without a default", "strength: float = 0.5", "strength: float", "strength"),
    )
    for name, old, new, says in changes:
        yield "", name, _changed(old, new), says
        if name in ("no name", "info a text", "a name in capitals"):
            yield (
                "",
                f"{name}, registered by itself",
                _changed(old, new).replace("class Own", "@register\nclass Own"),
                says,
            )


def _changed(old: str, new: str) -> str:
    assert old in GOOD, old
    return GOOD.replace(old, new)


def _asked() -> Iterator[Case]:
    """What a plan asks of a class."""
    check = "        def __post_init__(self):\n            raise {}\n\n    name"
    for error in ("LookupError('strength')", "ValueError('no strength')", "SystemExit(0)", "RuntimeError('no')"):
        yield "", f"settings that raise {error}", _changed("    name", check.format(error)), "own.py"
    passes = "\n    def relative_passes(self, n_train, recipe):\n        return {}\n"
    yield "", "passes that divide by zero", GOOD + passes.format("1 / 0"), "relative_passes"
    yield "", "passes of text", GOOD + passes.format("'many'"), "relative_passes"
    yield "", "passes that are nothing", GOOD + passes.format("None"), "relative_passes"
    yield "", "passes that end Python", GOOD + passes.format("exit()"), "relative_passes"
    make = "\n    def __init__(self, config):\n        raise OSError('no disk')\n"
    yield "", "a class that cannot be made", GOOD + make, "own.py"
