"""Failed runs: when they stop a sweep, what is printed, and the exit code."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers import toy_suite
from helpers.fake_jobs import Listening
from results.loading.layout import Layout
from runners.cli.app import app
from runners.planning.job import Job
from runners.planning.plan import make_plan
from runners.planning.suite import find_suite
from runners.sweeping.failures import EveryRunFails, StopWhenAllFail, causes, one_line
from runners.sweeping.jobs import Outcome

PLUGIN = '''
from amix.training.method import Method
from amix.training.method_info import MethodInfo


class Breaking(Method):
    """Breaks (Nobody, Nowhere 2020)."""

    name = "breaking"
    info = MethodInfo(paper="Nobody, Nowhere", year=2020, kind="plain")

    def prepare(self, model, fit):
        raise RuntimeError("no such\\n thing")
'''


def tell(stopper: StopWhenAllFail, runs: list[Job], *outcomes: tuple[int, str, str]) -> None:
    for number, status, message in outcomes:
        stopper.started(runs[number])
        stopper.finished(runs[number], Outcome(status, message))


@pytest.fixture
def runs(tmp_path: Path) -> list[Job]:
    """The runs of two rows, each with two seeds."""
    suite = toy_suite.write_suite(tmp_path, "minilm-l2", tasks="mini-cola", methods="vanilla, mixout")
    return sorted(make_plan(find_suite(str(suite))).runs, key=lambda run: run.spec.seed)


def test_a_second_row_that_fails_alike_stops_a_sweep(runs: list[Job]) -> None:
    with pytest.raises(EveryRunFails, match="^no disk$"):
        tell(StopWhenAllFail(Listening(), 2, any_ok=False), runs, (0, "failed", "no disk"), (1, "failed", "no disk"))
    with pytest.raises(EveryRunFails):
        tell(StopWhenAllFail(Listening(), 1, any_ok=False), runs, (0, "failed", "no disk"), (2, "failed", "no disk"))


def test_other_failures_do_not_stop_a_sweep(runs: list[Job]) -> None:
    for any_ok, outcomes in (
        (True, [(0, "failed", "same"), (1, "failed", "same")]),
        (False, [(0, "failed", "one"), (1, "failed", "another")]),
        (False, [(0, "ok", ""), (1, "failed", "same"), (2, "failed", "same"), (3, "failed", "same")]),
        (False, [(0, "failed", "same"), (2, "failed", "same")]),  # Only one row failed: others may succeed.
        (False, [(0, "diverged", "same"), (1, "diverged", "same")]),
    ):
        tell(StopWhenAllFail(Listening(), 2, any_ok), runs, *outcomes)


def test_a_foreign_message_becomes_one_line() -> None:
    assert one_line("a\n b\x1b[31m") == "a b[31m"
    assert len(one_line("word " * 500)) < 420


def sweep(suite: Path, out: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["sweep", "-s", str(suite), "--out", str(out), "-w", "0", *options])
    return result.exit_code, result.output


def test_failed_runs_are_counted_by_cause_and_the_exit_code_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(PLUGIN)
    encoder = toy_suite.save_encoder(tmp_path / "encoder")
    methods = f"vanilla, {tmp_path / 'broken.py'}:Breaking"
    suite = toy_suite.write_suite(tmp_path, encoder, tasks="mini-cola", methods=methods, epochs=1)
    out = tmp_path / "out"
    code, output = sweep(suite, out)
    assert code == 3
    assert "2 of 4 runs failed or were stopped by an accident:\n  2 x RuntimeError: no such thing\n" in output
    assert "--retry-failed" in output
    assert causes(make_plan(find_suite(str(suite))), Layout(out)) == {"RuntimeError: no such thing": 2}
    code, output = sweep(suite, out)
    assert (code, "2 of 4 runs failed" in output) == (3, True)


def test_a_cause_that_fails_every_run_stops_the_sweep_after_the_second(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(PLUGIN)
    encoder = toy_suite.save_encoder(tmp_path / "encoder")
    methods = f"{tmp_path / 'broken.py'}:Breaking"
    suite = toy_suite.write_suite(tmp_path, encoder, methods=methods)
    code, output = sweep(suite, tmp_path / "out")
    assert code == 3
    assert "for the same reason: no such thing" in output
    assert len(list((tmp_path / "out").rglob("*.json"))) == 3  # Two records and the plan, of four runs.
