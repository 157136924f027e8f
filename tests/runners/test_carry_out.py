"""Carrying out runs that train nothing: every run leaves a record, whatever happens to workers."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy
import psutil
import pytest

from amix.runs import execute
from amix.runs.context import RunContext
from amix.specs.store import Store
from amix.training import cost
from helpers.fake_jobs import FakePerformer, LastingJob, Listening, planned, record
from helpers.toy_suite import gone, wait_until
from helpers.warm_processes import warm_workers
from results.loading.layout import ROOT
from runners.planning.cluster_file import ClusterError, read_cluster
from runners.planning.job import Job
from runners.sweeping import dispatch, gpu_sharing, local_pool, worker
from runners.sweeping.carry_out import carry_out, default_workers, visible_gpus, workers_here
from runners.sweeping.dispatch import Sweep
from runners.sweeping.gpu_sharing import CONTEXT, GpuSharing, free_bytes, sharing_of
from runners.sweeping.jobs import Outcome
from runners.sweeping.local_pool import LocalPool, workers_of

RUNS = [planned(seed) for seed in range(6)]


def statuses(performer: FakePerformer) -> list[str]:
    return [(performer.store.get(run.spec.key) or {"status": "missing"})["status"] for run in RUNS]


def test_runs_in_this_process_in_the_order_given(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, seconds=0), Listening()
    carry_out(RUNS, performer, performer.abandon, performer.store, 0, listening)
    assert listening.started_seeds == list(listening.finished_runs) == [0, 1, 2, 3, 4, 5]
    assert statuses(performer) == ["ok"] * 6
    assert {path.read_text() for path in tmp_path.glob("*.1")} == {str(os.getpid())}


def test_a_killed_worker_costs_only_its_own_run_which_is_retried(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, victim=0, hangs=1), Listening()
    others_done = []

    def kill_in_the_middle() -> None:
        started = tmp_path / "0.1"
        wait_until(lambda: started.exists() and started.read_text() != "" and performer.attempts(1) > 0, 60)
        others_done.append(performer.store.get(RUNS[0].spec.key) is None)
        os.kill(int(started.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    carry_out(RUNS, performer, performer.abandon, performer.store, 2, listening)
    killer.join()
    assert others_done == [True], "the run should have been killed in the middle"
    assert statuses(performer) == ["ok"] * 6
    assert listening.retried_seeds == [0]
    assert [performer.attempts(seed) for seed in range(6)] == [2, 1, 1, 1, 1, 1]
    pids = {path.name: path.read_text() for path in tmp_path.glob("?.?")}
    assert pids["0.1"] != pids["0.2"]


@pytest.fixture
def _forked() -> Iterator[None]:
    with warm_workers():
        yield


forked_workers = pytest.mark.usefixtures("_forked")
"""For tests in which many workers start, which takes a new interpreter a second; the others start as ever."""


@forked_workers
def test_a_run_that_always_kills_its_worker_is_recorded_as_an_accident(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, victim=2, kills_itself=9), Listening()
    carry_out(RUNS, performer, performer.abandon, performer.store, 2, listening)
    assert statuses(performer) == ["ok", "ok", "accident", "ok", "ok", "ok"]
    assert performer.attempts(2) == 3
    assert "died 3 times" in listening.finished_runs[2].message


@forked_workers
def test_a_retried_run_whose_worker_dies_is_not_settled_by_its_old_record(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, victim=0, kills_itself=1), Listening()
    performer.store.put(record(RUNS[0], "failed"))
    carry_out(RUNS[:2], performer, performer.abandon, performer.store, 2, listening)
    assert statuses(performer)[:2] == ["ok", "ok"]
    assert performer.attempts(0) == 2
    assert listening.finished_runs[0].status == "ok"


@forked_workers
def test_a_single_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    performer, listening = FakePerformer(tmp_path, victim=0, kills_itself=1), Listening()
    carry_out(RUNS[:2], performer, performer.abandon, performer.store, 1, listening)
    assert statuses(performer)[:2] == ["ok", "ok"]
    assert listening.retried_seeds == [0]
    assert (tmp_path / "0.1").read_text() != (tmp_path / "0.2").read_text()


def test_no_worker_process_is_left_behind(tmp_path: Path) -> None:
    performer = FakePerformer(tmp_path)
    before = set(psutil.Process().children(recursive=True))
    carry_out(RUNS[:2], performer, performer.abandon, performer.store, 2, Listening())
    workers = [psutil.Process().pid] + [int(path.read_text()) for path in tmp_path.glob("?.?")]
    assert len(set(workers)) == 3
    left = [child for child in set(psutil.Process().children(recursive=True)) - before if child.pid in workers]
    assert wait_until(lambda: gone(left), 5)


def test_only_visible_gpus_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    assert visible_gpus() == ["2", "5"]
    assert default_workers() == 2
    for given, seen in {"": [], "1, GPU-a": ["1", "GPU-a"], "0,-1,1": ["0"], "-1,0": [], "NoDevFiles": []}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert visible_gpus() == seen
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert default_workers() == 3, "one per core that this process may use"


def test_gpus_are_found_without_nvidia_smi_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("runners.sweeping.carry_out.DEVICES", tmp_path)
    assert visible_gpus() == []
    for name in ("nvidia3", "nvidia7", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert visible_gpus() == ["0", "1"]
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")  # The driver does not work.
    (tmp_path / "nvidia-smi").chmod(0o755)
    assert visible_gpus() == []


def test_a_worker_that_dies_while_it_is_starting_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_pool, "LONGEST_DEATH", 0.2)
    with local_pool.workers_of(1, []) as (cluster, client):
        pool = local_pool.LocalPool(cluster, client)
        (first,) = (nanny.pid for nanny in cluster.workers.values())
        psutil.Process(first).kill()

        def starting() -> int | None:
            return next((nanny.pid for nanny in cluster.workers.values() if nanny.pid not in (first, None)), None)

        assert wait_until(lambda: starting() is not None, 240)
        psutil.Process(starting()).kill()  # Its nanny gives up a process that dies before it has registered.

        assert wait_until(lambda: not pool.living(), 240)
        assert wait_until(lambda: bool(pool.living()), 240)
        assert client.submit(os.getpid).result(timeout=240) not in (first, os.getpid())


@forked_workers
def test_a_worker_that_its_nanny_gave_up_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_pool, "LONGEST_DEATH", 0.2)
    with workers_of(1, []) as (cluster, client):
        pool = LocalPool(cluster, client)
        (first,) = pool.living()
        (nanny,) = cluster.workers.values()
        cluster.sync(nanny.close)
        assert wait_until(lambda: pool.living() not in (set(), {first}), 240)


GIB = 2**30


def kinds(count: int, seeds: int) -> list[Job]:
    """Runs of several rows, seed by seed."""
    return [replace(planned(seed), label=f"row {kind}") for seed in range(seeds) for kind in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_runs_share_a_gpu_only_as_long_as_everything_on_it_fits(seed: int) -> None:
    """A simulation with runs of random sizes, some larger than a GPU, that end in random order."""
    random = numpy.random.default_rng(seed)
    room, most = dict.fromkeys("ab", int(random.integers(8, 40)) * GIB), int(random.integers(1, 6))
    sharing = GpuSharing(room, most, number=int)
    size = {f"row {kind}": int(random.integers(0, 12 * GIB)) for kind in range(5)}
    waiting, running, together = kinds(5, 8), dict[str, Job](), 0
    measured: set[str] = set()
    while waiting or running:
        for place in sharing.in_order({str(number) for number in range(2 * most)} - set(running)):
            if waiting and sharing.admits(place, waiting[0], running):
                running[place] = waiting.pop(0)
                sharing.started(place)
        assert running, "a GPU without runs takes any"
        for gpu in room:
            here = [run.label for place, run in running.items() if sharing.gpu(place) == gpu]
            processes = sum(sharing.gpu(place) == gpu for place in sharing.opened)
            taken = sum(size[label] for label in here) + CONTEXT * processes
            assert len(here) <= most
            assert len(here) <= 1 or (taken <= room[gpu] and measured.issuperset(here))
            together = max(together, len(here))
        place = str(random.choice(sorted(running)))
        run = running.pop(place)
        measured.add(run.label)
        sharing.note(run, Outcome("ok", gpu_bytes=size[run.label]))
    assert together > 1 or most == 1 or min(size.values()) > 2 * GIB


def test_a_failed_run_measures_nothing_and_a_dead_process_holds_nothing() -> None:
    sharing, run = GpuSharing({"0": 8 * GIB}, 8, number=int), planned(0)
    sharing.note(run, Outcome("oom", gpu_bytes=1))
    assert not sharing.admits("1", run, {"0": run})
    sharing.note(run, Outcome("ok", gpu_bytes=2 * GIB))
    assert sharing.admits("1", run, {"0": run})
    for place in ("2", "3"):
        sharing.started(place)
    assert not sharing.admits("1", run, {"0": run})
    sharing.only({"0", "1", "3"})
    assert sharing.admits("1", run, {"0": run})


def test_an_idle_process_that_died_holds_no_memory_and_an_idle_one_that_lives_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "wait", lambda *futures, **how: None)
    performer, pool = FakePerformer(tmp_path), LastingJob(2, float("inf"))
    sharing = GpuSharing({"0": 8 * GIB}, 8, number=["job 0", "job 1"].index, opened={"dead", "job 0"})
    sweep = Sweep(pool, performer, performer.abandon, performer.store, Listening(), sharing=sharing)  # type: ignore[arg-type]
    monkeypatch.setattr(pool, "living", lambda: {"job 0", "job 1"})
    sweep.carry_out(RUNS[:1])
    assert sharing.opened == {"job 0"}


@dataclass(frozen=True)
class OnGpu(FakePerformer):
    """Notes its GPU, and says that it took three gigabytes."""

    def __call__(self, run: Job) -> Outcome:
        (self.folder / f"gpu-{run.label}-{run.spec.seed}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
        return replace(super().__call__(run), gpu_bytes=3 * GIB)


class Watched(GpuSharing):
    """Notes which runs are on a GPU together."""

    together: list[list[str]]

    def admits(self, place: str, run: Job, running: Mapping[str, Job]) -> bool:
        admitted = super().admits(place, run, running)
        if admitted:
            here = [other.label for at, other in running.items() if self.gpu(at) == self.gpu(place)]
            self.together.append([run.label, *here])
        return admitted


def test_a_sweep_fills_its_gpus_after_the_first_run_of_each_kind(tmp_path: Path) -> None:
    """Two GPUs with room for two runs of 3 GiB, and for not quite three."""
    performer = OnGpu(tmp_path)
    runs = [replace(run, spec=replace(run.spec, method=run.label)) for run in kinds(2, 7)]
    with warm_workers(), workers_of(6, ["4", "7"]) as (cluster, client):
        workers = client.scheduler_info(n_workers=-1)["workers"]
        sharing = Watched({"4": 11 * GIB, "7": 11 * GIB}, 3, number=lambda place: int(workers[place]["name"]))
        sharing.together = []
        pool = LocalPool(cluster, client)
        Sweep(pool, performer, performer.abandon, performer.store, Listening(), sharing=sharing).carry_out(runs)
    assert sharing.together[:2] == [["row 0"], ["row 1"]]
    assert len(sharing.together) == len(runs)
    assert max(map(len, sharing.together)) == 2
    assert {path.read_text() for path in tmp_path.glob("gpu-*")} == {"4", "7"}


class UselessGpu:
    """Stands in for torch.cuda after an assertion in a kernel."""

    is_available = staticmethod(lambda: True)

    @staticmethod
    def synchronize() -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")


@dataclass(frozen=True)
class OnUselessGpu(FakePerformer):
    """Its victim leaves its process a GPU that no longer responds; like a Worker, it looks at that before each run."""

    def __call__(self, run: Job) -> Outcome:
        worker.end_if_useless()
        outcome = super().__call__(run)
        if run.spec.seed == self.victim:
            cost.torch = SimpleNamespace(cuda=UselessGpu)
        assert worker.left_gpu() == 0
        return outcome


@forked_workers
def test_a_process_whose_gpu_is_useless_does_no_other_run(tmp_path: Path) -> None:
    performer, listening = OnUselessGpu(tmp_path, victim=1), Listening()
    carry_out(RUNS[:4], performer, performer.abandon, performer.store, 1, listening)
    assert statuses(performer)[:4] == ["ok"] * 4
    assert listening.retried_seeds == [2]
    pids = [(tmp_path / f"{seed}.1").read_text() for seed in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_worker_looks_at_its_gpu_before_each_run_and_no_other_process_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(execute, "execute", lambda spec, context: ({"status": "ok", "ended": len(ended)}, {}))
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(worker, "_useless", threading.Event())
    one = worker.Worker(Store(tmp_path), RunContext())
    for useless, parent, codes in ((False, True, []), (True, False, []), (True, True, [1])):
        if useless:
            worker._useless.set()
        monkeypatch.setattr(multiprocessing, "parent_process", lambda parent=parent: parent or None)
        assert one.done(planned(0))[0]["ended"] == len(codes)
        assert ended == codes


@pytest.mark.parametrize(("options", "most"), [("auto", 8), ("2", 2)])
def test_a_cluster_file_says_how_many_runs_share_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str, most: int
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(f"kind: local\noptions: {{runs_per_gpu: {options}}}\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    file = read_cluster(str(path))
    for cores in (64, 6, 1):
        monkeypatch.setattr("runners.sweeping.carry_out.cores", lambda cores=cores: cores)
        assert workers_here(file) == (max(2, min(2 * most, cores)) if options == "auto" else 2 * most)
    monkeypatch.setattr(gpu_sharing, "free_bytes", lambda gpus: dict.fromkeys(gpus, 8 * GIB))
    sharing = sharing_of(file, visible_gpus(), int)
    assert sharing is not None
    assert (sharing.most, sharing.gpu("3"), sharing.room) == (most, "1", {"0": 8 * GIB, "1": 8 * GIB})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ClusterError, match="no GPU is visible"):
        workers_here(file)


def test_free_memory_is_read_from_nvidia_smi_or_its_absence_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho '0, GPU-a, 1000'\necho '1, GPU-b, 3000'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert free_bytes(["GPU-b"]) == {"GPU-b": 3000 * 2**20}
    assert free_bytes(["0", "1"]) == {"0": 1000 * 2**20, "1": 1000 * 2**20}
    for gpu in ("2", "MIG-x"):
        with pytest.raises(ClusterError, match=f"how much memory is free on GPU {gpu}; set workers"):
            free_bytes(["0", gpu])
    command.write_text("#!/bin/sh\nexit 9\n")
    with pytest.raises(ClusterError, match="GPU 0"):
        free_bytes(["0"])


INTERRUPTED_START = """
import asyncio, signal, threading, distributed
from runners.sweeping.local_pool import workers_of

async def never(nanny):
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)  # Wakes it, as Ctrl-C does.
    await asyncio.sleep(600)

def interrupt(number, frame):
    raise KeyboardInterrupt

distributed.Nanny.start = never
signal.signal(signal.SIGUSR1, interrupt)
try:
    with workers_of(1, []):
        pass
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_while_workers_start_leaves_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_START], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n")
    assert "Traceback" not in done.stderr


def test_no_result_is_held_after_its_run(tmp_path: Path) -> None:
    # What is held keeps a worker that is to leave. Errors that were caught hold it until the next garbage collection.
    performer = FakePerformer(tmp_path, seconds=0.6)  # Longer than the time after which the driver looks again.
    gc.disable()
    try:
        with workers_of(2, []) as (cluster, client):
            sweep = Sweep(LocalPool(cluster, client), performer, performer.abandon, performer.store, Listening())
            sweep.carry_out(RUNS[:4])
            assert wait_until(lambda: not client.futures, 20)
    finally:
        gc.enable()
