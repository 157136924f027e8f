"""What a sweep shows of its pace and complete seeds; failed runs: when they stop it, what is printed, the exit code."""

from datetime import datetime
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from helpers import synthetic_records, toy_suite
from helpers.fake_jobs import Listening, planned
from results.analysis.complete_seeds import complete_seeds, of_seeds
from results.loading.frame import load
from results.loading.layout import Layout
from results.tabulating.main import main_table
from runners.cli.app import app
from runners.cli.interim import show_complete_seeds
from runners.cli.progress import SweepProgress, clock
from runners.planning.job import Job
from runners.planning.plan import make_plan
from runners.planning.suite import find_suite
from runners.sweeping.failures import EveryRunFails, StopWhenAllFail, causes
from runners.sweeping.jobs import Outcome
from runners.sweeping.todo import Todo

METHODS, TASKS, SEEDS = ("vanilla", "agwm"), ("cola", "rte"), (1, 2, 3, 4)


def written(folder: Path, *left_out: tuple[str, str, int], **more: object) -> Layout:
    suite = synthetic_records.Suite(methods=METHODS, tasks=TASKS, seeds=SEEDS, left_out=left_out, **more)  # type: ignore[arg-type]
    return synthetic_records.write(suite, folder)


def test_a_seed_is_complete_when_all_its_runs_have_a_record(tmp_path: Path) -> None:
    outcomes = {("agwm", "cola", 2): "failed", ("agwm", "cola", 4): "oom"}
    layout = written(tmp_path, ("agwm", "rte", 3), outcomes=outcomes)
    assert complete_seeds(load("toy", layout)) == (1, 2), "a failed run is a result, an accident is repeated"


def test_a_decided_row_does_not_keep_a_seed_incomplete(tmp_path: Path) -> None:
    late = [("agwm", task, seed) for task in TASKS for seed in (5, 6)]
    suite = synthetic_records.Suite(
        methods=(*METHODS, "mixout"), tasks=TASKS, seeds=(1, 2, 3, 4, 5, 6), looks=(4, 6), gains={"agwm": 9.0},
        left_out=(*late, ("mixout", "rte", 6)),
    )  # fmt: skip
    assert complete_seeds(load("toy", synthetic_records.write(suite, tmp_path))) == (1, 2, 3, 4, 5)


def test_the_table_equals_that_of_a_suite_with_these_seeds(tmp_path: Path) -> None:
    part = of_seeds(load("toy", written(tmp_path / "part", ("agwm", "rte", 4))), (1, 2, 3))
    whole = synthetic_records.Suite(methods=METHODS, tasks=TASKS, seeds=(1, 2, 3))
    expected = main_table(load("toy", synthetic_records.write(whole, tmp_path / "whole")), "100")
    table = main_table(part, "100")
    assert table.rows[:3] == expected.rows[:3]
    assert "n = 3 seeds" in table.caption


def test_the_table_is_printed_while_some_seeds_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_complete_seeds("toy", written(tmp_path, ("agwm", "rte", 4)))
    output = capsys.readouterr().out
    assert "3 of 4 seeds" in output
    assert "agwm" in output


@pytest.mark.parametrize("left_out", [[], [("agwm", "rte", seed) for seed in SEEDS]])
def test_nothing_is_printed_if_no_seed_or_every_seed_is_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], left_out: list[tuple[str, str, int]]
) -> None:
    show_complete_seeds("toy", written(tmp_path, *left_out))
    show_complete_seeds("gone", Layout(tmp_path / "elsewhere"))
    assert capsys.readouterr().out == ""


class Noon(datetime):
    @classmethod
    def now(cls, tz: object = None) -> "Noon":
        return cls(2026, 3, 1, 12, 0)


def test_a_sweep_shows_its_jobs_its_pace_and_its_expected_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("runners.cli.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr("runners.cli.progress.datetime", Noon)
    runs = [planned(seed) for seed in range(5)]
    shown = StringIO()
    progress = SweepProgress(
        Todo(tuple(runs), {run.spec.key: 60.0 for run in runs}, 0), 1, Console(file=shown, width=200)
    )
    for jobs in ("jobs: 0 running, 2 queued or starting",) * 2 + ("jobs: 1 running, 1 queued or starting",):
        progress.staffed(jobs)
    for run in runs[:3]:
        progress.started(run)
        now[0] += 1800
        progress.finished(run, Outcome("ok"))
    first, second, third, *rest = shown.getvalue().splitlines()
    assert (first, second) == ("jobs: 0 running, 2 queued or starting", "jobs: 1 running, 1 queued or starting")
    assert third.endswith("about 4 min left"), "the first run includes the start of its worker"
    assert rest[-1] == "3/5 ok fake task N=10 seed 2, 30 min, about 60 min left (until 13:00, 2.0 runs per hour)"
    progress.started(runs[3])
    drawn = Console(file=(drawing := StringIO()), width=200)
    drawn.print(progress._draw())
    bar, jobs, run_now = drawing.getvalue().splitlines()
    assert "3/5 about 60 min left (until 13:00, 2.0 runs per hour)" in bar
    assert (jobs.strip(), run_now.strip()) == ("jobs: 1 running, 1 queued or starting", "fake task N=10 seed 3, 0 s")


def test_an_end_on_another_day_is_shown_with_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runners.cli.progress.datetime", Noon)
    assert (clock(60), clock(86400)) == ("12:01", "Mon 02 Mar, 12:00")


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
