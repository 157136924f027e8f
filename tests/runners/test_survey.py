"""What a worker finds on its machine, compared with the inputs behind the driver's run keys; what it may be sent."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pandas
import pytest
import transformers
import yaml

from amix.runs.context import RunContext
from amix.specs.encoder_files import locate, source_hash
from amix.specs.encoders import Encoder, EncoderError, find_encoder
from amix.specs.store import Store
from amix.specs.task import TaskError
from amix.training.foreign_code import import_file
from helpers.own_texts import METHOD, hidden, needs_of_own_files
from helpers.toy_suite import save_encoder
from runners.planning.cluster_file import ClusterFile
from runners.planning.plan import make_plan
from runners.planning.suite import find_suite
from runners.sweeping import survey as surveys
from runners.sweeping.on_cluster import needs_of
from runners.sweeping.parcels import found_here, lacks, parcels_folder, receive
from runners.sweeping.shipped_inputs import ShippedInput, in_files, inputs_of
from runners.sweeping.shipping import Shipment, packed
from runners.sweeping.survey import Needs, mismatches, sources_hash, survey
from runners.sweeping.worker import Worker

ROWS = "text,label\n" + "".join(f"text {number},{('ham', 'spam')[number % 2]}\n" for number in range(40))
TASK = {
    "name": "own", "train": "train.csv", "validation": "dev.csv", "test": "test.csv", "text": "text",
    "labels": ["ham", "spam"],
}  # fmt: skip
ENCODERS: dict[str, object] = {"folder": "encoder", "entry": {"name": "mine", "source": "encoder"}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("saved") / "encoder")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A folder with an encoder, a user's own task and an out-of-domain set."""
    shutil.copytree(saved, tmp_path / "encoder")
    for name in ("train.csv", "dev.csv", "test.csv"):
        (tmp_path / name).write_text(ROWS)
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(TASK))
    (tmp_path / "sets" / "hans").mkdir(parents=True)
    rows = {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [0, 1]}
    pandas.DataFrame(rows).to_parquet(tmp_path / "sets" / "hans" / "validation.parquet")
    return tmp_path


def needs_in(folder: Path, encoder: object = "encoder") -> Needs:
    """The needs of a sweep, planned from the files as they are now."""
    content = {
        "encoder": str(folder / "encoder") if encoder == "encoder" else encoder, "tasks": ["own.yaml", "mini-rte"],
        "sizes": [8], "seeds": [1], "methods": ["vanilla"], "out_of_domain": ["hans"],
    }  # fmt: skip
    (folder / "suite.yaml").write_text(yaml.safe_dump(content))
    plan = make_plan(find_suite(str(folder / "suite.yaml")))
    worker = Worker.of(plan, Store(folder), "", None, folder / "sets")
    return needs_of(worker, plan.runs, shared=False)


def found_wrong(needs: Needs) -> list[str]:
    return mismatches(survey(needs), survey(), shared=False)


def edited(name: str) -> Callable[[Path], None]:
    more = " \n" if name.endswith(".json") else "more,ham\n"

    def edit(folder: Path) -> None:
        (folder / name).write_text((folder / name).read_text() + more)

    return edit


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


CHANGES = {
    "own train file": (edited("train.csv"), "data of own: ", "from the driver's"),
    "own dev file": (edited("dev.csv"), "data of own: ", "from the driver's"),
    "own test file": (edited("test.csv"), "data of own: ", "from the driver's"),
    "no test file": (removed("test.csv"), "data of own: ", "test.csv"),
    "no dev file": (removed("dev.csv"), "data of own: ", "dev.csv"),
    "set out of domain": (removed("sets/hans/validation.parquet"), "data of mini-rte: ", "hans"),
    "encoder": (edited("encoder/config.json"), "encoder: encoder differs", "from the driver's"),
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_worker_with_the_drivers_inputs_fits(folder: Path, encoder: str) -> None:
    needs = needs_in(folder, ENCODERS[encoder])
    assert needs.encoder_source
    assert needs.task_sources["own"]
    assert found_wrong(needs) == []


@pytest.mark.parametrize("case", CHANGES)
def test_an_input_that_differs_from_the_drivers_is_one_line(folder: Path, case: str) -> None:
    change, beginning, reason = CHANGES[case]
    needs = needs_in(folder)
    change(folder)
    (line,) = found_wrong(needs)
    assert line.startswith(beginning)
    assert reason in line
    assert "\n" not in line


@pytest.mark.parametrize("change", ["edited", "absent"])
def test_the_contents_of_a_suites_own_encoder_are_compared_too(folder: Path, change: str) -> None:
    needs = needs_in(folder, ENCODERS["entry"])
    if change == "edited":
        edited("encoder/config.json")(folder)
    else:
        shutil.rmtree(folder / "encoder")
    (line,) = found_wrong(needs)
    assert line.startswith("encoder: mine differs from the driver's")


def test_sets_that_no_run_is_scored_on_are_not_needed(folder: Path) -> None:
    needs = needs_in(folder)
    removed("sets/hans/validation.parquet")(folder)
    assert found_wrong(replace(needs, context=replace(needs.context, dev_only=True))) == []


@pytest.mark.parametrize("name", ["amix/m.py", "runners/suites/quick.yaml", "amix/data/embedded/mini-rte/train.csv"])
def test_code_suites_and_embedded_data_enter_the_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(surveys, "ROOT", tmp_path)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("a")
    before = sources_hash.__wrapped__()
    path.write_text("b")
    assert sources_hash.__wrapped__() != before


def test_only_what_runs_use_is_packed(tmp_path: Path) -> None:
    needs = in_files(needs_of_own_files(tmp_path))
    names = {one.what: set(one.files) for one in inputs_of(needs)}
    assert names["task own"] == {"tasks/own.yaml", "rows/train.csv", "rows/test.csv"}
    assert names["method brought.py"] == {"brought.py"}
    assert names["GLUE"] == {"glue/rte/train.parquet", "glue/rte/validation.parquet"}
    assert names["out-of-domain sets"] == {"sets/hans/validation.parquet"}
    assert {"encoder/config.json", "encoder/model.safetensors", "encoder/tokenizer.json"} <= names["encoder encoder"]
    assert not any("checkpoint" in name for name in names["encoder encoder"])
    dev = in_files(replace(needs, context=replace(needs.context, dev_only=True)))
    assert "out-of-domain sets" not in {one.what for one in inputs_of(dev)}


def test_a_tasks_folders_and_metrics_keep_their_places(tmp_path: Path) -> None:
    needs = needs_of_own_files(tmp_path)
    inputs = tmp_path / "inputs"
    (inputs / "rows" / "saved").mkdir()
    for name in ("rows/saved/data.arrow", "rows/saved/state.json", "tasks/kappa.py"):
        (inputs / name).write_text("")
    task = yaml.safe_load((inputs / "tasks" / "own.yaml").read_text())
    task |= {"train": "../rows/saved", "test": "hub:owner/name:test", "metrics": ["accuracy", "evaluate:kappa.py"]}
    (inputs / "tasks" / "own.yaml").write_text(yaml.safe_dump(task))
    (own,) = (one for one in inputs_of(in_files(needs)) if one.what == "task own")
    assert set(own.files) == {"tasks/own.yaml", "tasks/kappa.py", "rows/saved/data.arrow", "rows/saved/state.json"}
    assert own.inside == "tasks/own.yaml"


@pytest.mark.parametrize(
    ("named", "remedy"),
    [
        ("{inputs}/rows/test.csv", r"own\.yaml: /\S+/test\.csv cannot be shipped to workers: name it relative to this"),
        (
            "../rows/sub/../test.csv",
            r"own\.yaml: \S+/test\.csv cannot be shipped to workers: write \.\./rows/test",
        ),
    ],
    ids=["absolute", "roundabout"],
)
def test_a_path_in_a_task_that_leads_to_no_copy_is_refused_in_one_line(tmp_path: Path, named: str, remedy: str) -> None:
    needs, inputs = in_files(needs_of_own_files(tmp_path)), tmp_path / "inputs"
    (inputs / "rows" / "sub").mkdir()
    task = yaml.safe_load((inputs / "tasks" / "own.yaml").read_text())
    task["test"] = named.format(inputs=inputs)
    (inputs / "tasks" / "own.yaml").write_text(yaml.safe_dump(task))
    with pytest.raises(TaskError, match=remedy):
        inputs_of(needs)


def encoder_in(needs: Needs) -> ShippedInput:
    (encoder,) = (one for one in inputs_of(in_files(needs)) if one.what.startswith("encoder"))
    return encoder


def names_of_vocabulary_files() -> set[str]:
    """The files in which the tokenizers of transformers keep their vocabularies, by their sources."""
    folder = Path(transformers.__file__).parent / "models"
    tables = [
        table
        for source in folder.glob("*/tokenization_*.py")
        for table in re.findall(
            r"^VOCAB_FILES_NAMES = \{(.*?)\}", source.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
    ]
    return {name for table in tables for name in re.findall(r': "([^"]+)"', table)}


def test_every_tokenizers_files_are_packed(tmp_path: Path) -> None:
    needs, names = needs_of_own_files(tmp_path), names_of_vocabulary_files()
    assert {"vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "bpe.codes"} <= names
    for name in names:
        (tmp_path / "inputs" / "encoder" / name).touch()
    assert {f"encoder/{name}" for name in names} <= set(encoder_in(needs).files)


@pytest.mark.parametrize("place", ["1_Pooling", "modules/1_Pooling"])
def test_a_sentence_encoder_is_packed_with_its_model_and_pooling_wherever_they_are(tmp_path: Path, place: str) -> None:
    needs, folder = needs_of_own_files(tmp_path), tmp_path / "inputs" / "encoder"
    model = folder / "modules" / "0_Transformer"
    model.mkdir(parents=True)
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(model / path.name)
    (folder / place).mkdir(parents=True)
    (folder / place / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    kinds = {"Transformer": "modules/0_Transformer", "Pooling": place}
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": path} for kind, path in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    there = tmp_path / "there"
    for name, path in encoder_in(needs).files.items():
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there / name)
    assert find_encoder(str(there / "encoder")).pooling == find_encoder(str(folder)).pooling == "mean"
    assert source_hash(str(there / "encoder")) == source_hash(str(folder))


def in_parts(folder: Path, below: str = "") -> list[str]:
    """Split an encoder's weights into two files, in a subfolder if one is given; their names."""
    model = transformers.AutoModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size=20_000)
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    parts = sorted(set(content["weight_map"].values()))
    (folder / below).mkdir(exist_ok=True)
    for part in parts:
        (folder / part).rename(folder / below / part)
    content["weight_map"] = {name: f"{below}{part}" for name, part in content["weight_map"].items()}
    index.write_text(json.dumps(content))
    return [f"{below}{part}" for part in parts]


@pytest.mark.parametrize("below", ["", "parts/"])
def test_weights_in_several_files_are_packed_and_missed(tmp_path: Path, below: str) -> None:
    needs, folder = needs_of_own_files(tmp_path), tmp_path / "inputs" / "encoder"
    parts = in_parts(folder, below)
    assert len(parts) > 1
    needs = replace(needs, encoder_source=source_hash(str(folder)))
    assert {f"encoder/{part}" for part in parts} <= set(encoder_in(needs).files)
    assert survey(needs).encoder == "found"
    (folder / parts[0]).unlink()
    assert f"names weights that are not there: {parts[0]}" in survey(replace(needs, encoder_source="")).encoder


def test_files_that_an_encoder_names_outside_its_folder_are_refused(tmp_path: Path) -> None:
    needs, folder = needs_of_own_files(tmp_path), tmp_path / "inputs" / "encoder"
    (tmp_path / "inputs" / "pooling").mkdir()
    (tmp_path / "inputs" / "pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (folder / "modules.json").write_text(json.dumps([{"type": "a.Pooling", "path": "../pooling"}]))
    with pytest.raises(EncoderError, match=r"encoder names \S+/\.\./pooling/config\.json, which is not below it"):
        encoder_in(needs)


def test_files_that_a_metric_imports_come_along_and_compiled_ones_do_not(tmp_path: Path) -> None:
    needs, tasks = needs_of_own_files(tmp_path), tmp_path / "inputs" / "tasks"
    (tasks / "kappa.py").write_text("from .other import value\nfrom .absent import nothing\nimport math\n")
    (tasks / "f2" / "__pycache__").mkdir(parents=True)
    for name in ("other.py", "unused.py", "f2/f2.py", "f2/more.py", "f2/__pycache__/f2.cpython-311.pyc"):
        (tasks / name).write_text("")
    task = yaml.safe_load((tasks / "own.yaml").read_text()) | {"metrics": ["evaluate:kappa.py", "evaluate:f2"]}
    (tasks / "own.yaml").write_text(yaml.safe_dump(task))
    (own,) = (one for one in inputs_of(in_files(needs)) if one.what == "task own")
    rows = {"rows/train.csv", "rows/test.csv"}
    metrics = {"tasks/kappa.py", "tasks/other.py", "tasks/f2/f2.py", "tasks/f2/more.py"}
    assert set(own.files) == {"tasks/own.yaml", *metrics, *rows}


def test_a_method_that_needs_its_neighbours_is_refused_before_any_run(tmp_path: Path) -> None:
    (tmp_path / "leaning.py").write_text("import beside_it\n" + METHOD)
    needs = Needs(RunContext(plugins=(f"{tmp_path / 'leaning.py'}:Brought",)), "minilm-l4", (), "")
    (line,) = mismatches(survey(needs), survey(), shared=False)
    assert line.startswith("methods of your own: ")
    assert "No module named 'beside_it'" in line


SHIPPING = ClusterFile.model_validate({"kind": "address", "address": "tls://n:1", "ship": True})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of unpacked parcels, which only the test uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return parcels_folder()


def deliver_all(shipment: Shipment) -> None:
    for parcel in shipment.needs.parcels:
        receive(parcel, "delivery", 0, shipment.archives[parcel.sha256].read(0, parcel.size))


ENTRY = {"name": "mine", "source": "inputs/encoder", "layers": 1}
SHIPPED: dict[str, dict[str, object]] = {"folder": {}, "entry": {"encoder": ENTRY}, "alias": {"encoder": "minilm-l4"}}


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("encoder", SHIPPED)
def test_a_worker_without_the_drivers_files_fits_once_it_has_the_parcels(encoder: str, tmp_path: Path) -> None:
    needs, told = needs_of_own_files(tmp_path, **SHIPPED[encoder]), list[str]()
    with packed(SHIPPING, needs, told.append) as shipment:
        with hidden(tmp_path / "inputs"):
            wrong = mismatches(survey(needs), survey(), shared=False)
            assert {line.partition(":")[0] for line in wrong} >= {"data of own", "data of rte", "methods of your own"}
            assert all("'ship: true'" in line for line in wrong)
            deliver_all(shipment)
            assert mismatches(survey(shipment.needs), survey(), shared=False) == []
        archives = list(shipment.archives.values())
    assert all(archive.file.closed for archive in archives), "nothing is left of them"
    (line,) = told
    for what in ("a worker gets ", "encoder ", "task own 0.1 MB", "method brought.py", "GLUE ", "out-of-domain sets "):
        assert what in line


def test_without_ship_nothing_is_packed_or_said(tmp_path: Path) -> None:
    needs = Needs(RunContext(), "no-such-encoder", (), "")
    with packed(SHIPPING.model_copy(update={"ship": False}), needs, pytest.fail) as shipment:
        assert shipment == Shipment(needs)


@pytest.mark.usefixtures("cache")
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


@pytest.mark.usefixtures("cache")
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


@pytest.mark.usefixtures("cache")
def test_the_use_of_a_copy_does_not_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = needs_of_own_files(tmp_path)
    with packed(SHIPPING, needs, lambda words: None) as shipment:
        deliver_all(shipment)
    there = found_here(shipment.needs.context, shipment.needs.parcels)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    import_file(Path(there.plugins[0].rpartition(":")[0]), "imported_by_no_other_test")
    assert sys.dont_write_bytecode is False
    assert survey(shipment.needs).data["own"] == "found"
    assert not any(map(lacks, shipment.needs.parcels))
