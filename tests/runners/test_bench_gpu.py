"""The benchmark on a GPU: its runs, rates and dry run; without one, on CPUs with a stand-in for nvidia-smi."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers.toy_suite import save_encoder
from helpers.warm_processes import AS_SUBPROCESS
from runners.benchmarks import gpu, same_runs
from runners.benchmarks.gpu import ALONE, GIB, SHARED, TRAINER, GpuError, Measured, chosen_gpu, gpu_table, measure
from runners.benchmarks.same_runs import ContestantError, Taken, Workload, in_turns, variables
from runners.cli.app import app

GPU = "GPU-standin"
NVIDIA_SMI = f"""#!/bin/sh
case "$1" in
  --query-gpu=index,uuid,memory.free) echo "0, {GPU}, 6000" ;;
  --query-gpu=memory.used) echo 700 ;;
  --query-gpu=name) echo "Stand-in" ;;
  *) exit 1 ;;
esac
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says it has a GPU, which torch cannot find; processes there are forked."""
    monkeypatch.setattr(same_runs, "subprocess", AS_SUBPROCESS)
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text(NVIDIA_SMI)
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", GPU)


@pytest.mark.usefixtures("stand_in")
def test_every_contestant_does_the_same_runs_and_is_timed(tmp_path: Path) -> None:
    encoder = str(save_encoder(tmp_path / "encoder", positions=128))
    workload = Workload(encoder, ("mini-cola",), 24, (1, 2), workers=1, device="cpu", gpu=GPU)
    found = dict(measure(workload, turns=1))
    assert set(found) == {ALONE, SHARED, TRAINER}
    for one in found.values():
        assert len(one.taken.wall) == 1
        assert one.taken.wall[0] > 0
        assert -100 <= one.taken.scores["mini-cola"] <= 100
        assert one.peaks == [700 * 2**20]
    assert found[ALONE].taken.scores == found[SHARED].taken.scores
    table = gpu_table(found, workload, gpu.asked(GPU, "name"), gpu.most_at_a_time(), "command")
    assert "on one Stand-in" in table.caption
    assert [row[0].value for row in table.rows] == [ALONE, SHARED, TRAINER]


@pytest.mark.usefixtures("stand_in")
def test_memory_is_asked_for_even_if_a_contestant_ends_at_once() -> None:
    with gpu.MemoryWatch(GPU) as watch:
        pass
    assert watch.most == 700 * 2**20


def measured(wall: list[float], *peaks: int) -> Measured:
    return Measured(Taken([1.0] * len(wall), wall, {"rte": 60.0, "stsb": 80.0}), list(peaks))


def test_rates_and_ratios_are_those_of_the_times() -> None:
    workload = Workload("bert-base", ("rte", "stsb"), 300, (1, 2, 3), workers=1, device="cuda", gpu="0")
    found = {
        ALONE: measured([60.0, 50.0, 40.0], 3 * GIB, 2 * GIB),
        SHARED: measured([20.0, 10.0, 40.0], 7 * GIB),
        TRAINER: measured([30.0, 100.0, 60.0]),
    }
    table = gpu_table(found, workload, "device", 8, "command")
    assert [cell.value for cell in table.rows[0]] == [ALONE, 432.0, 1.5, 50.0, 3.0, 60.0, 80.0]
    assert [cell.value for cell in table.rows[1][:5]] == [SHARED, 1080.0, 1.5, 20.0, 7.0]
    assert [cell.value for cell in table.rows[2][:5]] == [TRAINER, 360.0, 1.0, 60.0, None]
    assert "6 runs" in table.caption
    assert "in bf16; medians of 3 turns" in table.caption
    assert "up to 8 runs are on the GPU at a time" in table.caption


def test_a_contestant_without_a_score_of_every_run_is_an_error() -> None:
    workload = Workload("bert-base", ("rte", "stsb"), 300, (1, 2), workers=1)
    scores = dict.fromkeys(workload.runs, 50.0)
    assert dict(in_turns(workload, {"all": lambda place: scores}, 1))["all"].scores == {"rte": 50.0, "stsb": 50.0}
    for wrong in (scores | {("stsb", 2): float("nan")}, {run: 1.0 for run in workload.runs if run != ("stsb", 2)}):
        with pytest.raises(ContestantError, match="some: 1 run without a score, the first one stsb with seed 2"):
            list(in_turns(workload, {"some": lambda place, wrong=wrong: wrong}, 1))


def test_processes_on_a_gpu_see_only_this_one_and_keep_their_threads() -> None:
    on_cpu = variables(Workload("bert-base", ("rte",), 300, (1,), workers=1))
    assert on_cpu["OMP_NUM_THREADS"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in on_cpu
    on_gpu = variables(Workload("bert-base", ("rte",), 300, (1,), workers=1, device="cuda", gpu="3"))
    assert (on_gpu["CUDA_VISIBLE_DEVICES"], on_gpu["CUDA_DEVICE_ORDER"]) == ("3", "PCI_BUS_ID")
    assert "OMP_NUM_THREADS" not in on_gpu


@pytest.mark.usefixtures("stand_in")
def test_a_sweep_that_found_no_gpu_is_not_taken_for_one(tmp_path: Path) -> None:
    encoder = str(save_encoder(tmp_path / "encoder", positions=128))
    workload = Workload(encoder, ("mini-cola",), 24, (1,), workers=1, device="cuda", gpu=GPU)
    with pytest.raises(ContestantError, match="found no GPU, so that its runs were done on the CPU"):
        same_runs.sweep(workload, tmp_path, ["--workers", "1"])
    with pytest.raises(ContestantError, match=r"trainer_script\.py.* failed: .*was to train on cuda|bf16"):
        same_runs.scripts(workload, "dynamic", tmp_path)


def test_without_a_gpu_one_line_says_what_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(GpuError, match="no GPU is found on this machine .* --dry-run"):
        CliRunner().invoke(app, ["bench", "gpu"], catch_exceptions=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", GPU)
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(GpuError, match=f"{GPU} is there, but torch .* finds none"):
        chosen_gpu()


def test_a_dry_run_shows_runs_files_and_commands_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    arguments = ["bench", "gpu", "--dry-run", "--tasks", "mini-cola,mini-stsb", "--seeds", "4", "--turns", "2"]
    output = CliRunner().invoke(app, arguments, catch_exceptions=False).output
    assert "8 runs by each of three contestants, in 2 turns" in output
    assert "seeds 1 to 4" in output
    for words in ("--workers 1", "--cluster shared/gpu.yaml", "trainer_script.py trainer/job-0.json"):
        assert words in output
    assert "runs_per_gpu: auto}" in output
    assert "tasks: [mini-cola, mini-stsb]" in output
