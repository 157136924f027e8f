"""A folder of records that is full, read-only, a file, removed or already in use: one line, and nothing is lost."""

import errno
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from amix.specs.store import write_atomically
from helpers.toy_suite import save_encoder, write_suite
from helpers.warm_processes import run, warm
from runners.cli import app
from runners.cli.progress import SweepProgress
from runners.planning.job import Job
from runners.sweeping import interrupts
from runners.sweeping.alone import AnotherSweep, alone_in

ROOT = Path(__file__).parents[2]


def hold(folder: Path, ready: Any) -> None:
    with alone_in(folder):
        ready.set()
        time.sleep(600)


def test_a_second_sweep_is_refused_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    ready = warm().Event()
    other = warm().Process(target=hold, args=(tmp_path, ready))
    other.start()
    try:
        assert ready.wait(120)
        with pytest.raises(AnotherSweep, match="another sweep is running"), alone_in(tmp_path):
            pass
    finally:
        other.kill()
        other.join()
    with alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def sweep(suite: Path, out: Path) -> Result:
    return CliRunner().invoke(app.app, ["sweep", "--suite", str(suite), "--out", str(out), "--workers", "0"])


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    return write_suite(folder, save_encoder(folder / "encoder"), tasks="mini-cola", methods="vanilla, mixout", epochs=1)


def test_the_command_for_a_second_sweep_in_the_folder_says_so(suite: Path, tmp_path: Path) -> None:
    (tmp_path / "records" / "tiny").mkdir(parents=True)
    with alone_in(tmp_path / "records" / "tiny"):
        assert isinstance(sweep(suite, tmp_path).exception, AnotherSweep)
    assert list((tmp_path / "records" / "tiny").glob("*.npz")) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_fills_up_ends_a_sweep_which_the_same_command_continues(
    suite: Path, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "records" / "tiny"
    fsync = os.fsync

    def full_after_two_records(descriptor: int) -> None:
        if len(list(folder.glob("?" * 64 + ".json"))) == 2:
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_after_two_records)
        error = sweep(suite, tmp_path).exception
    assert isinstance(error, OSError)
    assert app._is_expected(error)
    assert app._in_one_line(error).startswith(f"{os.strerror(number)}: {folder}")
    kept = {path: path.read_bytes() for path in folder.glob("?" * 64 + ".json")}
    assert len(kept) == 2
    assert not list(folder.glob("*.tmp"))
    assert "4 runs: 4 ok" in sweep(suite, tmp_path).output
    assert {path: path.read_bytes() for path in kept} == kept


def test_a_folder_that_vanishes_costs_only_the_records_in_it(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, started = tmp_path / "records" / "tiny", SweepProgress.started

    def remove_at_the_third(self: SweepProgress, run: Job) -> None:
        started(self, run)
        if self.attempts == 3:
            shutil.rmtree(folder)

    with monkeypatch.context() as patched:
        patched.setattr(SweepProgress, "started", remove_at_the_third)
        assert sweep(suite, tmp_path).exit_code == 0
    assert len(list(folder.glob("?" * 64 + ".json"))) == 2
    again = sweep(suite, tmp_path).output
    assert "2 of 4 runs are done" in again
    assert "4 runs: 4 ok" in again


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_file_that_cannot_be_written_leaves_only_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "record.json"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=os.strerror(number)):
        write_atomically(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("record.json", b"old")]


def test_system_errors_are_one_line_and_bugs_keep_their_traceback() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/out/records")
    assert app._is_expected(full)
    assert app._in_one_line(full).startswith("No space left on device: /out/records")
    assert "\n" not in app._in_one_line(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid\nstart byte"))
    assert not any(app._is_expected(bug) for bug in (TypeError("a slip"), KeyError("a"), ValueError("of Python's own")))


def test_an_output_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    command = [sys.executable, "-m", "runners", "run", "-t", "mini-cola", "-m", "vanilla", "--seed", "1", "-n", "12"]
    done = run([*command, "-e", "minilm-l2", "--out", str(tmp_path / "out")], cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "out") in done.stderr.replace("\n", "")


def test_a_closed_terminal_stops_a_sweep_unless_hangups_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "_noted", [])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        interrupts.listen()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        assert interrupts.received()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        interrupts.listen()
        signal.raise_signal(signal.SIGHUP)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
