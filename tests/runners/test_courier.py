"""The courier: a machine gets a parcel once, and a worker without its copies gets them again at nobody's expense."""

import errno
import io
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import KilledWorker
from distributed.client import FutureCancelledError

from amix.runs import execute
from amix.runs.context import RunContext
from amix.specs.store import Store
from helpers.fake_jobs import FakePerformer, Listening, ShortJobs, UndoneFuture, planned
from helpers.own_texts import needs_of_own_files
from helpers.toy_suite import wait_until
from runners.planning.cluster_file import ClusterFile
from runners.sweeping import dispatch, shipping, turns
from runners.sweeping.jobs import NotEquipped, Outcome
from runners.sweeping.parcels import Parcel, ParcelError, pack, parcels_folder, receive
from runners.sweeping.remote_pool import RemotePool, without_project
from runners.sweeping.shipping import Archive, Courier, Shipment, packed
from runners.sweeping.survey import Needs, Survey
from runners.sweeping.worker import Worker


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of unpacked parcels, which only the test uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return parcels_folder()


class Task:
    """A task of a worker that has ended."""

    def __init__(self, do: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.do, self.arguments = do, arguments

    def result(self, timeout: float | None = None) -> Any:
        return self.do(*self.arguments)

    def release(self) -> None:
        pass


class WorkerHere:
    """A client whose worker does every task at once."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit(self, do: Callable[..., Any], *arguments: Any, workers: list[str], **how: Any) -> Task:
        self.asked.append(do.__name__)
        return Task(do, arguments)


DRIVER = Survey("here", None, "s", "3.11.7", {}, "x86_64", threads=1, age=0.0)


def looked(needs: Needs | None) -> Survey:
    """The survey of a worker like the driver."""
    return DRIVER if needs is None else replace(DRIVER, encoder="found")


def small_shipment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Shipment:
    """A parcel that is sent in three pieces, to workers that look like the driver."""
    (folder / "rows.csv").write_bytes(bytes(20_000))
    content = io.BytesIO()
    sha256, size = pack({"rows.csv": folder / "rows.csv"}, content)
    monkeypatch.setattr(shipping, "PIECE", size // 3 + 1)
    monkeypatch.setattr(shipping, "survey", looked)
    parcel = Parcel("rows", "", "", sha256, size)
    return Shipment(Needs(RunContext(), "e", (), "", parcels=(parcel,)), {sha256: Archive(content)})


def courier_of(client: Any, shipment: Shipment) -> Courier:
    return Courier(client, shipment.needs, DRIVER, shipment.archives)


def test_a_worker_gets_a_parcel_once_before_its_survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipment, client = small_shipment(tmp_path, monkeypatch), WorkerHere()
    for _ in range(2):
        with courier_of(client, shipment) as courier:
            assert courier.look("tls://n:1").result().encoder == "found"
    first = ["looked", "lacks", "receive", "receive", "receive", "lacks", "looked"]
    assert client.asked == [*first, "looked", "lacks", "looked"]


def test_workers_of_a_machine_that_start_together_get_a_parcel_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment, client, both = small_shipment(tmp_path, monkeypatch), WorkerHere(), threading.Event()
    submit = client.submit

    def together(do: Callable[..., Any], *arguments: Any, **how: Any) -> Task:
        task = submit(do, *arguments, **how)
        if client.asked.count("lacks") == 2:
            both.set()
        assert do is not receive or both.wait(60)
        return task

    monkeypatch.setattr(client, "submit", together)
    with courier_of(client, shipment) as courier:
        looks = [courier.look(f"tls://n:{port}") for port in (1, 2)]
        assert [look.result().encoder for look in looks] == ["found"] * 2
    # The second one's first piece finds the copy, unless its question already did.
    assert client.asked.count("receive") in (3 + 1, 3)


@pytest.mark.parametrize("frozen", ["a worker of the same machine", "workers of as many machines as are served"])
def test_frozen_workers_hold_nobody_up_until_the_scheduler_misses_them(
    frozen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(turns, "STALLED", 0.0)
    shipment, client, thaw = small_shipment(tmp_path, monkeypatch), WorkerHere(), threading.Event()
    hosts = ["n"] if frozen.startswith("a worker") else [f"n{number}" for number in range(shipping.DELIVERIES)]
    submit, reached = client.submit, threading.Semaphore(0)

    class Frozen(Task):
        """A task that is done after its worker was resumed."""

        def result(self, timeout: float | None = None) -> Any:
            reached.release()
            if not thaw.wait(timeout):
                raise TimeoutError
            return super().result()

        def done(self) -> bool:
            return False

    def freezing(do: Callable[..., Any], *arguments: Any, workers: list[str], **how: Any) -> Task:
        is_frozen = do is receive and workers[0].endswith(":1")
        return Frozen(do, arguments) if is_frozen else submit(do, *arguments, workers=workers, **how)

    monkeypatch.setattr(client, "submit", freezing)
    with courier_of(client, shipment) as courier:
        looks = [courier.look(f"tls://{host}:1") for host in hosts]
        assert all(reached.acquire(timeout=60) for _ in hosts)
        other = courier.look("tls://n:2")
        assert wait_until(other.done, 60), "it should not wait for the frozen ones"
        assert other.result().encoder == "found"
        assert not any(look.done() for look in looks)
        thaw.set()
        assert [look.result().encoder for look in looks] == ["found"] * len(looks)
    assert [path.name for path in parcels_folder().iterdir()] == list(shipment.archives)


def test_a_delivery_that_makes_progress_keeps_its_turn() -> None:
    machine = turns.Turns(1)
    assert machine.take("first", 0.0)
    assert not machine.take("second", 0.0)
    machine.note("first")
    assert not machine.take("second", 0.0)
    machine.leave("first")
    assert machine.take("second", 0.0)


def test_a_worker_with_other_code_gets_nothing_and_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment, client = small_shipment(tmp_path, monkeypatch), WorkerHere()
    with Courier(client, shipment.needs, replace(DRIVER, python="3.12"), shipment.archives) as courier:  # type: ignore[arg-type]
        found = courier.look("tls://n:1").result()
    assert (client.asked, found.encoder) == (["looked"], "not examined")


def test_a_worker_that_cannot_store_a_parcel_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment = small_shipment(tmp_path, monkeypatch)
    (tmp_path / "cache").write_text("a file where a folder is needed")
    with courier_of(WorkerHere(), shipment) as courier:
        error = courier.look("tls://n:1").exception()
    assert error is not None
    assert without_project(error).startswith("rows: cannot be stored in ")


def test_a_worker_that_leaves_while_it_is_served_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment, asked = small_shipment(tmp_path, monkeypatch), threading.Event()
    monkeypatch.setattr(shipping, "POLL_SECONDS", 0.01)

    class Unanswered(Task):
        def result(self, timeout: float | None = None) -> Any:
            asked.wait(timeout)
            asked.set()
            raise TimeoutError

        def done(self) -> bool:
            return False

    client = WorkerHere()
    monkeypatch.setattr(client, "submit", lambda do, *arguments, **how: Unanswered(do, arguments))
    with courier_of(client, shipment) as courier:
        look = courier.look("tls://n:1")
        assert asked.wait(60)
        look.release()
    assert look.done()
    assert isinstance(look.exception(), shipping._WorkerGone)


class SchedulerHere(WorkerHere):
    """A client of a scheduler with one worker, whose first look ends with an error."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.errors, self.scheduler = [error], SimpleNamespace(identity=None)

    def sync(self, call: Any, n_workers: int) -> dict[str, Any]:
        worker = {"name": "n", "nanny": "nanny", "local_directory": "w", "last_seen": 1.0, "status": "running"}
        return {"workers": {"tls://n:1": worker}}

    def submit(self, do: Callable[..., Any], *arguments: Any, **how: Any) -> Any:
        error = self.errors.pop() if self.errors else None
        return SimpleNamespace(
            done=lambda: True, exception=lambda: error, result=lambda: DRIVER, release=lambda: self.asked.append("look")
        )


def pool_over(client: SchedulerHere, told: Callable[[str], None]) -> tuple[RemotePool, Callable[[], set[str]]]:
    pool = RemotePool(client, Needs(RunContext(), "e", (), ""), DRIVER, 1.0, tell=told)  # type: ignore[arg-type]

    def living_after_another_look() -> set[str]:
        pool.looked = 0.0
        pool.tend(1, set())
        return pool.living()

    return pool, living_after_another_look


LOOKS_CUT_OFF = {
    "killed": KilledWorker("look", SimpleNamespace(address="tls://n:1"), 0),  # type: ignore[arg-type]
    "cancelled": FutureCancelledError("look", "the worker left"),
}


@pytest.mark.parametrize("error", LOOKS_CUT_OFF.values(), ids=LOOKS_CUT_OFF)
def test_a_process_that_dies_during_its_look_is_not_refused(error: Exception) -> None:
    pool, living = pool_over(SchedulerHere(error), pytest.fail)
    assert living() == set()
    assert pool.expecting()
    assert len(living()) == 1


def test_a_worker_without_its_copies_gets_no_run_until_it_was_served_again() -> None:
    told: list[str] = []
    client = SchedulerHere(None)
    pool, living = pool_over(client, told.append)
    (place,) = living()
    pool.equip_again(place)
    assert (pool.living(), pool.expecting()) == (set(), True)
    assert told == ["worker on here: its copies of your files were removed or changed; it gets them again"]
    assert living() == {place}
    assert client.asked == ["look"] * 2


class Ended(UndoneFuture):
    """The future of a run that has ended, well or with an error."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def done(self) -> bool:
        return True

    def exception(self, timeout: float) -> Exception | None:
        return self.error

    def result(self, timeout: float) -> Outcome:
        return Outcome("ok")


class Losing(ShortJobs):
    """A pool whose only worker has lost its copies the first times that it is given a run."""

    def __init__(self, times: int) -> None:
        super().__init__(1, float("inf"))
        self.left = times
        self.equipped: list[str] = []

    def submit(self, perform: Any, run: Any, **how: Any) -> Any:
        self.left -= 1
        return Ended(NotEquipped("gone") if self.left >= 0 else None)

    def equip_again(self, place: str) -> None:
        self.equipped.append(place)


@pytest.mark.parametrize("times", [1, 9])
def test_a_run_whose_copies_vanished_is_done_again_and_never_the_methods_failure(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "wait", lambda *futures, **how: None)
    performer, listening, pool = FakePerformer(tmp_path), Listening(), Losing(times)
    dispatch.Sweep(pool, performer, performer.abandon, performer.store, listening).carry_out([planned(0)])  # type: ignore[arg-type]
    assert listening.retried_seeds == []
    assert listening.given_back_seeds == [0] * min(times, dispatch.MOST_JOBS - 1)
    assert pool.equipped == ["job 0"] * min(times, dispatch.MOST_JOBS)
    expected = Outcome("ok") if times == 1 else Outcome("accident", dispatch.VANISHED)
    assert listening.finished_runs == {0: expected}


@pytest.mark.parametrize("status", ["ok", "accident", "failed"])
@pytest.mark.parametrize("kept", [True, False], ids=["copies kept", "copies gone"])
def test_only_a_run_that_failed_without_its_copies_says_so(
    status: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.csv").write_text("text,label")
    content = io.BytesIO()
    parcel = Parcel("rows", "", "", *pack({"rows.csv": tmp_path / "rows.csv"}, content))
    assert not receive(parcel, "delivery", 0, content.getvalue())

    def ended(spec: object, context: object) -> tuple[dict[str, Any], dict[str, Any]]:
        if not kept:
            shutil.rmtree(parcel.folder)
        return {"status": status, "error": {"message": "no such file"}}, {}

    monkeypatch.setattr(execute, "execute", ended)
    worker = Worker(Store(tmp_path), RunContext(), (parcel,))
    if kept or status == "ok":
        assert worker.done(planned(0))[0]["status"] == status
        return
    with pytest.raises(NotEquipped, match="no such file"):
        worker.done(planned(0))


SHIPPING = ClusterFile.model_validate({"kind": "address", "address": "tls://n:1", "ship": True})


def test_a_full_disk_of_the_driver_is_one_line_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        """A file on a disk without room."""

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def write(self, content: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shipping.tempfile, "TemporaryFile", Full)
    words = r"cannot be packed in \S+ \(No space left on device\): make room there, or set TMPDIR"
    with pytest.raises(ParcelError, match=words), packed(SHIPPING, needs_of_own_files(tmp_path), pytest.fail):
        pass
