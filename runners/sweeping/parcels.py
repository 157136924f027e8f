"""Parcels of files for workers: packed by the driver, unpacked once per machine in the user's cache, under their hash.

A parcel is an uncompressed tar file that depends on nothing but the names and contents of its files. An unpacked parcel
that is packed again therefore has the same hash, which shows that a copy is complete and unchanged.
"""

import errno
import hashlib
import os
import re
import shutil
import tarfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from amix.runs.context import RunContext
from amix.specs.data_errors import shown
from amix.specs.encoder_files import file_hash, user_cache
from amix.specs.encoders import Encoder

PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth")
"""Endings of files that may run code when they are opened, and that no run needs."""
ABANDONED = 86400.0
"""Seconds after which an incomplete parcel belongs to a worker that no longer exists."""
UNUSED = 30 * 86400.0
"""Seconds without use after which an unpacked parcel is removed, when another one arrives."""


class ParcelError(ValueError):
    """A parcel cannot be packed, transferred or unpacked; one line with what to do."""


@dataclass(frozen=True)
class Parcel:
    """Packed files that stand for a file or folder of the driver."""

    what: str
    """In words, for messages."""
    path: str
    """The driver's file or folder."""
    inside: str
    """Its path in the parcel."""
    sha256: str
    """Hash of the tar file."""
    size: int
    """Bytes of the tar file."""

    @property
    def folder(self) -> Path:
        """Where it is unpacked on this machine."""
        return parcels_folder() / self.sha256


def parcels_folder() -> Path:
    """The folder of unpacked parcels on this machine."""
    return user_cache() / "shipped"


def found_here(context: RunContext, parcels: Iterable[Parcel]) -> RunContext:
    """The context with this machine's copies in place of the driver's files."""
    places = {parcel.path: str(parcel.folder / parcel.inside) for parcel in parcels}

    def here(path: str) -> str:
        return places.get(path, path)

    def of_encoder(encoder: str | Encoder) -> str | Encoder:
        return replace(encoder, source=here(encoder.source)) if isinstance(encoder, Encoder) else here(encoder)

    plugins = (one.rpartition(":") for one in context.plugins)
    return replace(
        context,
        glue=context.glue and here(context.glue),
        encoder=context.encoder and of_encoder(context.encoder),
        task_files={name: here(file) for name, file in context.task_files.items()},
        plugins=tuple(f"{here(file)}:{name}" for file, _, name in plugins),
        out_of_domain_folder=context.out_of_domain_folder and here(context.out_of_domain_folder),
    )


class _Hashed:
    """Receives a tar file: counts and hashes its bytes and, if there is a file, writes them there."""

    def __init__(self, file: IO[bytes] | None) -> None:
        self.file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, content: bytes) -> int:
        """Called by tarfile."""
        self.digest.update(content)
        self.size += len(content)
        return len(content) if self.file is None else self.file.write(content)


def pack(files: Mapping[str, Path], to: IO[bytes] | None = None) -> tuple[str, int]:
    """Pack files; links to files are followed.

    Args:
        files: the files, by their path in the parcel.
        to: receives the tar file; None: it is only hashed.

    Returns:
        Its sha256 and its size in bytes.

    Raises:
        ParcelError: a file cannot be read, or must not be in a parcel.
    """
    packed = _Hashed(to)
    with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for name in sorted(files):
            _refuse_pickle(name)
            try:
                with files[name].open("rb") as content:
                    member = tarfile.TarInfo(name)
                    member.size = os.fstat(content.fileno()).st_size
                    archive.addfile(member, content)
            except OSError as error:
                raise ParcelError(f"{files[name]}: cannot be packed ({error.strerror or error})") from error
    return packed.digest.hexdigest(), packed.size


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a parcel into a new folder.

    Raises:
        ParcelError: it holds anything but plain files within the folder.
        OSError: the folder cannot be written to.
    """
    try:
        with tarfile.open(archive, "r:") as opened:
            opened.extractall(folder, filter=_only_plain_files)
    except tarfile.TarError as error:
        raise ParcelError(f"it is not a tar file of plain files ({error})") from error


def _only_plain_files(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise ParcelError(f"it holds {shown(member.name)}, which is a link or no plain file")
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise ParcelError(f"it holds {shown(member.name)}, which leads out of its folder")
    _refuse_pickle(member.name)
    return tarfile.data_filter(member, folder)


def _refuse_pickle(name: str) -> None:
    if name.lower().endswith(PICKLES):
        raise ParcelError(f"{shown(name)} may run code when it is opened and is not shipped: remove it or rename it")


def lacks(parcel: Parcel) -> bool:
    """Whether this machine needs the parcel; called on a worker. A copy that was changed is removed."""
    with _disk_errors(parcel):
        if not parcel.folder.is_dir():
            return True
        note_use([parcel])
        if _hash_of(parcel.folder) == parcel.sha256:
            return False
        _remove_changed(parcel)
        return not parcel.folder.is_dir()


def note_use(parcels: Iterable[Parcel]) -> None:
    """Note that these parcels are being used, so that they are not removed as old; called on a worker."""
    for parcel in parcels:
        with suppress(OSError):
            os.utime(parcel.folder)


def _remove_changed(parcel: Parcel) -> None:
    """Remove a copy that was changed: at once as a whole, as other workers may be looking at it or replacing it."""
    aside = parcels_folder() / f".{parcel.sha256}.{uuid.uuid4().hex}"
    try:
        parcel.folder.rename(aside)
    except FileNotFoundError:  # Another worker of this machine removes it too.
        return
    if _hash_of(aside) == parcel.sha256:  # Another worker had already replaced it.
        with suppress(OSError):
            aside.rename(parcel.folder)
    shutil.rmtree(aside, ignore_errors=True)


def _hash_of(folder: Path) -> str:
    """The hash of the parcel that was unpacked here; "" if it cannot have been one."""
    entries = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    files = {name: path for name, path in entries.items() if path.is_symlink() or not path.is_dir()}
    if any(path.is_symlink() or not path.is_file() for path in files.values()):
        return ""
    try:
        return pack(files)[0]
    except ParcelError:
        return ""


def receive(parcel: Parcel, delivery: str, offset: int, piece: bytes) -> bool:
    """Take the next piece of a parcel, and unpack it after the last one; called on a worker.

    Args:
        parcel: the parcel.
        delivery: a name for this delivery, as other workers may share the folder.
        offset: bytes of the parcel before this piece; the same piece may come twice.
        piece: its bytes.

    Returns:
        Whether more pieces are needed; not after the last one, nor if another worker was faster.

    Raises:
        ParcelError: the parcel is not what was sent, or cannot be stored.
    """
    part = parcels_folder() / f".{parcel.sha256}.{delivery}"
    with _disk_errors(parcel):
        if parcel.folder.is_dir():
            part.unlink(missing_ok=True)
            return False
        if offset == 0:
            parcels_folder().parent.mkdir(parents=True, exist_ok=True)
            parcels_folder().mkdir(mode=0o700, exist_ok=True)  # People's own texts are for nobody else.
            _remove_old()
        try:
            with part.open("r+b" if offset else "wb") as file:
                file.seek(offset)
                file.write(piece)
        except OSError:  # No room for all of it: the disk is left as it was.
            part.unlink(missing_ok=True)
            raise
        if offset + len(piece) < parcel.size:
            return True
        _unpack_checked(parcel, part)
        return False


def _unpack_checked(parcel: Parcel, part: Path) -> None:
    """The parcel's folder appears complete, or not at all."""
    fresh = part.with_name(f"{part.name}.files")
    try:
        if (actual := file_hash(part)) != parcel.sha256:
            raise ParcelError(
                f"{parcel.what}: arrived with sha256 {actual}, not {parcel.sha256}: run the command again"
            )
        fresh.mkdir(exist_ok=True)
        try:
            unpack(part, fresh)
        except ParcelError as error:
            raise ParcelError(f"{parcel.what}: {error}") from error
        try:
            fresh.rename(parcel.folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # Another worker was faster.
                raise
    finally:
        part.unlink(missing_ok=True)
        shutil.rmtree(fresh, ignore_errors=True)


def _remove_old() -> None:
    """Remove what workers left behind that were killed during a delivery, and parcels that are no longer used.

    What cannot be removed stays: other workers of this machine may be removing it too.
    """
    for path in parcels_folder().iterdir():
        longest = ABANDONED if path.name.startswith(".") else UNUSED
        if not re.fullmatch(r"\..+|[0-9a-f]{64}", path.name):
            continue
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > longest:
                _remove_at_once(path)


def _remove_at_once(path: Path) -> None:
    """Remove a file or folder such that nobody ever sees a part of it under its name."""
    if not path.is_dir() or path.is_symlink():
        path.unlink()
        return
    aside = path if path.name.startswith(".") else path.rename(path.with_name(f".{path.name}.{uuid.uuid4().hex}"))
    shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _disk_errors(parcel: Parcel) -> Iterator[None]:
    """Turn errors of the disk into one line."""
    try:
        yield
    except OSError as error:
        raise ParcelError(
            f"{parcel.what}: cannot be stored in {parcels_folder()} ({error.strerror or error}): make room there, or "
            "set XDG_CACHE_HOME to another folder for the workers"
        ) from error
