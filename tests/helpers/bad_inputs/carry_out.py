"""Doing what a bad input asks for, and what is wrong with how it ended."""

import contextlib
import hashlib
import io
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from unittest import mock

from amix.models import loading
from amix.specs import encoder_files
from amix.training import registry
from helpers import warm_processes
from helpers.bad_inputs.case import ENCODER, BadInput, Content, good_files
from runners.cli import app
from runners.sweeping import interrupts

ROOT = Path(__file__).parents[3]
PYTHONS_OWN = re.compile(
    r"Traceback|not supported between instances|has no attribute|NoneType|\[Errno|external_[0-9a-f]{4}"
    r"|codec can't|<class |object is not|positional argument|\bSystemExit\b|unhashable|list index|KeyError"
    r"|site-packages"
)
"""Words by which Python speaks to programmers."""
LONGEST = 1500


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code, what it said of the error, all it printed, and files that are new or changed."""

    code: int
    message: str
    printed: str
    written: tuple[str, ...]


def lay_out(folder: Path, files: Mapping[str, Content], encoder: Path) -> None:
    """Write the good files with these in their place, the encoder beside them."""
    for name, content in {**good_files(), ENCODER: lambda path: path.symlink_to(encoder), **files}.items():
        path = folder / name
        if path.is_symlink() and content is not None:
            path.unlink()
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        elif content is not None:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def outcome_of(
    folder: Path, command: tuple[str, ...], env: Mapping[str, str], apart: bool = False, limits: str = ""
) -> Outcome:
    """Do a command in a folder."""
    before = _files(folder)
    code, out, err = _apart(folder, command, env, limits) if apart else _here(folder, command, env)
    after = _files(folder)
    written = tuple(sorted(name for name in {*before, *after} if before.get(name) != after.get(name)))
    return Outcome(code, _message(out, err), out + err, written)


built_in = cache(registry.methods)
"""All methods before any case registers its own."""


def _here(folder: Path, command: tuple[str, ...], env: Mapping[str, str]) -> tuple[int, str, str]:
    for kept in (loading.load_tokenizer, loading._kept_classifier, encoder_files.locate):
        kept.cache_clear()  # Every case has an encoder of the same name.
    out, err = io.StringIO(), io.StringIO()
    environment = {name: value for name, value in os.environ.items() if name not in ("AMIX_GLUE", "WORLD_SIZE", "RANK")}
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["runners", *command]),
        mock.patch.object(interrupts, "listen"),
        mock.patch.dict(registry._METHODS, built_in()),  # Methods of a case's own are gone after it.
        mock.patch.dict(os.environ, environment | {"COLUMNS": "200"} | dict(env), clear=True),
    ):
        try:
            app.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        except Exception:  # What a user would see.
            code = 1
            err.write(traceback.format_exc())
    return code, out.getvalue(), err.getvalue()


def _apart(folder: Path, command: tuple[str, ...], env: Mapping[str, str], limits: str) -> tuple[int, str, str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "HF_HUB_OFFLINE": "1"} | dict(env)
    words = [sys.executable, "-P", "-m", "runners", *command]
    if not limits:
        done = warm_processes.run(words, folder, environment)
    else:
        done = subprocess.run(
            ["bash", "-c", f'ulimit {limits}; exec "$@"', "bash", *words], cwd=folder, env=environment,
            capture_output=True, text=True, timeout=warm_processes.SECONDS, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def _files(folder: Path) -> dict[str, str]:
    """Every file and folder with what it holds; the encoder that is linked there is nobody's to change."""
    found = {}
    for path in _below(folder):
        name = str(path.relative_to(folder))
        if path.is_symlink() or not path.is_file():
            found[name] = ""
        elif path.suffix != ".log":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)


def _message(out: str, err: str) -> str:
    """What is said of the error: the line of ours, a finding of `check`, or the command line library's panel."""
    lines = (out + "\n" + err).splitlines()
    for ours in ("error:", "Stopped: every run"):
        if ended := [line for line in err.splitlines() if line.startswith(ours)]:
            return "\n".join(ended)
        if found := [line for line in out.splitlines() if line.startswith(ours)]:
            return found[0]
    panel = [line.strip("│ ") for line in err.splitlines() if line.startswith("│")]
    return " ".join(panel) or "\n".join(lines)


def problems(case: BadInput, outcome: Outcome) -> list[str]:
    """What is wrong with how a bad input ended; none where all is well."""
    found = []
    if outcome.code == 0:
        found.append("ends with exit code 0")
    if "Traceback" in outcome.printed:
        found.append("a traceback is shown")
    said = outcome.printed if case.runs else outcome.message
    if "\n" in outcome.message.strip() and not case.runs:
        found.append("the message has several lines")
    if not outcome.message.strip():
        found.append("nothing is said")
    if not case.runs and (match := PYTHONS_OWN.search(outcome.message)):
        found.append(f"speaks as Python does: {match[0]}")
    if len(outcome.message) > LONGEST and not case.runs:
        found.append(f"the message has {len(outcome.message)} characters")
    found += [f"does not say {words!r}" for words in case.says if words not in said]
    if outcome.written and not case.runs:
        found.append(f"writes {', '.join(outcome.written[:6])}")
    return found
