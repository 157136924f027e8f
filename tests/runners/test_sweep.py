"""Whole sweeps as a user starts them, with real (tiny) runs: killed, stopped and resumed."""

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy
import psutil
import pytest
from typer.testing import CliRunner

from amix.specs.store import Store
from helpers import warm_processes
from helpers.fake_jobs import Listening
from helpers.same_tables import without_machine_columns
from helpers.toy_suite import gone, save_encoder, wait_until, write_suite
from helpers.warm_processes import warm_workers
from results.analysis.claims import claims
from results.loading.frame import load
from results.loading.layout import Layout
from results.tabulating.collect import collect
from results.tabulating.render.csv import csv_text
from results.tabulating.render.html import html_table
from results.tabulating.render.latex import latex
from results.tabulating.render.markdown import markdown
from runners.cli.app import app
from runners.planning.plan import make_plan
from runners.planning.suite import read_suite
from runners.sweeping.carry_out import carry_out
from runners.sweeping.worker import Worker

ROOT = Path(__file__).parents[2]
RENDERED = {".md": markdown, ".tex": latex, ".csv": csv_text, ".html": html_table}
RUNS = 16
METHODS = "vanilla, mixout, lora, {agwm: {splits: 2, search_epochs: 1}}"
START_SECONDS = 240.0
"""Generous: torch alone takes a busy machine a minute to load, in every process."""
pytestmark = pytest.mark.timeout(900)


def started(
    *arguments: str | Path, **variables: str
) -> AbstractContextManager[tuple[ForkServerProcess, Callable[[], warm_processes.Ended]]]:
    """The command line in its own session, as a terminal would start it; all its processes are gone afterwards."""
    words = [sys.executable, "-m", "runners", *map(str, arguments)]
    return warm_processes.started(words, ROOT, os.environ | {"OMP_NUM_THREADS": "1"} | variables)


def here(*arguments: str | Path) -> str:
    """The command line in this process, which has already loaded torch."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def records(out: Path) -> Store:
    return Store(out / "records" / "tiny")


def recorded(out: Path) -> int:
    return len(list(records(out).keys()))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "tiny-bert")


@pytest.fixture(scope="module")
def suite(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("suite"), encoder, methods=METHODS)


@pytest.fixture(scope="module")
def undisturbed(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite run by one process from beginning to end."""
    out = tmp_path_factory.mktemp("undisturbed")
    here("sweep", "--suite", suite, "--out", out, "--workers", "0")
    return out


@pytest.fixture(scope="module")
def killed_and_resumed(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite with two workers, killed as a whole (kill -9) in the middle, and resumed by the same command."""
    out = tmp_path_factory.mktemp("killed")
    command = ("sweep", "--suite", suite, "--out", out, "--workers", "2")
    with started(*command) as (process, _):
        wait_until(lambda: recorded(out) >= 2 or not process.is_alive(), START_SECONDS)
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.join()
    assert 2 <= recorded(out) < RUNS, "the sweep should have been killed in the middle"
    assert len(children) >= 2
    assert wait_until(lambda: gone(children), 10), "workers must not outlive their sweep"
    before = {key: records(out).path(key).read_bytes() for key in list(records(out).keys())}
    with warm_workers():
        here(*command)
    assert all(records(out).path(key).read_bytes() == content for key, content in before.items())
    return out


def test_killing_a_whole_sweep_leaves_no_trace_in_the_tables(undisturbed: Path, killed_and_resumed: Path) -> None:
    whole, resumed = (collect("tiny", Layout(out)) for out in (undisturbed, killed_and_resumed))
    assert [path.name for path in whole.files] == [path.name for path in resumed.files]
    assert {path.suffix for path in whole.files} == set(RENDERED)
    assert len(whole.files) == len(RENDERED) * len(whole.tables) + 1, "all tables are in one more file"
    for one, two in zip(whole.tables, resumed.tables, strict=True):
        for suffix, rendered in RENDERED.items():
            for table, out in ((one, undisturbed), (two, killed_and_resumed)):
                assert (Layout(out).tables("tiny") / f"{table.name}{suffix}").read_text() == rendered(table)
            assert rendered(without_machine_columns(one)) == rendered(without_machine_columns(two))


def test_scores_are_the_same_in_one_process_and_in_two_workers(undisturbed: Path, killed_and_resumed: Path) -> None:
    keys = list(records(undisturbed).keys())
    assert len(keys) == RUNS
    assert keys == list(records(killed_and_resumed).keys())
    for key in keys:
        one, two = records(undisturbed).get(key), records(killed_and_resumed).get(key)
        assert one is not None
        assert two is not None
        assert one["status"] == "ok", one["error"]
        for block in ("spec", "data", "scores", "curve", "status"):
            assert json.dumps(one[block]) == json.dumps(two[block])
        arrays = [numpy.load(records(out).path(key).with_suffix(".npz")) for out in (undisturbed, killed_and_resumed)]
        for name in arrays[0].files:
            assert arrays[0][name].tobytes() == arrays[1][name].tobytes()
    assert len({json.dumps(records(undisturbed).get(key)["scores"]) for key in keys}) > RUNS // 2


def test_scores_are_the_same_in_the_reverse_order_in_one_worker(suite: Path, undisturbed: Path, tmp_path: Path) -> None:
    plan, store = make_plan(read_suite(suite)), records(tmp_path)
    worker = Worker.of(plan, store, "", None)
    with warm_workers():
        carry_out(plan.runs[::-1], worker, worker.abandon, store, 1, Listening())
    keys = list(store.keys())
    assert keys == list(records(undisturbed).keys())
    for key in keys:
        one, other = records(undisturbed).get(key), store.get(key)
        assert one is not None
        assert other is not None
        assert (one["scores"], one["curve"], one["data"]) == (other["scores"], other["curve"], other["data"])


def test_a_single_run_equals_the_run_in_the_sweep(suite: Path, undisturbed: Path, tmp_path: Path) -> None:
    here("run", "--suite", suite, "--task", "mini-stsb", "--method", "mixout", "--seed", "2", "--out", tmp_path)
    (key,) = records(tmp_path).keys()
    alone, swept = records(tmp_path).get(key), records(undisturbed).get(key)
    assert alone is not None
    assert swept is not None
    assert alone["scores"] == swept["scores"]
    assert alone["curve"] == swept["curve"]


def test_a_repeated_command_runs_nothing(suite: Path, undisturbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (undisturbed / "records" / "tiny").glob("*.npz")}
    output = here("all", "--suite", suite, "--out", undisturbed)
    assert "to do" not in output
    assert f"{RUNS} ok" in output
    assert before == {path: path.stat().st_mtime_ns for path in (undisturbed / "records" / "tiny").glob("*.npz")}


def test_ctrl_c_ends_a_sweep_in_mid_run_and_says_how_to_continue(encoder: Path, tmp_path: Path) -> None:
    long_and_short = write_suite(tmp_path, encoder, tasks="mini-cola", sizes="6, 480", methods="vanilla", epochs=60)
    command = ("sweep", "--suite", long_and_short, "--out", tmp_path, "--workers", "2", "--seeds", "1")
    with started(*command, **warm_processes.FORKED_WORKERS) as (process, ended):
        # Both runs start together; when the short one has its record, the long one is still running.
        wait_until(lambda: recorded(tmp_path) == 1 or not process.is_alive(), START_SECONDS)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        assert process.pid is not None
        os.killpg(process.pid, signal.SIGINT)
        done = ended()
    output = done.stdout + done.stderr
    assert done.returncode == 130, output
    assert "Stopped: 1 of 2 runs are done. Continue with:" in output
    assert f"python -m runners sweep --suite {long_and_short}" in output
    assert "Traceback" not in output
    assert wait_until(lambda: gone(children), 5)


def test_a_sweep_looks_twice_and_reports_both_looks(tmp_path: Path) -> None:
    suite = write_suite(tmp_path, save_encoder(tmp_path / "encoder"), tasks="mini-cola", methods="vanilla, mixout")
    suite.write_text(suite.read_text() + "protocol: {looks: [1, 2]}\n")
    arguments = ["sweep", "--suite", str(suite), "--out", str(tmp_path / "out"), "--workers", "0"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    output = result.output
    assert output.count("Not decided yet: mixout.") == 1
    assert output.count("Without a decision after the last look: mixout.") == 1
    assert output.index("Not decided yet") < output.index("seed 2") < output.index("Without a decision")
    assert "4 runs: 4 ok" in output
    claim = claims(load("tiny", Layout(tmp_path / "out")), "24", "vanilla")["mixout"]
    assert (claim.seeds, claim.comparisons) == (2, 1)
    again = CliRunner().invoke(app, arguments)
    assert "Nothing is left to run" in again.output
