"""Parcels: files arrive as they were or not at all, copies that were changed are replaced, and old ones go."""

import errno
import hashlib
import io
import os
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from runners.sweeping import parcels
from runners.sweeping.parcels import (
    ABANDONED,
    UNUSED,
    Parcel,
    ParcelError,
    lacks,
    note_use,
    pack,
    parcels_folder,
    receive,
)

NAMES = ("a", "ü", "two words", "n" * 110, "x.json", ".hidden", "日本", "semi;colon", "-dash")
SIZES = (0, 1, 511, 512, 513, 20_000)


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
        assert receive(parcel, delivery, 0, archive[:half])
    for delivery in ("other", "one", "one"):
        assert not receive(parcel, delivery, half, archive[half:]), "nothing more is needed"
    assert not receive(parcel, "late", 0, archive[:half])
    assert names_in(cache) == [parcel.sha256]
    assert not lacks(parcel)


def test_a_full_or_missing_disk_is_one_line_with_the_folder_and_what_to_do(tmp_path: Path) -> None:
    parcel, archive = parcel_of(random_files(tmp_path / "tree", 1))
    (tmp_path / "cache").write_text("a file where a folder is needed")
    words = r"rows: cannot be stored in \S+shipped \(Not a directory\): .*XDG_CACHE_HOME"
    with pytest.raises(ParcelError, match=words):
        deliver(parcel, archive)


def aged(path: Path, seconds: float) -> None:
    """Let it look as if it had not been used for so many seconds."""
    past = path.stat().st_mtime - seconds
    os.utime(path, (past, past))


def test_what_killed_workers_left_behind_is_removed(tmp_path: Path, cache: Path) -> None:
    parcel, archive = parcel_of(random_files(tmp_path / "tree", 1))
    deliver(parcel, archive)
    for name in (".old", ".new"):
        (cache / name).write_text("")
    (cache / ".old.files" / "a").mkdir(parents=True)
    for name in (".old", ".old.files", parcel.sha256):
        aged(cache / name, 2 * ABANDONED)
    other, archive = parcel_of(random_files(tmp_path / "other", 2))
    deliver(other, archive)
    assert sorted(names_in(cache)) == sorted([".new", parcel.sha256, other.sha256])


def test_a_copy_that_nobody_used_for_a_month_is_removed_when_another_arrives(tmp_path: Path, cache: Path) -> None:
    copies = []
    for seed in range(3):
        parcel, archive = parcel_of(random_files(tmp_path / f"tree {seed}", seed))
        deliver(parcel, archive)
        copies.append(parcel)
    (cache / "notes of mine").write_text("")
    for path in cache.iterdir():
        aged(path, 2 * UNUSED)
    assert not lacks(copies[0])
    note_use(copies[1:2])
    other, archive = parcel_of(random_files(tmp_path / "other", 7))
    deliver(other, archive)
    assert set(names_in(cache)) == {copies[0].sha256, copies[1].sha256, other.sha256, "notes of mine"}


def test_what_cannot_be_removed_stands_in_nobodys_way(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel, archive = parcel_of(random_files(tmp_path / "tree", 1))
    cache.mkdir(parents=True)
    (cache / ".nfs0001").write_text("a removed file that is still open on another machine")
    aged(cache / ".nfs0001", 2 * ABANDONED)

    def busy(path: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(parcels, "_remove_at_once", busy)
    deliver(parcel, archive)
    assert not lacks(parcel)


def test_a_copy_that_another_worker_has_just_replaced_is_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel, archive = parcel_of(random_files(tmp_path / "tree", 1))
    deliver(parcel, archive)
    hashed, hash_of = list[Path](), parcels._hash_of

    def replaced_meanwhile(folder: Path) -> str:
        hashed.append(folder)
        return hash_of(folder) if len(hashed) > 1 else "that of the copy before"

    monkeypatch.setattr(parcels, "_hash_of", replaced_meanwhile)
    assert not lacks(parcel)
    assert names_in(cache) == [parcel.sha256]
    assert not lacks(parcel)


def test_a_copy_that_appears_while_another_is_unpacked_is_used(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel, archive = parcel_of(random_files(tmp_path / "tree", 1))
    unpack = parcels.unpack

    def unpack_slowly(archive: Path, folder: Path) -> None:
        unpack(archive, folder)
        shutil.copytree(folder, parcel.folder)

    monkeypatch.setattr(parcels, "unpack", unpack_slowly)
    deliver(parcel, archive)
    assert names_in(cache) == [parcel.sha256]
    assert not lacks(parcel)


def test_copies_are_for_nobody_else_on_the_machine(tmp_path: Path, cache: Path) -> None:
    deliver(*parcel_of(random_files(tmp_path / "tree", 1)))
    assert cache.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(("name", "reason"), [("a.pt", "may run code"), ("gone.csv", "gone.csv: cannot be packed")])
def test_what_cannot_be_packed_is_one_line(name: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_text("")
    with pytest.raises(ParcelError, match=reason):
        pack({name: tmp_path / name})
