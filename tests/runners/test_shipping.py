"""Shipping: files arrive as they were or not at all, each machine gets them once, and runs find the copies."""

import hashlib
import io
import os
import random
import shutil
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from amix.runs.context import RunContext
from amix.specs.encoder_files import locate, source_hash
from amix.specs.encoders import Encoder, EncoderError, find_encoder
from helpers.own_texts import hidden, needs_of_own_files
from runners.planning.cluster_file import ClusterFile
from runners.sweeping import shipping
from runners.sweeping.parcels import ABANDONED, Parcel, ParcelError, found_here, lacks, pack, parcels_folder, receive
from runners.sweeping.remote_pool import without_project
from runners.sweeping.shipped_inputs import in_files
from runners.sweeping.shipping import Courier, Shipment, packed
from runners.sweeping.survey import Needs, mismatches, survey

NAMES = ("a", "ü", "two words", "n" * 110, "x.json", ".hidden", "日本", "semi;colon", "-dash")
SIZES = (0, 1, 511, 512, 513, 20_000)
SHIPPING = ClusterFile.model_validate({"kind": "address", "address": "tls://n:1", "ship": True})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of unpacked parcels, which only the test uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return parcels_folder()


def random_files(folder: Path, seed: int) -> dict[str, Path]:
    """A random tree of files, by their relative paths."""
    draw = random.Random(seed)
    for _ in range(draw.randint(1, 12)):
        path = folder.joinpath(*draw.choices(NAMES, k=draw.randint(0, 3)), f"{draw.choice(NAMES)}.file")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw.randbytes(draw.choice(SIZES)))
    return files_in(folder)


def files_in(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def contents(files: dict[str, Path]) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files.items()}


def parcel_of(files: dict[str, Path]) -> tuple[Parcel, bytes]:
    archive = io.BytesIO()
    sha256, size = pack(files, archive)
    return Parcel("rows", "/driver/rows", "rows", sha256, size), archive.getvalue()


def deliver(parcel: Parcel, archive: bytes, piece: int = 5000) -> None:
    for offset in range(0, len(archive), piece):
        receive(parcel, "delivery", offset, archive[offset : offset + piece])


@pytest.mark.parametrize("seed", range(12))
def test_any_files_come_back_as_they_were(seed: int, tmp_path: Path, cache: Path) -> None:
    files = random_files(tmp_path / "tree", seed)
    parcel, archive = parcel_of(files)
    assert lacks(parcel)
    deliver(parcel, archive, random.Random(seed).randint(1000, 30_000))
    assert contents(files_in(parcel.folder)) == contents(files)
    assert not lacks(parcel)
    assert names_in(cache) == [parcel.sha256]


def test_a_parcel_may_be_empty() -> None:
    parcel, archive = parcel_of({})
    deliver(parcel, archive)
    assert not lacks(parcel)


def test_the_hash_is_that_of_names_and_contents_alone(tmp_path: Path) -> None:
    files = random_files(tmp_path / "tree", 1)
    shutil.copytree(tmp_path / "tree", tmp_path / "copy", copy_function=shutil.copyfile)
    copied = files_in(tmp_path / "copy")
    for path in copied.values():
        path.chmod(0o600)
        os.utime(path, (1, 1))
    assert pack(copied) == pack(dict(reversed(files.items())))
    first = next(iter(copied))
    copied[first].write_bytes(copied[first].read_bytes() + b"x")
    assert pack(copied) != pack(files)
    assert pack({f"{name}2": path for name, path in files.items()}) != pack(files)


@pytest.mark.parametrize("seed", range(6))
def test_a_parcel_that_was_changed_on_its_way_is_refused_and_leaves_nothing(
    seed: int, tmp_path: Path, cache: Path
) -> None:
    parcel, archive = parcel_of(random_files(tmp_path / "tree", seed))
    place = random.Random(seed).randrange(len(archive))
    changed = archive[:place] + bytes([archive[place] ^ 1]) + archive[place + 1 :]
    with pytest.raises(ParcelError, match=r"rows: arrived with sha256 \w+, not \w+: run the command again"):
        deliver(parcel, changed)
    assert names_in(cache) == []
    assert lacks(parcel)


HOSTILE = {
    "link": ("passwords", tarfile.SYMTYPE, "a link or no plain file"),
    "hard link": ("passwords", tarfile.LNKTYPE, "a link or no plain file"),
    "device": ("null", tarfile.CHRTYPE, "a link or no plain file"),
    "pipe": ("pipe", tarfile.FIFOTYPE, "a link or no plain file"),
    "folder": ("folder", tarfile.DIRTYPE, "a link or no plain file"),
    "parent": ("../outside", tarfile.REGTYPE, "leads out of its folder"),
    "parent below": ("a/../../outside", tarfile.REGTYPE, "leads out of its folder"),
    "absolute": ("/outside", tarfile.REGTYPE, "leads out of its folder"),
    "pickle": ("a.PKL", tarfile.REGTYPE, "may run code when it is opened"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_anything_but_plain_files_within_the_folder_is_refused(case: str, tmp_path: Path, cache: Path) -> None:
    name, kind, reason = HOSTILE[case]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as opened:
        good, bad = tarfile.TarInfo("good.txt"), tarfile.TarInfo(name)
        bad.type, bad.linkname = kind, "/etc/passwd"
        opened.addfile(good)
        opened.addfile(bad)
    parcel = as_is(archive.getvalue())
    with pytest.raises(ParcelError) as caught:
        deliver(parcel, archive.getvalue())
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names_in(cache) == []
    assert not list(tmp_path.rglob("outside"))
    assert lacks(parcel)


def as_is(content: bytes) -> Parcel:
    """A parcel with the right hash and size for any content."""
    return Parcel("rows", "", "", hashlib.sha256(content).hexdigest(), len(content))


def test_what_is_no_archive_is_refused(cache: Path) -> None:
    content = b"not a tar file" * 100
    with pytest.raises(ParcelError, match="it is not a tar file of plain files"):
        deliver(as_is(content), content)
    assert names_in(cache) == []


CHANGES: dict[str, Callable[[Path], object]] = {
    "edited": lambda folder: (folder / "a" / "b.csv").write_text("other"),
    "removed": lambda folder: (folder / "a" / "b.csv").unlink(),
    "added": lambda folder: (folder / "a" / "c.csv").write_text(""),
    "renamed": lambda folder: (folder / "a").rename(folder / "c"),
    "pickle": lambda folder: (folder / "a" / "b.pkl").write_text(""),
    "link": lambda folder: (folder / "a" / "link").symlink_to(folder / "a" / "b.csv"),
    "dangling link": lambda folder: (folder / "link").symlink_to(folder / "nothing"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_that_was_changed_is_replaced(change: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,label")
    parcel, archive = parcel_of({"a/b.csv": tmp_path / "rows.csv"})
    deliver(parcel, archive)
    CHANGES[change](parcel.folder)
    assert lacks(parcel)
    deliver(parcel, archive)
    assert not lacks(parcel)
    assert contents(files_in(parcel.folder)) == {"a/b.csv": b"text,label"}


def test_pieces_may_come_twice_and_workers_of_a_machine_may_get_the_same_at_once(tmp_path: Path, cache: Path) -> None:
    parcel, archive = parcel_of(random_files(tmp_path / "tree", 3))
    half = len(archive) // 2
    for delivery in ("one", "one", "other"):
        receive(parcel, delivery, 0, archive[:half])
    for delivery in ("other", "one", "one"):
        receive(parcel, delivery, half, archive[half:])
    assert names_in(cache) == [parcel.sha256]
    assert not lacks(parcel)


def test_a_full_or_missing_disk_is_one_line_with_the_folder_and_what_to_do(tmp_path: Path) -> None:
    parcel, archive = parcel_of(random_files(tmp_path / "tree", 1))
    (tmp_path / "cache").write_text("a file where a folder is needed")
    words = r"rows: cannot be stored in \S+shipped \(Not a directory\): .*XDG_CACHE_HOME"
    with pytest.raises(ParcelError, match=words):
        deliver(parcel, archive)


def test_what_killed_workers_left_behind_is_removed(tmp_path: Path, cache: Path) -> None:
    parcel, archive = parcel_of(random_files(tmp_path / "tree", 1))
    deliver(parcel, archive)
    for name in (".old", ".new"):
        (cache / name).write_text("")
    (cache / ".old.files" / "a").mkdir(parents=True)
    past = (cache / ".new").stat().st_mtime - 2 * ABANDONED
    for name in (".old", ".old.files", parcel.sha256):
        os.utime(cache / name, (past, past))
    other, archive = parcel_of(random_files(tmp_path / "other", 2))
    deliver(other, archive)
    assert sorted(names_in(cache)) == sorted([".new", parcel.sha256, other.sha256])


@pytest.mark.parametrize(("name", "reason"), [("a.pt", "may run code"), ("gone.csv", "gone.csv: cannot be packed")])
def test_what_cannot_be_packed_is_one_line(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_text("")
    with pytest.raises(ParcelError, match=reason):
        pack({name: tmp_path / name})


def deliver_all(shipment: Shipment) -> None:
    for parcel in shipment.needs.parcels:
        deliver(parcel, shipment.archives[parcel.sha256].read_bytes(), 1 << 20)


ENTRY = {"name": "mine", "source": "inputs/encoder", "layers": 1}
ENCODERS: dict[str, dict[str, object]] = {"folder": {}, "entry": {"encoder": ENTRY}, "alias": {"encoder": "minilm-l4"}}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_worker_without_the_drivers_files_fits_once_it_has_the_parcels(encoder: str, tmp_path: Path) -> None:
    needs, told = needs_of_own_files(tmp_path, **ENCODERS[encoder]), list[str]()
    with packed(SHIPPING, needs, told.append) as shipment:
        with hidden(tmp_path / "inputs"):
            wrong = mismatches(survey(needs), survey(), shared=False)
            assert {line.partition(":")[0] for line in wrong} >= {"data of own", "data of rte", "methods of your own"}
            assert all("'ship: true'" in line for line in wrong)
            deliver_all(shipment)
            assert mismatches(survey(shipment.needs), survey(), shared=False) == []
        archives = list(shipment.archives.values())
    assert not any(archive.exists() for archive in archives)
    (line,) = told
    for what in ("a worker gets ", "encoder ", "task own 0.1 MB", "method brought.py", "GLUE ", "out-of-domain sets "):
        assert what in line


def test_without_ship_nothing_is_packed_or_said(tmp_path: Path) -> None:
    needs = Needs(RunContext(), "no-such-encoder", (), "")
    with packed(SHIPPING.model_copy(update={"ship": False}), needs, pytest.fail) as shipment:
        assert shipment == Shipment(needs)


def test_an_encoder_of_a_package_is_loaded_from_its_copy() -> None:
    needs = Needs(RunContext(), "minilm-l4", ("mini-cola",), "")
    with packed(SHIPPING, needs, lambda words: None) as shipment:
        deliver_all(shipment)
    copy = found_here(shipment.needs.context, shipment.needs.parcels).encoder
    assert isinstance(copy, Encoder)
    assert Path(locate(copy)).is_relative_to(parcels_folder())
    original = find_encoder("minilm-l4")
    unchanged = replace(copy, source=original.source, package_folder=original.package_folder)
    assert unchanged == original
    assert source_hash(copy) == ""


def test_an_encoder_of_the_hub_comes_from_its_cache_with_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs, snapshot = needs_of_own_files(tmp_path), tmp_path / "snapshots" / ("c" * 40)
    shutil.copytree(tmp_path / "inputs" / "encoder", snapshot)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *names, **how: str(snapshot))
    there = in_files(Needs(RunContext(), "bert-base", (), ""))
    assert there.context.encoder == replace(find_encoder("bert-base"), source=str(snapshot), revision="c" * 40)
    assert there.encoder_source == ""
    entry = Encoder("mine", "owner/name", revision="c" * 40, brought=True)
    there = in_files(replace(needs, context=replace(needs.context, encoder=entry), encoder_source=source_hash(entry)))
    with packed(SHIPPING, there, lambda words: None) as shipment:
        deliver_all(shipment)
        shutil.rmtree(snapshot)
        assert survey(shipment.needs).encoder == "found"

    def absent(*names: str, **how: object) -> str:
        raise FileNotFoundError("not there\nat all")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", absent)
    with pytest.raises(EncoderError, match="is not in the Hub's cache .*: python -m runners encoders get bert-base$"):
        in_files(Needs(RunContext(), "bert-base", (), ""))


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


def small_shipment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Shipment:
    """A parcel that is sent in three pieces, and a survey that says nothing."""
    (folder / "rows.csv").write_bytes(bytes(20_000))
    with (folder / "rows.tar").open("wb") as archive:
        sha256, size = pack({"rows.csv": folder / "rows.csv"}, archive)
    monkeypatch.setattr(shipping, "PIECE", size // 3 + 1)
    monkeypatch.setattr(shipping, "survey", looked)
    parcel = Parcel("rows", "", "", sha256, size)
    return Shipment(Needs(RunContext(), "e", (), "", parcels=(parcel,)), {sha256: folder / "rows.tar"})


def looked(needs: Needs) -> str:
    return "surveyed"


def test_a_worker_gets_a_parcel_once_before_its_survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipment, client = small_shipment(tmp_path, monkeypatch), WorkerHere()
    looks = []
    for _ in range(2):
        with Courier(client, shipment.needs, shipment.archives) as courier:  # type: ignore[arg-type]
            looks.append(courier.look("tls://n:1"))
            assert looks[-1].result() == "surveyed"  # type: ignore[comparison-overlap]
    assert client.asked == ["lacks", "receive", "receive", "receive", "looked", "lacks", "looked"]


def test_a_worker_that_cannot_store_a_parcel_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipment = small_shipment(tmp_path, monkeypatch)
    (tmp_path / "cache").write_text("a file where a folder is needed")
    with Courier(WorkerHere(), shipment.needs, shipment.archives) as courier:  # type: ignore[arg-type]
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
    with Courier(client, shipment.needs, shipment.archives) as courier:  # type: ignore[arg-type]
        look = courier.look("tls://n:1")
        assert asked.wait(60)
        look.release()
    assert look.done()
    assert isinstance(look.exception(), shipping._WorkerGone)
