"""Inspecting an encoder's folder before anything is loaded: where the model is, how it pools, what is broken.

Imports no torch, so plans can use it.
"""

import json
from pathlib import Path
from typing import Any

CONFIG, MODULES, ADAPTER = "config.json", "modules.json", "adapter_config.json"
WEIGHT_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "*.model", "*.bpe", "*.vocab")
TOKENIZER_OBJECTS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""Those that contain a JSON object."""
MOST_LAYERS = 1000
LFS_POINTER = b"version https://git-lfs"
IS_POINTER = "is a git-lfs pointer, not the file itself: run `git lfs install` and `git lfs pull` there"
LONGEST_HEADER = 100_000_000
"""Bytes; the longest header that the safetensors library accepts."""


class EncoderFolderError(ValueError):
    """An encoder's folder cannot be loaded as it is."""


def model_folder(folder: str | Path) -> Path:
    """Return the folder of the model's own files: this one, or the subfolder that sentence-transformers wrote."""
    folder = Path(folder)
    if (folder / CONFIG).is_file():
        return folder
    part = folder / (_module_paths(folder).get("Transformer") or ".")
    return part if (part / CONFIG).is_file() else folder


def pooling_of(folder: str | Path) -> str | None:
    """Return the pooling of a sentence-transformers folder, `cls` or `mean`; None for any other folder.

    Modules after the pooling (normalisation, further layers) belong to the encoder's old task and are not used.

    Raises:
        EncoderFolderError: The folder uses another pooling.
    """
    file = pooling_file(folder)
    if file is None:
        return None
    content = _read(file)
    switched = {name.removeprefix("pooling_mode_").removesuffix("_token").removesuffix("_tokens")
                for name, value in content.items() if name.startswith("pooling_mode_") and value is True}  # fmt: skip
    modes = {str(content["pooling_mode"])} if "pooling_mode" in content else switched
    if modes == {"mean"} or modes == {"cls"}:
        return modes.pop()
    names = ", ".join(sorted(modes)) or "nothing"
    raise EncoderFolderError(f"{folder} pools by {names}; `cls` and `mean` are supported, one of them")


def pooling_file(folder: str | Path) -> Path | None:
    """Return the file of a sentence-transformers folder that specifies its pooling; None if there is none."""
    path = _module_paths(Path(folder)).get("Pooling")
    file = Path(folder) / (path or "") / CONFIG
    return None if path is None or not file.is_file() else file  # People copy modules.json without its folders.


def block_weights_of(folder: str | Path) -> float | None:
    """Estimate the number of weights in the Transformer blocks from config.json; None if it does not suffice."""
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
    return float(layers * (4 * width**2 + 2 * width * inner))  # Four attention matrices, two feed-forward ones.


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that transformers would load wrongly, or would reject with an unhelpful message.

    Raises:
        EncoderFolderError: One line with the file, what is wrong with it and what to do.
    """
    folder = Path(folder)
    config = folder / CONFIG
    if not config.is_file() and (folder / ADAPTER).is_file():
        raise EncoderFolderError(
            f"{folder} holds only an adapter ({ADAPTER}): merge it into its model (merge_and_unload of peft), and give "
            "the folder that save_pretrained then wrote"
        )
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
        raise EncoderFolderError(f"{config}: {layers} hidden layers; 1 to {MOST_LAYERS} are possible")
    _check_weights(folder)


def refuse_dangling(file: Path) -> None:
    """Refuse a link that leads nowhere, such as one into a cache that was emptied.

    Raises:
        EncoderFolderError: one line with the link.
    """
    if file.is_symlink() and not file.exists():
        raise EncoderFolderError(f"{file} is a link to a file that does not exist: fetch the file, or remove the link")


def check_tokenizer(folder: str | Path) -> None:
    """Refuse a folder without tokenizer files, for which transformers would create a tokenizer without vocabulary.

    Raises:
        EncoderFolderError: One line that says what to do.
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
    weights = next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if weights is None:
        raise EncoderFolderError(f"{folder} has no weights: it needs model.safetensors (or pytorch_model.bin)")
    if weights.name.endswith(".index.json"):
        parts = parts_of(weights)
        if missing := [part for part in parts if not (folder / part).is_file()]:
            raise EncoderFolderError(f"{weights} names weights that are not there: {', '.join(missing)}")
    for file in filter(Path.is_file, folder.glob("*.safetensors")):
        _check_safetensors(file)


def parts_of(index: Path) -> list[str]:
    """Return the weight files that an index names, relative to its folder."""
    places = _read(index).get("weight_map")
    if not (isinstance(places, dict) and places and all(isinstance(one, str) for one in places.values())):
        raise EncoderFolderError(f"{index} does not say which file has each weight (weight_map): fetch it again")
    return sorted(set(places.values()))


def _check_safetensors(file: Path) -> None:
    """Check that the file is as long as its header says (format: 8 bytes length, JSON header, data)."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        try:
            header: Any = json.loads(opened.read(length)) if size > 8 and length <= LONGEST_HEADER else None
            ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        except (ValueError, AttributeError, KeyError, IndexError, TypeError):
            raise EncoderFolderError(f"{file} is not a safetensors file, or is damaged: fetch it again") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        raise EncoderFolderError(f"{file} has {size} bytes but should have {expected}: fetch it again")


def _module_paths(folder: Path) -> dict[str, str]:
    """Return the paths, relative to the folder, of sentence-transformers' modules by kind."""
    file = folder / MODULES
    if not file.is_file():
        return {}
    entries = _json(file)
    if not (
        isinstance(entries, list) and all(isinstance(one, dict) and {"type", "path"} <= set(one) for one in entries)
    ):
        raise EncoderFolderError(f"{file} is not the list of modules that sentence-transformers writes (type, path)")
    return {str(one["type"]).rpartition(".")[2]: str(one["path"]) for one in reversed(entries)}


def _read(file: Path) -> dict[str, Any]:
    content = _json(file)
    if not isinstance(content, dict):
        raise EncoderFolderError(f"{file} does not contain a JSON object: fetch it again")
    return content


def _json(file: Path) -> Any:
    """Read a JSON file; EncoderFolderError if it is not one."""
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
    """Return the first of these settings that is a whole number."""
    values = (content.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)
