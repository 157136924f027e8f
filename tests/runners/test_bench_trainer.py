"""The benchmark against transformers.Trainer on a tiny encoder: what it runs and counts, not how fast it is."""

from pathlib import Path

import pytest

from amix.data.rows import load_rows
from amix.data.splits import subset_positions
from amix.specs.tasks import find_task
from helpers.toy_suite import save_encoder
from runners.benchmarks.trainer import OURS, SCRIPTS, Taken, Workload, _job, measure, trainer_table

TASKS = ("mini-cola", "mini-stsb")


@pytest.fixture
def workload(tmp_path: Path) -> Workload:
    save_encoder(tmp_path / "encoder", positions=128)
    return Workload(str(tmp_path / "encoder"), TASKS, 24, (1,), workers=1)


@pytest.mark.processes
def test_every_contestant_does_all_runs_and_is_timed(workload: Workload) -> None:
    taken = dict(measure(workload, turns=1))
    assert set(taken) == {OURS, *SCRIPTS}
    for result in taken.values():
        assert len(result.cpu) == len(result.wall) == 1
        assert result.cpu[0] > 0
        assert set(result.scores) == set(TASKS)
        assert all(-100 <= score <= 100 for score in result.scores.values())


def test_the_script_gets_the_same_subsets_and_recipe_as_the_sweep(workload: Workload) -> None:
    job = _job(workload, "dynamic", workload.runs)
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
