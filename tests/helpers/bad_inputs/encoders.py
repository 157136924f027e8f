"""Encoder folders that cannot be used: every file missing, empty, cut, damaged or of another model."""

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from helpers.bad_inputs.case import RUN, SWEEP, BadInput, on_suite

Damage = Callable[[Path], None]
COMPARE = ("compare", "train.csv", "-e", "enc", "--max-length", "16", "--out", "out", "-w", "0")


def encoder_cases(template: Path) -> Iterator[BadInput]:
    """Every damage to a copy of the template, met by a sweep, a run or a comparison in turn."""
    damages = (*_files(), *_json_files(), *_weights(), *_configuration(), *_tokenizer(), *_foreign())
    for number, (line, name, damage, says) in enumerate(damages):
        command = (on_suite(SWEEP), RUN, COMPARE)[number % 3]
        yield BadInput(line, f"encoder, {name}", command, ("enc", says), {"enc": copied(template, damage)})


Case = tuple[str, str, Damage, str]
"""Line, name, what is done to the folder, what the message says."""


def copied(template: Path, damage: Damage) -> Callable[[Path], None]:
    """Makes a folder from the template and then does the damage."""

    def make(path: Path) -> None:
        shutil.copytree(template, path)
        damage(path)

    return make


def _write(file: str, content: bytes | str) -> Damage:
    return lambda folder: _put(folder / file, content)


def _put(path: Path, content: bytes | str) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _gone(*files: str) -> Damage:
    def damage(folder: Path) -> None:
        for file in files:
            (folder / file).unlink()

    return damage


def _cut(file: str, share: float) -> Damage:
    def damage(folder: Path) -> None:
        content = (folder / file).read_bytes()
        _put(folder / file, content[: int(share * len(content))])

    return damage


def _folder(file: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).mkdir()

    return damage


def _link(file: str, to: str) -> Damage:
    def damage(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).symlink_to(to)

    return damage


CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 91\n"


def _files() -> Iterator[Case]:
    """A file that is not there, or is no such file."""
    every = "mistake that fails every run: encoder without"
    yield f"{every} config", "no config.json", _gone(CONFIG), "config.json"
    yield f"{every} weights", "no weights", _gone(WEIGHTS), "weights"
    yield "encoder trained at random: no tokenizer file", "no tokenizer.json", _gone(TOKENIZER), "tokenizer"
    yield "", "no tokenizer at all", _gone(TOKENIZER, "tokenizer_config.json"), "tokenizer"
    for file in (CONFIG, WEIGHTS, TOKENIZER, "tokenizer_config.json"):
        yield "", f"{file}: empty", _write(file, ""), file.partition(".")[0].partition("_")[0]
        yield "", f"{file}: a git-lfs pointer", _write(file, LFS), "git lfs pull"
        yield "", f"{file}: zeros", _write(file, bytes(300)), ""
        yield "", f"{file}: a folder", _folder(file), ""
        yield "", f"{file}: a link to nothing", _link(file, "gone"), ""
        yield "", f"{file}: a link to itself", _link(file, file), ""
    for share in (0.02, 0.5, 0.9, 0.99):
        line = "mistake that fails every run: weights cut off" if share == 0.5 else ""
        yield line, f"weights cut at {share}", _cut(WEIGHTS, share), "fetch it again"
        yield "", f"tokenizer cut at {share}", _cut(TOKENIZER, share), ""
        yield "", f"configuration cut at {share}", _cut(CONFIG, share), "is not JSON"
    yield "traceback: dangling link", "a dangling link", _link("x.bin", "gone"), "x.bin"


def _json_files() -> Iterator[Case]:
    """JSON that is none, or not what belongs there."""
    for file in (CONFIG, TOKENIZER, "tokenizer_config.json"):
        for name, content in (
            ("a list", "[1, 2]"),
            ("a number", "5"),
            ("a text", '"bert"'),
            ("null", "null"),
            ("an open brace", "{"),
            ("a comma too many", '{"a": 1,}'),
            ("not UTF-8", b'{"a": "\xff"}'),
            ("deep lists", "[" * 100_000),
            ("NaN", '{"a": NaN'),
        ):
            line = "traceback: config a list" if (file, name) == (CONFIG, "a list") else ""
            yield line, f"{file}: {name}", _write(file, content), ""


def _reweighed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Damage:
    def damage(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = change(load_file(folder / WEIGHTS))
        save_file({name: value.contiguous() for name, value in weights.items()}, folder / WEIGHTS, {"format": "pt"})

    return damage


def _weights() -> Iterator[Case]:
    """Weights that are not those of the configuration."""
    kind = "encoder trained at random"
    first = "bert.encoder.layer.0.attention.self.query.weight"
    renamed = _reweighed(lambda weights: {f"zzz.{name}": value for name, value in weights.items()})
    yield f"{kind}: weights renamed", "weights renamed", renamed, "missing"
    half = _reweighed(lambda weights: {name: value for name, value in weights.items() if "layer.1." not in name})
    yield f"{kind}: layers missing", "half of the layers missing", half, "missing"
    yield (
        f"{kind}: weights missing",
        "one weight missing",
        _reweighed(lambda weights: {name: value for name, value in weights.items() if name != first}),
        "query",
    )
    yield (
        "",
        "no embedding",
        _reweighed(lambda weights: {name: value for name, value in weights.items() if "word_embeddings" not in name}),
        "embed",
    )
    yield (
        f"{kind}: weights unexpected",
        "weights of a further layer",
        _reweighed(lambda weights: weights | {first.replace("layer.0", "layer.7"): weights[first].clone()}),
        "layer.7",
    )
    yield (
        f"{kind}: weights of wrong shape",
        "a weight of another shape",
        _reweighed(lambda weights: weights | {first: weights[first][:16]}),
        "query",
    )
    yield (
        "",
        "an embedding of fewer rows",
        _reweighed(
            lambda weights: {name: value[:9] if "word_embeddings" in name else value for name, value in weights.items()}
        ),
        "",
    )
    yield (
        "",
        "weights that are not numbers",
        _reweighed(lambda weights: {name: value * float("nan") for name, value in weights.items()}),
        "not finite",
    )
    yield (
        "",
        "infinite weights",
        _reweighed(lambda weights: {name: value + float("inf") for name, value in weights.items()}),
        "not finite",
    )
    yield (
        "",
        "one weight that is not a number",
        _reweighed(lambda weights: weights | {first: weights[first] * float("nan")}),
        "not finite",
    )
    yield "", "no weight at all", _reweighed(lambda weights: {}), ""
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    for name, content in (
        ("a header of letters", b"\x05\0\0\0\0\0\0\0hello"),
        ("a header without end", (1 << 40).to_bytes(8, "little") + b"{}"),
        ("a header of a list", (2).to_bytes(8, "little") + b"[]"),
        ("fewer bytes than it says", len(header).to_bytes(8, "little") + header + bytes(4)),
        ("more bytes than it says", len(header).to_bytes(8, "little") + header + bytes(16)),
        ("another model's weight", len(header).to_bytes(8, "little") + header + bytes(8)),
        ("a page of the web", b"<!DOCTYPE html><html>404</html>" * 20),
    ):
        yield "", f"weights: {name}", _write(WEIGHTS, content), ""
    yield "mistake that fails every run: weights unsafe", "weights that are a pickle", weights_that_touch, ""
    yield "", "weights that are a pickle of numbers", _pickled({"bert.x": [1.0]}), ""
    for name, content in (("empty", b""), ("a text", b"hello"), ("zeros", bytes(500)), ("a zip of nothing", _ZIP)):

        def damage(folder: Path, content: bytes = content) -> None:
            (folder / WEIGHTS).unlink()
            _put(folder / "pytorch_model.bin", content)

        yield "", f"pytorch_model.bin: {name}", damage, ""
    for name, index in (
        ("of a part that is gone", {"weight_map": {"a": "model-1.safetensors"}}),
        ("of nothing", {}),
        ("of a list", []),
        ("of a text", {"weight_map": "x"}),
        ("of numbers", {"weight_map": {"a": 5}}),
        ("outside the folder", {"weight_map": {"a": "../../x.safetensors"}}),
    ):

        def damage(folder: Path, index: Any = index) -> None:
            (folder / WEIGHTS).unlink()
            _put(folder / "model.safetensors.index.json", json.dumps(index))

        yield "", f"index {name}", damage, ""


_ZIP = b"PK\x05\x06" + bytes(18)


class _Touches:
    """Writes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("RAN"),)


def _pickled(content: Any) -> Damage:
    def damage(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(content))

    return damage


weights_that_touch = _pickled(_Touches())


def _changed(file: str, change: Callable[[dict[str, Any]], Any]) -> Damage:
    def damage(folder: Path) -> None:
        content = json.loads((folder / file).read_text(encoding="utf-8"))
        _put(folder / file, json.dumps(change(content)))

    return damage


def _set(file: str = CONFIG, **values: Any) -> Damage:
    return _changed(file, lambda content: content | values)


def _configuration() -> Iterator[Case]:
    kind = "encoder trained at random"
    yield f"{kind}: width of the configuration", "another width", _set(hidden_size=64), ""
    for layers in (-1, 0, 10**6):
        line = f"{kind}: layers below one" if layers < 1 else ""
        yield line, f"{layers} layers", _set(num_hidden_layers=layers), "hidden layers"
    yield "", "more layers than weights", _set(num_hidden_layers=5), "missing"
    yield "", "fewer layers than weights", _set(num_hidden_layers=1), "layer.1"
    yield "mistake that fails every run: few positions", "four positions", _set(max_position_embeddings=4), ""
    for name, value in (
        ("hidden_size", "wide"),
        ("hidden_size", 0),
        ("hidden_size", -32),
        ("hidden_size", None),
        ("hidden_size", 33),
        ("num_hidden_layers", "two"),
        ("num_hidden_layers", 1.5),
        ("num_attention_heads", 0),
        ("num_attention_heads", 5),
        ("num_attention_heads", "four"),
        ("intermediate_size", 0),
        ("intermediate_size", 64),
        ("vocab_size", 0),
        ("vocab_size", -1),
        ("vocab_size", "many"),
        ("vocab_size", 10**9),
        ("max_position_embeddings", 0),
        ("max_position_embeddings", "long"),
        ("max_position_embeddings", 80),
        ("hidden_act", "magic"),
        ("hidden_act", 5),
        ("type_vocab_size", 0),
        ("hidden_dropout_prob", 2.0),
        ("hidden_dropout_prob", "some"),
        ("layer_norm_eps", "small"),
        ("model_type", "brt"),
        ("model_type", ""),
        ("model_type", 5),
        ("model_type", None),
        ("model_type", "gpt2"),
        ("model_type", "vit"),
        ("model_type", "t5"),
        ("model_type", "roberta"),
        ("model_type", "whisper"),
    ):
        yield "", f"{name}: {value!r}", _set(**{name: value}), ""
    yield "", "no model_type", _changed(CONFIG, lambda content: {"hidden_size": 32}), ""
    yield "", "nothing in it", _write(CONFIG, "{}"), ""


def _vocabulary(change: Callable[[dict[str, int]], dict[str, int]]) -> Damage:
    def put(content: dict[str, Any]) -> dict[str, Any]:
        content["model"]["vocab"] = change(content["model"]["vocab"])
        return content

    return _changed(TOKENIZER, put)


def _tokenizer() -> Iterator[Case]:
    line = "encoder trained at random: empty vocabulary"
    yield line, "an empty vocabulary", _vocabulary(lambda vocabulary: {}), "token"
    yield (
        "",
        "special tokens alone",
        _vocabulary(lambda vocabulary: {word: place for word, place in vocabulary.items() if word.startswith("[")}),
        "token",
    )
    yield (
        "",
        "words of another language",
        _vocabulary(
            lambda vocabulary: {
                word if word[0] == "[" else f"{word}\u4e00": place for word, place in vocabulary.items()
            }
        ),
        "unknown",
    )
    yield (
        "",
        "tokens beyond the embedding",
        _vocabulary(
            lambda vocabulary: {word: place if word[0] == "[" else place + 1000 for word, place in vocabulary.items()}
        ),
        "embedding",
    )
    yield "", "no model in it", _changed(TOKENIZER, lambda content: content | {"model": {}}), ""
    yield "", "another kind of model", _changed(TOKENIZER, lambda content: content | {"model": {"type": "Magic"}}), ""
    yield "", "padding on no side", _set("tokenizer_config.json", padding_side="middle"), ""
    yield "", "a padding token that is a number", _set("tokenizer_config.json", pad_token=5), ""


CODE = "open({!r}, 'w').write('ran')\nraise SystemExit(0)\n"


def _foreign() -> Iterator[Case]:
    """Folders that would run Python of their own."""
    for name, config in (
        ("of an unknown kind", {"model_type": "magic", "architectures": ["MagicModel"]}),
        ("of a known kind", {}),
    ):
        for part in ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification"):

            def damage(folder: Path, config: dict[str, Any] = config, part: str = part) -> None:
                _put(folder / "magic.py", CODE.format(str(folder.parent / "RAN")))
                _set(**config, auto_map={part: "magic.Magic"})(folder)

            if config:
                yield "", f"own code {name}, {part}", damage, "code of its own"
    for name, modules in (
        ("not JSON", "{"),
        ("a text", '"x"'),
        ("of numbers", "[1]"),
        ("without paths", '[{"type": "x.Transformer"}]'),
        ("a mapping", "{}"),
    ):
        yield "", f"modules.json {name}", _write("modules.json", modules), "modules.json"
    for mode in ("max", "lasttoken", "weightedmean"):

        def pooled(folder: Path, mode: str = mode) -> None:
            entries = [
                {"type": "sentence_transformers.models.Transformer", "path": ""},
                {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
            ]
            _put(folder / "modules.json", json.dumps(entries))
            (folder / "1_Pooling").mkdir()
            _put(folder / "1_Pooling" / CONFIG, json.dumps({"pooling_mode": mode}))

        yield "", f"pooled by {mode}", pooled, "pools by"
