"""What lies in an encoder's folder, read before anything is loaded: where the model is, how it pools, what is broken.

Imports no torch, so that plans can ask.
"""

import json
from pathlib import Path
from typing import Any

CONFIG, MODULES = "config.json", "modules.json"
WEIGHT_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "*.model", "*.bpe", "*.vocab")
TOKENIZER_OBJECTS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""Of these the ones that hold names and values as JSON."""
MOST_LAYERS = 1000
LFS_POINTER = b"version https://git-lfs"
IS_POINTER = "is a git-lfs pointer, not the file itself: run `git lfs install` and `git lfs pull` there"
LONGEST_HEADER = 100_000_000
"""Bytes; what the safetensors library itself accepts as a header."""


class EncoderFolderError(ValueError):
    """An encoder's folder that cannot be loaded as it is."""


def model_folder(folder: str | Path) -> Path:
    """Where the model's own files lie: the folder, or the part of it that sentence-transformers wrote them into."""
    folder = Path(folder)
    if (folder / CONFIG).is_file():
        return folder
    part = folder / (_module_paths(folder).get("Transformer") or ".")
    return part if (part / CONFIG).is_file() else folder


def pooling_of(folder: str | Path) -> str | None:
    """The pooling that a sentence-transformers folder was trained with, `cls` or `mean`; None for any other folder.

    What stands behind the pooling there (normalisation, further layers) belongs to the old task and is not used.

    Raises:
        EncoderFolderError: if it pools in another way.
    """
    paths = _module_paths(Path(folder))
    file = Path(folder) / paths.get("Pooling", "") / CONFIG
    if "Pooling" not in paths or not file.is_file():  # People copy modules.json without the folders it names.
        return None
    content = _read(file)
    switched = {name.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens")
                for name, value in content.items() if name.startswith("pooling_mode_") and value is True}  # fmt: skip
    modes = {str(content["pooling_mode"])} if "pooling_mode" in content else switched
    if modes == {"mean"} or modes == {"cls"}:
        return modes.pop()
    said = ", ".join(sorted(modes)) or "nothing"
    raise EncoderFolderError(f"{folder} pools by {said}; `cls` and `mean` are supported, one of them")


def block_weights_of(folder: str | Path) -> float | None:
    """About how many weights the Transformer blocks hold, from config.json; None where it does not tell."""
    path = model_folder(folder) / CONFIG
    if not path.is_file():
        return None
    content = _read(path)
    numbers = [_number(content, *names) for names in (
        ("num_hidden_layers", "n_layers", "n_layer"), ("hidden_size", "dim", "n_embd", "d_model"),
    )]  # fmt: skip
    if None in numbers:
        return None
    layers, width = numbers
    inner = _number(content, "intermediate_size", "hidden_dim", "d_inner", "n_inner") or 4 * width
    return float(layers * (4 * width**2 + 2 * width * inner))  # Attention has four matrices, the rest two.


def check_folder(folder: str | Path) -> None:
    """Refuse what transformers would load wrongly, or with words that help nobody.

    Raises:
        EncoderFolderError: one line with the file, what stands there and what to do.
    """
    folder = Path(folder)
    config = folder / CONFIG
    if not config.is_file():
        below = [
            path.parent for path in sorted(folder.glob(f"*/{CONFIG}")) if (path.parent / WEIGHT_FILES[0]).is_file()
        ]
        hint = f"give {below[0]}" if below else "give the folder that save_pretrained wrote, with its model.safetensors"
        raise EncoderFolderError(f"{folder} has no config.json: {hint}")
    for file in sorted(folder.iterdir()):
        refuse_dangling(file)
        if file.is_file() and file.stat().st_size < 1000 and file.read_bytes().startswith(LFS_POINTER):
            raise EncoderFolderError(f"{file} {IS_POINTER}")
    content = _read(config)
    layers = _number(content, "num_hidden_layers", "n_layers", "n_layer", "num_layers")
    if layers is not None and not 1 <= layers <= MOST_LAYERS:
        raise EncoderFolderError(f"{config}: {layers} hidden layers; 1 to {MOST_LAYERS} can be")
    _check_weights(folder)


def refuse_dangling(file: Path) -> None:
    """Refuse a link that leads nowhere, such as one into a cache that was emptied.

    Raises:
        EncoderFolderError: one line with the link.
    """
    if file.is_symlink() and not file.exists():
        raise EncoderFolderError(f"{file} is a link to a file that is not there: fetch the file, or take the link away")


def check_tokenizer(folder: str | Path) -> None:
    """Refuse a folder without any of a tokenizer's files, for which transformers makes one that knows no word.

    Raises:
        EncoderFolderError: one line that says what to do.
    """
    folder = Path(folder)
    if not any(next(folder.glob(pattern), None) for pattern in TOKENIZER_FILES):
        raise EncoderFolderError(
            f"{folder} has no tokenizer (none of {', '.join(TOKENIZER_FILES)}): save it there with "
            "tokenizer.save_pretrained, or copy these files from where the model came from"
        )
    for name in TOKENIZER_OBJECTS:
        if (folder / name).exists() or (folder / name).is_symlink():
            _read(folder / name)


def _check_weights(folder: Path) -> None:
    found = [folder / name for name in WEIGHT_FILES if (folder / name).is_file()]
    if not found:
        raise EncoderFolderError(f"{folder} has no weights: it needs model.safetensors (or pytorch_model.bin)")
    if found[0].name.endswith(".index.json"):
        parts = _parts(found[0])
        if absent := [part for part in parts if not (folder / part).is_file()]:
            raise EncoderFolderError(f"{found[0]} names weights that are not there: {', '.join(absent)}")
    for file in filter(Path.is_file, folder.glob("*.safetensors")):
        _check_safetensors(file)


def _parts(index: Path) -> list[str]:
    """The files of weights that an index names."""
    places = _read(index).get("weight_map")
    if not (isinstance(places, dict) and places and all(isinstance(one, str) for one in places.values())):
        raise EncoderFolderError(f"{index} does not say in which file each weight lies (weight_map): fetch it again")
    return sorted(set(places.values()))


def _check_safetensors(file: Path) -> None:
    """That the file is as long as its header says (format: 8 bytes length, JSON header, data)."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        try:
            header: Any = json.loads(opened.read(length)) if size > 8 and length <= LONGEST_HEADER else None
            ends = [int(one["data_offsets"][1]) for name, one in header.items() if name != "__metadata__"]
        except (ValueError, AttributeError, KeyError, IndexError, TypeError):
            raise EncoderFolderError(f"{file} is no safetensors file, or a damaged one: fetch it again") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise EncoderFolderError(f"{file} has {size} bytes and should have {expected}: fetch it again")


def _module_paths(folder: Path) -> dict[str, str]:
    """Where sentence-transformers put each of its modules: kind -> path below the folder."""
    file = folder / MODULES
    if not file.is_file():
        return {}
    entries = _json(file)
    if not (
        isinstance(entries, list) and all(isinstance(one, dict) and {"type", "path"} <= set(one) for one in entries)
    ):
        raise EncoderFolderError(f"{file} is no list of modules with type and path, as sentence-transformers writes it")
    return {str(one["type"]).rpartition(".")[2]: str(one["path"]) for one in reversed(entries)}


def _read(file: Path) -> dict[str, Any]:
    content = _json(file)
    if not isinstance(content, dict):
        raise EncoderFolderError(f"{file} holds no object of names and values: fetch it again")
    return content


def _json(file: Path) -> Any:
    """What a file of JSON holds; EncoderFolderError where it is none."""
    try:
        written = file.read_bytes()
        if written.startswith(LFS_POINTER):
            raise EncoderFolderError(f"{file} {IS_POINTER}")
        return json.loads(written)
    except OSError as error:
        raise EncoderFolderError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise EncoderFolderError(f"{file} is not UTF-8, as JSON is: fetch it again") from error
    except RecursionError as error:
        raise EncoderFolderError(f"{file} is nested too deeply: fetch it again") from error
    except json.JSONDecodeError as error:
        raise EncoderFolderError(f"{file} is not JSON: {error}; fetch it again") from error


def _number(content: dict[str, Any], *names: str) -> Any:
    """The first of these settings that is there as a whole number."""
    given = (content.get(name) for name in names)
    return next((value for value in given if isinstance(value, int) and not isinstance(value, bool)), None)
