"""Sweeps on a real Slurm, if there is one: cancelled, requeued and expired jobs, and a killed driver."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from amix.runs.context import RunContext
from amix.specs.store import Store
from helpers.fake_jobs import FakePerformer, Listening, planned
from helpers.own_texts import call, pool_that_sees_no, suite_on_own_files
from helpers.same_tables import assert_same_tables
from helpers.toy_suite import save_encoder, wait_until, write_suite
from runners.planning.cluster_file import read_cluster
from runners.sweeping import on_cluster
from runners.sweeping.clusters import pool_of
from runners.sweeping.dispatch import Sweep
from runners.sweeping.survey import Needs

ROOT = Path(__file__).parents[2]
RUNS = 40
OPTIONS = "cores: 1, memory: 900MB, interface: lo, job_name: amix-test"


def no_slurm() -> str:
    """Why there is no Slurm to test with; "" if there is one."""
    if shutil.which("sbatch") is None:
        return "there is no sbatch on PATH"
    for package in ("dask_jobqueue", "cryptography"):
        try:
            __import__(package)
        except ImportError:
            return f"{package} is not installed"
    try:
        # A controller that is up answers at once, and is asked first: sinfo waits nine seconds for one that is not.
        ping = asked("scontrol", "ping")
        if " is UP" not in ping.stdout:
            return f"no controller of Slurm is up: {ping.stdout.partition('*')[0]}{ping.stderr}".strip()
        up = asked("sinfo", "-h", "-o", "%t")
    except subprocess.TimeoutExpired:
        return "Slurm does not answer"
    return "" if up.stdout.strip() in ("idle", "mix", "alloc") else f"sinfo shows no node: {up.stdout}{up.stderr}"


def asked(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=15)


MISSING = no_slurm()
pytestmark = [pytest.mark.timeout(1800), pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")]
START_SECONDS = 600.0
"""Generous: on a busy machine each job takes a minute to start."""


def cluster_file(folder: Path, options: str = OPTIONS, more: str = "") -> Path:
    path = folder / "slurm.yaml"
    path.write_text(f'kind: slurm\njobs: 2\noptions: {{{options}, walltime: "00:10:00"}}\n{more}')
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the output of jobs in the folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("suite")
    path = write_suite(folder, save_encoder(folder / "tiny-bert"), methods="vanilla, mixout, lora, topk_layers")
    path.write_text(path.read_text().replace("seeds: [1, 2]", "seeds: [1, 2, 3, 4, 5]"))
    return path


@pytest.fixture(scope="module")
def near(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep in one process of this machine."""
    out = tmp_path_factory.mktemp("near")
    process = start("sweep", "--suite", suite, "--out", out, "--workers", "0")
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return out


def start(*arguments: str | Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "runners", *map(str, arguments)], cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"},
        text=True, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def recorded(out: Path) -> int:
    return len(list(Store(out / "records" / "tiny").keys()))


def running_jobs() -> list[str]:
    """The ids of the running jobs."""
    listed = subprocess.run(
        ["squeue", "-h", "-n", "amix-test", "-t", "R", "-o", "%i"], capture_output=True, text=True, check=True
    )
    return listed.stdout.split()


def jobs_used(folder: Path) -> int:
    """How many jobs have printed something."""
    return len(list((folder / "cache" / "amix" / "jobs").glob("*.err")))


def cancel(job: str) -> None:
    subprocess.run(["scancel", job], check=True)


def requeue(job: str) -> None:
    subprocess.run(["scontrol", "requeue", job], check=True)


def shorten_the_walltime(job: str) -> None:
    """Let the job end a minute after its start, or at once if that is over."""
    subprocess.run(["scontrol", "update", f"JobId={job}", "TimeLimit=1"], check=True)


def let_the_walltime_end_a_run(job: str) -> None:
    """Shorten the job's walltime and freeze its worker until then, so that its run is not done by that time."""
    shorten_the_walltime(job)
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("SLURM_JOB_ID") == job and "multiprocessing.spawn" in " ".join(process.cmdline()):
                process.suspend()


def test_jobs_that_end_early_leave_no_trace_in_the_tables(suite: Path, near: Path, tmp_path: Path) -> None:
    process = start("sweep", "--suite", suite, "--out", tmp_path, "--cluster", cluster_file(tmp_path))
    for count, end in ((4, cancel), (12, requeue), (20, let_the_walltime_end_a_run)):
        wait_until(lambda count=count: recorded(tmp_path) >= count or process.poll() is not None, START_SECONDS)  # type: ignore[misc]
        assert count <= recorded(tmp_path) < RUNS, "jobs should be ended in the middle of the sweep"
        end(running_jobs()[0])
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert recorded(tmp_path) == RUNS
    repeated = output.count("is gone or gets no more runs; the run waits")
    assert 1 <= repeated <= 3, "only runs in progress are repeated, and one was held until its job ended"
    assert f"{RUNS} runs: {RUNS} ok ({RUNS} done now, in {RUNS + repeated} attempts)" in output
    assert "is tried again" not in output, "the end of a job is no fault of its run"
    assert re.search(r"^jobs: [12] running, [01] queued or starting$", output, re.MULTILINE)
    assert_same_tables("tiny", near, tmp_path)
    assert wait_until(lambda: not running_jobs(), 60), "no job outlives its sweep"


def test_workers_leave_between_runs_before_their_lifetime_ends(suite: Path, tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    cluster = cluster_file(tmp_path, more="lifetime: 1s")  # Too short for a second run on any machine.
    for out, place in ((near, ("--workers", "0")), (far, ("--cluster", cluster))):
        output, _ = (process := start("sweep", "--suite", suite, "--seeds", "1", "--out", out, *place)).communicate()
        assert process.returncode == 0, output
    assert recorded(far) == RUNS // 5
    assert jobs_used(tmp_path) >= RUNS // 5, "each run has a job of its own"
    assert "attempts" not in output, "no run was cut off"
    assert_same_tables("tiny", near, far)


def test_the_sweep_of_a_killed_driver_can_be_resumed_and_its_jobs_end(suite: Path, near: Path, tmp_path: Path) -> None:
    command = ("sweep", "--suite", suite, "--out", tmp_path, "--cluster", cluster_file(tmp_path))
    process = start(*command)
    wait_until(lambda: recorded(tmp_path) >= 5 or process.poll() is not None, START_SECONDS)
    orphans = set(running_jobs())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = {path.name: path.read_bytes() for path in (tmp_path / "records" / "tiny").glob("*.json")}
    assert 5 <= len(before) - 1 < RUNS  # plan.json is there too.
    assert orphans
    output, _ = (process := start(*command)).communicate()
    assert process.returncode == 0, output
    assert f"{len(before) - 1} of {RUNS} runs are done" in output
    assert "attempts" not in output, "each remaining run was started once"
    after = {path.name: path.read_bytes() for path in (tmp_path / "records" / "tiny").glob("*.json")}
    assert before.items() - {("plan.json", before["plan.json"])} <= after.items(), "no finished run is done again"
    assert_same_tables("tiny", near, tmp_path)
    assert wait_until(lambda: not orphans & set(running_jobs()), 300), "jobs end without their driver"


def test_a_run_cut_off_by_the_walltime_does_not_count_as_an_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, listening = [planned(seed) for seed in range(3)], Listening()
    performer = FakePerformer(tmp_path, victim=0, hangs=1, hang_seconds=1800)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests")]))
    needs = Needs(RunContext(), "minilm-l4", (), str(tmp_path))

    def end_the_victims_job() -> None:
        started = tmp_path / "0.1"
        wait_until(lambda: started.exists() and started.read_text() != "", START_SECONDS)
        shorten_the_walltime(psutil.Process(int(started.read_text())).environ()["SLURM_JOB_ID"])

    ender = threading.Thread(target=end_the_victims_job)
    ender.start()
    with pool_of(read_cluster(str(cluster_file(tmp_path))), needs, print) as pool:
        Sweep(pool, performer, performer.abandon, performer.store, listening).carry_out(runs)
    ender.join()
    assert [(performer.store.get(run.spec.key) or {})["status"] for run in runs] == ["ok"] * 3
    assert (listening.retried_seeds, listening.given_back_seeds) == ([], [0])
    assert performer.attempts(0) == 2


def test_jobs_that_see_no_file_of_the_driver_get_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, there = suite_on_own_files(tmp_path), tmp_path / "there"
    options = f"{OPTIONS}, job_script_prologue: ['export XDG_CACHE_HOME={there}']"
    cluster = cluster_file(tmp_path, options, more="ship: true\n")
    monkeypatch.setattr(on_cluster, "pool_of", pool_that_sees_no(tmp_path / "inputs"))
    inputs = ("--glue", tmp_path / "inputs" / "glue", "--out-of-domain", tmp_path / "inputs" / "sets")
    for out, place in (("far", ("--cluster", cluster)), ("near", ("--workers", "0"))):
        swept = call("sweep", "--suite", suite, "--out", tmp_path / out, *place, *inputs)
        assert swept.exit_code == 0, swept.output
    copies = [path.name for path in (there / "amix" / "shipped").iterdir()]
    assert len(copies) == 5, "encoder, task, method, GLUE and out-of-domain sets, once for both jobs"
    assert_same_tables("tiny", tmp_path / "near", tmp_path / "far")


def test_an_unknown_queue_is_reported_in_one_line(suite: Path, tmp_path: Path) -> None:
    path = cluster_file(tmp_path)
    path.write_text(path.read_text().replace("cores: 1", "cores: 1, queue: nowhere"))
    output, _ = (process := start("cluster", "check", path, "--out", tmp_path)).communicate()
    assert process.returncode == 2
    message = " ".join(output.split())
    assert "the batch system accepts no job: sbatch: error: invalid partition specified: nowhere" in message
    assert "Traceback" not in output
