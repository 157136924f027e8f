"""Shipping: the driver packs what workers may lack, and each worker gets what its machine lacks before its survey."""

import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, Any, Protocol, Self

from distributed import Client, KilledWorker
from distributed.client import FutureCancelledError

from runners.planning.cluster_file import ClusterFile
from runners.sweeping.parcels import Parcel, ParcelError, lacks, pack, receive
from runners.sweeping.shipped_inputs import in_files, inputs_of
from runners.sweeping.survey import Needs, Survey, mismatches, survey
from runners.sweeping.turns import Turns

PIECE = 4 << 20
"""Bytes that are sent at once: all that driver, scheduler and worker hold of a parcel in memory."""
AT_A_TIME = 64
"""Workers that are served at once; most of them examine their copies."""
DELIVERIES = 8
"""Machines that get a parcel at once; the driver's network is the limit."""
MOST_DELIVERIES = 3
"""How often a worker gets a parcel whose copy is gone again before it is used, as others may remove it."""
POLL_SECONDS = 1.0


class Archive:
    """A packed parcel in a file without a name, which vanishes with the driver however that ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.turn = file, threading.Lock()

    def read(self, offset: int, size: int) -> bytes:
        """These bytes of it; threads may read at once."""
        with self.turn:
            self.file.seek(offset)
            return self.file.read(size)


@dataclass(frozen=True)
class Shipment:
    """What a sweep needs, and the parcels that bring it."""

    needs: Needs
    archives: Mapping[str, Archive] = field(default_factory=dict)
    """Each parcel's tar file, by its hash."""


@contextmanager
def packed(cluster: ClusterFile, needs: Needs, tell: Callable[[str], None]) -> Iterator[Shipment]:
    """Pack what workers may lack, if the cluster's file asks for it; the tar files are removed at the end.

    Args:
        cluster: the cluster.
        needs: what runs need.
        tell: receives one line with the sizes.

    Raises:
        ParcelError: a file cannot be packed, or there is no room for the tar files.
        EncoderError: the encoder is not on this machine.
        DataError: a folder does not exist.
        TaskError: a task file names a file that cannot be shipped.
    """
    if not cluster.ship:
        yield Shipment(needs)
        return
    needs = in_files(needs)
    with ExitStack() as files:
        parcels, archives = [], {}
        for one in inputs_of(needs):
            try:
                file = files.enter_context(tempfile.TemporaryFile())
                sha256, size = pack(one.files, file)
                file.flush()
            except OSError as error:
                raise ParcelError(
                    f"{one.what}: cannot be packed in {tempfile.gettempdir()} ({error.strerror or error}): make room "
                    "there, or set TMPDIR to another folder"
                ) from error
            parcels.append(Parcel(one.what, one.path, one.inside, sha256, size))
            archives[sha256] = Archive(file)
        tell(_sizes(parcels))
        yield Shipment(replace(needs, parcels=tuple(parcels)), archives)


def _sizes(parcels: list[Parcel]) -> str:
    """What a worker gets, in megabytes."""
    each = ", ".join(f"{parcel.what} {_megabytes(parcel.size)}" for parcel in parcels)
    return f"a worker gets {_megabytes(sum(parcel.size for parcel in parcels))}, unless its machine has it: {each}"


def _megabytes(size: int) -> str:
    return f"{max(size / 1e6, 0.1):.1f} MB"


class Look(Protocol):
    """A survey that is being made, with a future's methods."""

    def done(self) -> bool:
        """Whether it has ended."""

    def exception(self) -> BaseException | None:
        """Why it failed, after it has ended."""

    def result(self) -> Survey:
        """The survey, after it has ended."""

    def release(self) -> None:
        """Nobody needs it any more."""


class _WorkerGone(Exception):
    """The worker left while it was served."""


LEFT = (_WorkerGone, KilledWorker, FutureCancelledError)
"""Errors of a look that only say that the worker, or its process, was gone before it had ended."""


@dataclass(frozen=True)
class _Service:
    """A worker that a thread of the courier serves and surveys."""

    future: Future[Survey]
    gone: threading.Event

    def done(self) -> bool:
        return self.future.done()

    def exception(self) -> BaseException | None:
        return self.future.exception()

    def result(self) -> Survey:
        return self.future.result()

    def release(self) -> None:
        self.gone.set()
        self.future.cancel()


class Courier:
    """Surveys workers, and brings them the parcels that their machines lack before that."""

    def __init__(
        self, client: Client, needs: Needs, driver: Survey, archives: Mapping[str, Archive] | None = None
    ) -> None:
        self.client, self.needs, self.driver, self.archives = client, needs, driver, archives or {}
        self.threads = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="courier")
        self.services: list[_Service] = []
        self.deliveries = Turns(DELIVERIES)
        self.turns: dict[str, Turns] = {}
        """By host: one of its workers gets a parcel at a time, and the others find the copy."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for service in self.services:
            service.release()
        self.threads.shutdown(cancel_futures=True)

    def look(self, address: str) -> Look:
        """Begin to survey the worker at this address."""
        if not self.needs.parcels:
            look: Look = self._task(address, survey, self.needs)
            return look
        gone = threading.Event()
        service = _Service(self.threads.submit(self._serve, address, gone), gone)
        self.services = [*(one for one in self.services if not one.done()), service]
        return service

    def _serve(self, address: str, gone: threading.Event) -> Survey:
        """Survey a worker after it has the parcels, unless its code differs: then it gets none, and removes none."""
        bare = self._surveyed(gone, address, None)
        if mismatches(bare, self.driver, shared=False):
            return bare
        for _ in range(MOST_DELIVERIES):
            lacking = [parcel for parcel in self.needs.parcels if self._ask(gone, address, lacks, parcel)]
            if not lacking:
                break
            for parcel in lacking:
                self._bring(gone, address, parcel)
        return self._surveyed(gone, address, self.needs)

    def _bring(self, gone: threading.Event, address: str, parcel: Parcel) -> None:
        delivery = uuid.uuid4().hex
        on_its_host = self.turns.setdefault(address.rpartition(":")[0], Turns(1))
        with _turn_in(on_its_host, delivery, gone), _turn_in(self.deliveries, delivery, gone, on_its_host):
            for offset in range(0, parcel.size, PIECE):
                piece = self.archives[parcel.sha256].read(offset, PIECE)
                if not self._ask(gone, address, receive, parcel, delivery, offset, piece):
                    return
                for turns in (on_its_host, self.deliveries):
                    turns.note(delivery)

    def _surveyed(self, gone: threading.Event, address: str, needs: Needs | None) -> Survey:
        found: Survey = self._ask(gone, address, survey, needs)
        return found

    def _ask(self, gone: threading.Event, address: str, do: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns on a worker; a task that is bound to a worker would wait for it forever."""
        task = self._task(address, do, *arguments)
        try:
            while not gone.is_set():
                try:
                    return task.result(timeout=POLL_SECONDS)
                except TimeoutError:
                    if task.done():
                        return task.result()
            raise _WorkerGone
        finally:
            task.release()

    def _task(self, address: str, do: Callable[..., Any], *arguments: Any) -> Any:
        return self.client.submit(do, *arguments, workers=[address], allow_other_workers=False, pure=False)


@contextmanager
def _turn_in(turns: Turns, delivery: str, gone: threading.Event, *held: Turns) -> Iterator[None]:
    """Wait for a turn, as long as the worker is there; the turns that are held meanwhile are kept."""
    while not turns.take(delivery, POLL_SECONDS):
        if gone.is_set():
            raise _WorkerGone
        for other in held:
            other.note(delivery)
    try:
        yield
    finally:
        turns.leave(delivery)
