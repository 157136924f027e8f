"""Sweeps over TLS on a scheduler and workers started by hand: frozen, killed, mismatched and uncertified ones."""

import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner, Result

from amix.runs.context import RunContext
from amix.specs.store import Store
from helpers.fake_jobs import FakePerformer, Listening, planned
from helpers.hand_started import ROOT, HandStarted, hand_started, make_certificate
from helpers.own_texts import pool_that_sees_no, suite_on_own_files
from helpers.same_tables import assert_same_tables
from helpers.toy_suite import save_encoder, wait_until, write_suite
from runners.cli.app import app
from runners.planning.cluster_file import ClusterError, read_cluster
from runners.sweeping import on_cluster
from runners.sweeping.clusters import pool_of
from runners.sweeping.dispatch import Sweep
from runners.sweeping.survey import Needs

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificates with openssl"),
]
RUNS = [planned(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandStarted]:
    with hand_started(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def workers(by_hand: HandStarted) -> Iterator[Callable[[int], None]]:
    """Starts a number of workers, which end with the test."""

    def start(count: int) -> None:
        for _ in range(count):
            by_hand.start_worker()

    yield start
    by_hand.stop_workers()


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def sweep(by_hand: HandStarted, performer: FakePerformer, runs: int = len(RUNS)) -> Listening:
    """Carry out runs that train nothing, on the workers of the scheduler."""
    listening = Listening()
    needs = Needs(RunContext(), "minilm-l4", (), str(performer.folder))
    with pool_of(read_cluster(str(by_hand.cluster)), needs, print) as pool:
        Sweep(pool, performer, performer.abandon, performer.store, listening).carry_out(RUNS[:runs])
    return listening


def statuses(performer: FakePerformer, runs: int = len(RUNS)) -> list[str]:
    return [(performer.store.get(run.spec.key) or {"status": "missing"})["status"] for run in RUNS[:runs]]


def in_the_middle_of(performer: FakePerformer, attempt: str, act: Callable[[int], None]) -> threading.Thread:
    """Do something to the process of an attempt while it is running."""

    def wait_and_act() -> None:
        started = performer.folder / attempt
        if wait_until(lambda: started.exists() and started.read_text() != "", 240):
            act(int(started.read_text()))

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    return thread


def kill_with_nanny(pid: int) -> None:
    """Kill a worker together with its nanny, as the end of a job does."""
    os.kill(psutil.Process(pid).ppid(), signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)


def test_tables_equal_those_of_a_local_sweep_even_if_a_worker_was_frozen(
    by_hand: HandStarted, workers: Callable[[int], None], tmp_path: Path
) -> None:
    suite = write_suite(tmp_path, save_encoder(tmp_path / "tiny-bert"), methods="vanilla, mixout, lora")
    workers(4)
    store, frozen = Store(tmp_path / "far" / "records" / "tiny"), []

    def freeze() -> None:
        wait_until(lambda: len(list(store.keys())) >= 2, 240)
        worker = by_hand.worker_process()
        worker.suspend()
        frozen.append(len(list(store.keys())))
        time.sleep(2)
        worker.resume()

    freezer = threading.Thread(target=freeze)
    freezer.start()
    far = call("sweep", "--suite", suite, "--out", tmp_path / "far", "--cluster", by_hand.cluster)
    freezer.join()
    assert far.exit_code == 0, far.output
    assert re.search(r"workers: \d\n", far.output), "the number of workers is shown"
    assert frozen[0] < 12, "a worker should have been frozen before the sweep ended"
    near = call("sweep", "--suite", suite, "--out", tmp_path / "near", "--workers", "0")
    assert near.exit_code == 0, near.output
    assert_same_tables("tiny", tmp_path / "near", tmp_path / "far")


def test_a_check_shows_every_worker_and_what_it_finds(by_hand: HandStarted, tmp_path: Path) -> None:
    by_hand.start_worker(root=ROOT)
    shown = call("cluster", "check", by_hand.cluster, "--out", tmp_path)
    by_hand.stop_workers()
    assert shown.exit_code == 0, shown.output
    assert shown.output.splitlines()[-1] == "fits"
    for word in ("worker ", "commit ", "torch ", "device ", "threads ", "encoder ", "mini-cola: found", "records "):
        assert word in shown.output


def test_a_worker_with_other_code_is_refused(by_hand: HandStarted, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("amix", "baselines", "runners", "results"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "records", "tables"))
    (copy / "amix" / "changed.py").write_text("")
    by_hand.start_worker(root=copy)
    suite = write_suite(tmp_path, save_encoder(tmp_path / "tiny-bert"), tasks="mini-cola", methods="vanilla")
    try:
        swept = call("sweep", "--suite", suite, "--out", tmp_path, "--cluster", by_hand.cluster)
    finally:
        by_hand.stop_workers()
    assert "the project's code there differs from the code here" in str(swept.exception)
    assert not list((tmp_path / "records" / "tiny").glob("?" * 64 + ".json"))


def test_a_client_with_another_certificate_is_rejected(by_hand: HandStarted, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    (tmp_path / "cluster.yaml").write_text(by_hand.cluster.read_text())
    refused = call("cluster", "check", tmp_path / "cluster.yaml", "--out", tmp_path)
    assert isinstance(refused.exception, ClusterError)
    assert "no scheduler answers there" in str(refused.exception)
    assert "certificates" in str(refused.exception)


def test_a_client_without_a_certificate_is_rejected(by_hand: HandStarted, tmp_path: Path) -> None:
    refused = call("cluster", "check", by_hand.address, "--out", tmp_path)
    assert "there is no certificate for it" in str(refused.exception)
    address = by_hand.address.replace("tls://", "tcp://")
    (tmp_path / "open.yaml").write_text(f"kind: address\naddress: {address}\ninsecure: true\n")
    refused = call("cluster", "check", tmp_path / "open.yaml", "--out", tmp_path)
    assert "no scheduler answers there" in str(refused.exception)


def test_the_death_of_a_process_counts_as_an_attempt(
    by_hand: HandStarted, workers: Callable[[int], None], tmp_path: Path
) -> None:
    workers(2)
    performer = FakePerformer(tmp_path, victim=0, kills_itself=1)
    listening = sweep(by_hand, performer)
    assert statuses(performer) == ["ok"] * 4
    assert (listening.retried_seeds, listening.given_back_seeds) == ([0], [])
    assert [performer.attempts(seed) for seed in range(4)] == [2, 1, 1, 1]


def test_a_worker_that_is_replaced_at_the_same_port_gets_runs_again(by_hand: HandStarted, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    by_hand.start_worker("--worker-port", str(port))
    performer = FakePerformer(tmp_path, victim=0, kills_itself=1)
    try:
        listening = sweep(by_hand, performer)
    finally:
        by_hand.stop_workers()
    assert statuses(performer) == ["ok"] * 4
    assert performer.attempts(0) == 2
    # The scheduler may give the run to the new worker before the driver sees that the old one is gone.
    assert listening.retried_seeds in ([], [0])
    assert listening.given_back_seeds == []


def test_the_end_of_a_job_does_not_count_as_an_attempt(
    by_hand: HandStarted, workers: Callable[[int], None], tmp_path: Path
) -> None:
    workers(2)
    performer = FakePerformer(tmp_path, victim=0, hangs=1)
    ender = in_the_middle_of(performer, "0.1", kill_with_nanny)
    listening = sweep(by_hand, performer)
    ender.join()
    assert statuses(performer) == ["ok"] * 4
    assert (listening.retried_seeds, listening.given_back_seeds) == ([], [0])


def test_a_run_on_a_worker_that_is_frozen_for_good_is_done_by_another(
    by_hand: HandStarted, workers: Callable[[int], None], tmp_path: Path
) -> None:
    workers(2)
    performer = FakePerformer(tmp_path, victim=0, hangs=1)
    freezer = in_the_middle_of(performer, "0.1", lambda pid: os.kill(pid, signal.SIGSTOP))
    listening = sweep(by_hand, performer)
    freezer.join()
    assert statuses(performer) == ["ok"] * 4
    assert (listening.retried_seeds, listening.given_back_seeds) == ([], [0])


@pytest.fixture
def there(by_hand: HandStarted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A worker that sees nothing below `inputs` while a sweep has workers, and its own folder of parcels."""
    monkeypatch.setattr(on_cluster, "pool_of", pool_that_sees_no(tmp_path / "inputs"))
    with monkeypatch.context() as environment:
        environment.setenv("XDG_CACHE_HOME", str(tmp_path / "there"))
        by_hand.start_worker(root=ROOT)
    yield tmp_path / "there" / "amix" / "shipped"
    by_hand.stop_workers()


def test_a_worker_that_sees_no_file_of_the_driver_gets_copies_and_its_replacement_too(
    by_hand: HandStarted, there: Path, tmp_path: Path
) -> None:
    suite, ships = suite_on_own_files(tmp_path), by_hand.folder / "ships.yaml"
    inputs = ("--glue", tmp_path / "inputs" / "glue", "--out-of-domain", tmp_path / "inputs" / "sets")
    ships.write_text(by_hand.cluster.read_text() + "ship: true\n")
    refused = call("sweep", "--suite", suite, "--out", tmp_path / "no", "--cluster", by_hand.cluster, *inputs)
    assert "no worker can be used" in str(refused.exception)
    assert "'ship: true'" in str(refused.exception)
    far_records = Store(tmp_path / "far" / "records" / "tiny")

    def replace_worker() -> None:
        """Kill the worker in the middle of the sweep; its replacement finds no copies."""
        wait_until(lambda: len(list(far_records.keys())) >= 2, 240)
        worker = by_hand.worker_process()
        worker.suspend()  # Its replacement could otherwise find the copies before all of them are removed.
        shutil.rmtree(there)
        worker.kill()

    killer = threading.Thread(target=replace_worker)
    killer.start()
    far = call("sweep", "--suite", suite, "--out", tmp_path / "far", "--cluster", ships, *inputs)
    killer.join()
    assert far.exit_code == 0, far.output
    assert far.output.count("a worker gets ") == 1
    names = sorted(path.name for path in there.iterdir())
    assert len(names) == 5, "encoder, task, method, GLUE and out-of-domain sets, and no other file"
    assert all(re.fullmatch(r"[0-9a-f]{64}", name) for name in names)
    checked = call("cluster", "check", ships, "--suite", suite, "--out", tmp_path / "far", *inputs)
    assert checked.exit_code == 0, checked.output
    assert checked.output.splitlines()[-1] == "fits"
    near = call("sweep", "--suite", suite, "--out", tmp_path / "near", "--workers", "0", *inputs)
    assert near.exit_code == 0, near.output
    assert_same_tables("tiny", tmp_path / "near", tmp_path / "far")
    assert comparable(far_records) == comparable(Store(tmp_path / "near" / "records" / "tiny"))


def comparable(store: Store) -> dict[str, dict[str, Any]]:
    """The records by their keys, without what differs between any two runs: cost, environment and digest."""
    records = {key: json.loads(store.path(key).read_text()) for key in list(store.keys())}
    return {
        key: {name: value for name, value in record.items() if name not in ("cost", "environment", "digest")}
        for key, record in records.items()
    }
