"""Benchmarks of methods, against transformers.Trainer, and of many runs: what they do, not how fast it is."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from amix.data.rows import EMBEDDED_FOLDER, load_rows
from amix.data.splits import subset_positions
from amix.specs.tasks import find_task
from amix.training.method import Method, MethodError
from amix.training.method_info import MethodInfo
from amix.training.registry import built_in_methods, find_method
from helpers.synthetic_records import Suite, write
from helpers.toy_suite import save_encoder
from helpers.warm_processes import AS_SUBPROCESS
from results.loading.frame import load, pack
from results.loading.layout import Layout
from runners.benchmarks import embedded_difficulty, engine, many_records, methods, same_runs
from runners.benchmarks.methods import Overhead, measure
from runners.benchmarks.same_runs import ContestantError, Scores, Taken, Workload, in_turns, job_of
from runners.benchmarks.trainer import OURS, SCRIPTS, trainer_table
from runners.benchmarks.trainer import measure as measure_all
from runners.benchmarks.workload import QUICK
from runners.cli.app import app

TASKS = ("mini-cola", "mini-stsb")


def test_updates_are_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def step(method: type[Method], workload: object, count: int) -> object:
        assert count == methods.WARM_UP + 3
        return lambda: calls.append("plain" if method is Method else "ours")

    monkeypatch.setattr(methods, "_updates", step)
    monkeypatch.setattr(methods, "seconds", lambda update: 1.0 if update() is None and calls[-1] == "plain" else 2.5)
    (overhead,) = measure([find_method("mixout")], QUICK, 3)
    assert calls == ["plain", "ours"] * (methods.WARM_UP + 3)
    assert overhead.ratio == 2.5


def test_methods_of_every_kind_are_measured() -> None:
    names = ("vanilla", "mixout", "agwm", "frozen_logistic")
    overheads = {overhead.method.name: overhead for overhead in measure(map(find_method, names), QUICK, 2)}
    assert overheads["frozen_logistic"].ratio is None
    assert overheads["frozen_logistic"].holds is None
    for name in names[:3]:
        assert overheads[name].ratio is not None


def test_the_limit_is_the_one_in_the_file_or_the_passes_plus_a_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    class Promising(Method):
        name = "promising"
        info = MethodInfo(paper="none", year=2026, kind="test", passes=2.0)

    assert Overhead(Promising, 2.3, 1.0).holds
    assert not Overhead(Promising, 2.5, 1.0).holds
    monkeypatch.setattr(methods, "limits", lambda: {"promising": 2.1})
    assert not Overhead(Promising, 2.3, 1.0).holds
    assert "MISSED" in Overhead(Promising, 2.3, 1.0).text()


def test_every_limit_belongs_to_a_method_with_gradient_steps() -> None:
    by_steps = {name for name, method in built_in_methods().items() if method.info.trains_by_steps}
    assert set(methods.limits()) <= by_steps
    assert min(methods.limits().values()) > 1


def test_the_command_writes_to_the_given_file(tmp_path: Path) -> None:
    arguments = ["bench", "methods", "--quick", "--methods", "vanilla,topk_layers", "--out", str(tmp_path / "b.csv")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "b.csv").read_text()
    assert all(name in lines for name in ("vanilla", "topk_layers", "Limit", "kept"))
    assert (tmp_path / "b.md").read_text().count("|") > 20


def test_a_method_that_needs_texts_is_refused() -> None:
    with pytest.raises(MethodError, match="--methods: lm_bff needs a task's texts"):
        CliRunner().invoke(app, ["bench", "methods", "--quick", "--methods", "lm_bff,vanilla"], catch_exceptions=False)


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    save_encoder(tmp_path / "encoder", positions=128)
    return Workload(str(tmp_path / "encoder"), TASKS, 24, (1,), workers=1)


def test_every_contestant_does_all_runs_and_is_timed(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_runs, "subprocess", AS_SUBPROCESS)
    taken = dict(measure_all(workload, turns=1))
    assert set(taken) == {OURS, *SCRIPTS}
    for result in taken.values():
        assert len(result.cpu) == len(result.wall) == 1
        assert set(result.scores) == set(TASKS)
        assert all(-100 <= score <= 100 for score in result.scores.values())


def test_a_contestants_cpu_seconds_are_those_of_its_processes(workload: Workload) -> None:
    def does(*code: str) -> Scores:
        same_runs._wait([same_runs._started(workload, ["-c", one]) for one in code])
        return dict.fromkeys(workload.runs, 50.0)

    one_thread = "import os; assert os.environ['OMP_NUM_THREADS'] == '1'"
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    contestants = {"idle": lambda place: does(), "busy": lambda place: does(one_thread, busy)}
    taken = dict(in_turns(workload, contestants, 1))
    assert taken["idle"].cpu == [0]
    assert taken["busy"].cpu[0] >= 0.3
    with pytest.raises(ContestantError, match="-c 'raise SystemExit.* failed: no such encoder"):
        does("raise SystemExit('no such encoder')")


def test_the_script_gets_the_same_subsets_and_recipe_as_the_sweep(workload: Workload) -> None:
    job = job_of(workload, "dynamic", workload.runs)
    task = find_task("mini-cola")
    rows = load_rows(task, task.train)
    train, dev = subset_positions(rows["label"].to_numpy(), 24, seed=1)
    first = job["runs"][0]
    assert first["train"]["texts"] == [rows.iloc[train][column].tolist() for column in task.text]
    assert first["dev"]["labels"] == rows.iloc[dev]["label"].tolist()
    assert [run["outputs"] for run in job["runs"]] == [2, 1]
    assert len(job["tests"]["mini-cola"]["labels"]) == len(load_rows(task, task.test))


def test_ratios_are_taken_within_a_turn(workload: Workload) -> None:
    scores = dict.fromkeys(TASKS, 50.0)
    taken = {
        OURS: Taken([10.0, 20.0, 10.0], [5.0, 5.0, 5.0], scores),
        "script": Taken([20.0, 10.0, 15.0], [5.0, 10.0, 20.0], scores),
    }
    table = trainer_table(taken, workload, "command")
    assert [cell.value for cell in table.rows[1][:5]] == ["script", 15.0, 1.5, 10.0, 2.0]


@pytest.mark.processes
def test_the_engine_does_every_brief_run_and_finds_the_missing_ones(tmp_path: Path) -> None:
    found = engine.measure(8, 0.0, 1, 0.0, tmp_path, print)
    assert (found.killed, found.retried, found.wrong, found.missing) == (0, 0, (), 0)
    assert len(list(tmp_path.glob("*.json"))) == found.runs == 8
    assert 0 < found.first <= found.seconds
    assert "8 runs on 1 worker in" in found.lines()[0]


@pytest.mark.processes
def test_copied_records_all_count_and_are_measured_apart(tmp_path: Path) -> None:
    source = write(Suite(seeds=(1, 2)), tmp_path / "source")
    pack("toy", source)
    found = many_records.measured("toy", source, 30, tmp_path / "copies")
    assert (found.records, found.left_out) == (48, 0)
    assert found.peak > 2**20
    results = load("toy", Layout(tmp_path / "copies"))
    assert set(results.runs["status"]) == {"ok"}
    assert results.runs["score"].nunique() == 48


def test_the_difficulty_of_the_embedded_tasks_is_printed_and_no_file_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {"last": {"test": {"matthews": 0.5, "accuracy": 0.5, "f1": 0.5, "spearman": 0.5}}}
    majority = {"majority": dict.fromkeys(scores["last"]["test"], 0.25)}
    monkeypatch.setattr(embedded_difficulty, "finetuned", lambda *run: {"scores": scores, "data": majority})
    monkeypatch.setattr(embedded_difficulty, "ngram_score", lambda task: 0.125)
    shown = (EMBEDDED_FOLDER / "README.md").read_text(encoding="utf-8")
    result = CliRunner().invoke(app, ["bench", "embedded"], catch_exceptions=False)
    assert "| mini-stsb | spearman | 0.25 | 0.12 | 0.50 ± 0.00 | 0.50 ± 0.00 |" in result.output
    assert (EMBEDDED_FOLDER / "README.md").read_text(encoding="utf-8") == shown
    recipe, head = result.output.splitlines()[-1], "| task | metric |"
    assert recipe in shown
    assert [line for line in result.output.splitlines() if line.startswith(head)][0] in shown
