"""The command line: what its commands print, and that a mistake is reported in one sentence."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import amix.training.registry
from amix.runs.execute import ExportError
from amix.specs.encoders import ENCODERS
from amix.specs.tasks import TASKS
from amix.training.registry import methods
from helpers import synthetic_records
from helpers.fake_jobs import planned
from helpers.toy_suite import write_suite
from results.loading.layout import Layout
from results.loading.wording import duration
from runners.cli import app
from runners.cli.options import recorded_command, typed_command
from runners.cli.progress import Remaining
from runners.planning.suite import SuiteError, suite_names
from runners.sweeping import interrupts
from runners.sweeping.todo import Todo

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "plan",
    "sweep",
    "all",
    "run",
    "export",
    "collect",
    "figures",
    "report",
    "methods",
    "tasks",
    "encoders",
    "check",
    "tune",
    "archive",
    "suites",
    "publish",
    "schema",
)


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app.app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert len(result.output.split("Options")[0]) > 80, "there is a sentence above the options"


@pytest.mark.parametrize(
    ("command", "names"),
    [("tasks", list(TASKS)), ("encoders", list(ENCODERS)), ("suites", suite_names()), ("methods", list(methods()))],
)
def test_listings_name_everything(command: str, names: list[str]) -> None:
    options = ["--encoder", "minilm-l2"] if command == "methods" else []
    result = call(command, *options)
    assert result.exit_code == 0, result.output
    for name in names:
        assert name in result.output


def test_a_dry_run_shows_what_would_run_and_writes_nothing(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "minilm-l3")
    for command in ("plan", "sweep", "all"):
        options = [] if command == "plan" else ["--dry-run"]
        result = call(command, "--suite", suite, "--out", tmp_path / "out", "--workers", "2", *options)
        assert result.exit_code == 0, result.output
        assert "12 runs, 0 done, 12 to do: about" in result.output
        assert "with 2 workers" in result.output
        assert not (tmp_path / "out").exists()
        assert "Nothing is left to run" not in result.output


@pytest.mark.skipif(not Layout().archive("tune-minilm").exists(), reason="no committed records of tune-minilm")
def test_a_suite_with_all_records_says_how_to_repeat_its_runs() -> None:
    result = call("sweep", "--suite", "tune-minilm", "--dry-run")
    assert " 0 to do" in result.output
    assert re.search(r"the records are in .*tune-minilm\.parquet\. To repeat the runs: --out", result.output)


def test_a_mistake_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "argv", ["runners", "plan", "--suite", "quik"])
    with pytest.raises(SystemExit) as stopped:
        app.main()
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error == "error: unknown suite 'quik'; did you mean quick? (a suite of your own is a .yaml file)\n"
    assert error.count("\n") == 1, "not wrapped"
    assert "Traceback" not in error


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "app", lambda: int("no number"))
    with pytest.raises(ValueError, match="invalid literal"):
        app.main()
    assert app._is_expected(SuiteError("mistake"))


def test_missing_data_stops_a_sweep_before_anything_trains(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "minilm-l3", tasks="mini-cola, cola")
    result = call("sweep", "--suite", suite, "--out", tmp_path / "out", "--glue", tmp_path)
    assert "has no folder 'cola'" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_too_large_a_subset_stops_a_sweep_before_anything_trains(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "minilm-l3", sizes="24, 100000")
    result = call("sweep", "--suite", suite, "--out", tmp_path / "out")
    assert "task mini-cola: N=100000 with a dev set of 16666 does not fit a train split" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_tables_figures_and_page_are_made_without_torch(tmp_path: Path) -> None:
    """The commands themselves make them, from a small synthetic suite."""
    synthetic_records.write(synthetic_records.Suite(), tmp_path)
    calls = "; ".join(
        f"app([{command!r}, '--suite', 'toy', '--out', {str(tmp_path)!r}], standalone_mode=False)"
        for command in ("collect", "figures", "report")
    )
    heavy = "print([name for name in ('torch', 'transformers', 'distributed') if name in sys.modules])"
    code = f"import sys; from runners.cli.app import app; {calls}; {heavy}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert (tmp_path / "report-toy.html").exists()


def test_the_typed_command_is_the_one_the_user_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "all", "--suite", "my suite.yaml"])
    assert typed_command() == "python -m runners all --suite 'my suite.yaml'"
    monkeypatch.setitem(os.environ, "AMIX_STARTED_BY", "all.sh")
    assert typed_command() == "bash runners/all.sh --suite 'my suite.yaml'"


def test_a_recorded_command_does_not_reveal_folders_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["x", "sweep", "--glue=/secret/glue", "--out", str(Path.cwd() / "out"), "/secret/own.yaml", "../mine/x"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert recorded_command() == "python -m runners sweep --glue=glue --out out own.yaml x"
    assert typed_command() == shlex.join(["python", "-m", "runners", *arguments[1:]])


def test_the_remaining_time_weighs_runs_by_their_expected_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("runners.cli.progress.time.monotonic", lambda: now[0])
    first, long, short = planned(1), planned(2), planned(3)
    expected = {first.spec.key: 10.0, long.spec.key: 90.0, short.spec.key: 10.0}
    remaining = Remaining(Todo((first, long, short), expected, 0), workers=1)
    assert remaining.seconds() == 110
    now[0] = 30.0
    assert remaining.seconds() == 80, "until a run has ended, the expectation counts"
    remaining.count(first)
    assert remaining.seconds() == 100, "the first run includes the start of its worker"
    now[0] = 210.0
    remaining.count(long)
    assert remaining.seconds() == pytest.approx(20), "runs take twice as long as expected here"


def test_durations_are_readable() -> None:
    assert [duration(seconds) for seconds in (12.3, 600, 11_100)] == ["12 s", "10 min", "3 h 05 min"]


def test_export_does_one_run_and_saves_its_model(tmp_path: Path) -> None:
    part = ("--task", "mini-cola", "--method", "vanilla", "--seed", "1", "--size", "12", "--encoder", "minilm-l2")
    out = ("--training", "epochs=1", "--training", "lr=1e-4", "--out", tmp_path)
    result = call("export", tmp_path / "model", *part, *out)
    assert result.exit_code == 0, (result.output, result.exception)
    assert "last test: matthews" in result.output
    assert (tmp_path / "model" / "model.safetensors").exists()
    (record,) = (tmp_path / "records" / "single").glob("*.json")
    assert '"lr": 0.0001' in record.read_text()


def test_a_failed_export_keeps_the_good_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = ("--task", "mini-cola", "--method", "vanilla", "--seed", "1", "--size", "12", "--encoder", "minilm-l2")
    out = ("--training", "epochs=1", "--out", tmp_path)
    assert call("run", *part, *out).exit_code == 0
    (path,) = (tmp_path / "records" / "single").glob("*.json")
    before = path.read_bytes()
    (tmp_path / "file").write_text("")
    result = call("export", tmp_path / "file", *part, *out)
    assert isinstance(result.exception, OSError)
    assert app._is_expected(result.exception)
    assert path.read_bytes() == before, "the folder is checked before anything trains"

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("amix.models.export.save", full)
    result = call("export", tmp_path / "model", *part, *out)
    assert isinstance(result.exception, ExportError)
    assert "No space left on device" in str(result.exception)
    assert json.loads(path.read_text())["status"] == "ok"
    assert isinstance(call("export", tmp_path / "model", *part, *out, "--seed", "2").exception, ExportError)
    statuses = [json.loads(record.read_text())["status"] for record in path.parent.glob("*.json")]
    assert statuses == ["ok", "ok"], "a run whose model cannot be saved has its record"
    monkeypatch.setattr("amix.runs.execute.load_splits", full)
    result = call("export", tmp_path / "model", *part, *out)
    assert result.exit_code == 1
    assert "the record of an earlier run is kept" in result.output
    assert json.loads(path.read_text())["status"] == "ok"


def test_a_method_from_outside_the_project_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amix.training.registry, "_METHODS", dict(methods()))  # Other tests must not see it.
    file = tmp_path / "mine.py"
    file.write_text(
        "from amix.training.method import Method\nfrom amix.training.method_info import MethodInfo\n"
        "from amix.training.registry import register\n\n\n"
        "@register\nclass Mine(Method):\n"
        '    """Nothing new."""\n\n    name = "mine"\n'
        '    info = MethodInfo(paper="nobody, 2026", year=2026, kind="test")\n'
    )
    result = call("methods", "--methods", f"{file}:Mine", "--encoder", "minilm-l2")
    assert result.exit_code == 0, result.output
    assert "nobody, 2026" in result.output


def test_square_brackets_are_printed_unchanged(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, "minilm-l3", methods="vanilla, '[red] p': {method: mixout}")
    result = call("plan", "--suite", suite, "--out", tmp_path / "[bold]")
    assert result.exit_code == 0, result.output
    assert "[red] p" in result.output


def test_ctrl_c_outside_a_sweep_says_how_to_continue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped = typer.Typer()

    @stopped.command()
    def collect() -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(app, "app", stopped)
    monkeypatch.setattr(interrupts, "_noted", [])
    monkeypatch.setattr(sys, "argv", ["runners"])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as leaving:
            app.main()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert leaving.value.code == 130
    assert "to continue, repeat the command:\n  python -m runners\n" in capsys.readouterr().err


NO_TORCH = """
import importlib, pkgutil, sys
import runners.planning
for module in pkgutil.iter_modules(runners.planning.__path__, "runners.planning."):
    importlib.import_module(module.name)
print([name for name in ("torch", "transformers", "datasets") if name in sys.modules])
from runners.planning.suite import find_suite
from runners.planning.chosen import chosen_plan
suite = find_suite("quick")
print("torch" in sys.modules)
chosen_plan(suite, "", "")
print("torch" in sys.modules)
"""


def test_torch_is_not_imported_before_a_method_is_looked_up() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", NO_TORCH], cwd=root, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.split() == ["[]", "False", "True"]
