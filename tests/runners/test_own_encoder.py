"""A suite's own encoder: how it is described, what enters the runs' keys, and that workers load it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from amix.specs.encoder_files import locate, public_name, source_hash
from amix.specs.encoders import ENCODERS, Encoder, EncoderError
from amix.specs.store import Store
from helpers.fake_jobs import Listening
from helpers.toy_suite import save_encoder
from helpers.warm_processes import warm_workers
from results.loading.layout import Layout
from runners.planning.plan import make_plan
from runners.planning.suite import Suite, SuiteError, find_suite
from runners.sweeping.carry_out import carry_out
from runners.sweeping.preflight import check_inputs
from runners.sweeping.state import SweepState
from runners.sweeping.worker import Worker

OWN = {
    "name": "my-encoder", "source": "encoder", "pooling": "mean", "recipe": {"lr": 5e-3, "epochs": 2, "max_length": 32},
    "seen": {"mini-rte": "its card says so"}, "layers": 1, "chosen_with": [7], "block_weights": 1e4,
}  # fmt: skip
HUB = {"name": "hub-encoder", "source": "some/model", "revision": "a" * 40}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_encoder(tmp_path / "encoder")
    return tmp_path


def suite_with(folder: Path, encoder: Any, **more: Any) -> Suite:
    """A suite with this under `encoder:`."""
    content = {"encoder": encoder, "tasks": ["mini-rte"], "sizes": [24], "seeds": [1], "methods": ["vanilla"]} | more
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(content))
    return find_suite(str(path))


def keys(suite: Suite) -> list[str]:
    return [run.spec.key for run in make_plan(suite).runs]


def test_the_description_becomes_an_entry(folder: Path) -> None:
    encoder = suite_with(folder, OWN).encoder
    assert isinstance(encoder, Encoder)
    assert (encoder.name, encoder.source, encoder.layers) == ("my-encoder", str(folder / "encoder"), 1)
    assert (encoder.recipe.lr, encoder.recipe.epochs, encoder.recipe.batch_size) == (5e-3, 2, 16)
    plan = make_plan(suite_with(folder, OWN))
    assert plan.run_plan.encoder == "my-encoder"
    assert "its card says so" in plan.run_plan.tasks["mini-rte"].footnote


def test_its_name_and_a_hash_of_what_determines_the_weights_enter_the_key(folder: Path) -> None:
    spec = make_plan(suite_with(folder, OWN)).runs[0].spec
    assert spec.encoder == "my-encoder"
    assert len(spec.encoder_source) == 64
    assert str(folder) not in str(spec.as_dict())
    first = keys(suite_with(folder, OWN))
    irrelevant = OWN | {"source": str(folder / "encoder"), "seen": {}, "chosen_with": [], "block_weights": 2e4}
    assert keys(suite_with(folder, irrelevant)) == first
    for change in ({"pooling": "cls"}, {"layers": 2}, {"recipe": {"lr": 1e-3}}, {"name": "another"}):
        assert keys(suite_with(folder, OWN | change)) != first
    (folder / "encoder" / "config.json").write_text((folder / "encoder" / "config.json").read_text() + " ")
    assert keys(suite_with(folder, OWN)) != first


def test_a_hub_encoder_is_identified_by_its_revision(folder: Path) -> None:
    one, other = (suite_with(folder, HUB | {"revision": digit * 40}) for digit in "ab")
    assert keys(one) != keys(other)
    assert keys(suite_with(folder, HUB | {"sha256": "0" * 64})) == keys(suite_with(folder, HUB))


def test_plain_names_are_not_changed(folder: Path) -> None:
    for alias in ("minilm-l6", "bert-base", "some/model"):
        assert suite_with(folder, alias).encoder == alias
        assert (public_name(alias), source_hash(alias)) == (alias, "")


def test_a_folder_with_the_name_of_an_alias_does_not_replace_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "roberta-base").mkdir()
    monkeypatch.chdir(folder)
    assert (public_name("roberta-base"), source_hash("roberta-base")) == ("roberta-base", "")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"poling": "mean"}, "encoder: unknown field 'poling'; did you mean pooling"),
        ({"parts": ["a"]}, "encoder: unknown field 'parts'"),
        ({"pooling": "maen"}, "pooling: unknown 'maen'; did you mean mean"),
        ({"name": "minilm-l6"}, "choose a name of letters"),
        ({"name": "../up"}, "choose a name of letters"),
        ({"name": ""}, "choose a name of letters"),
        ({"name": 5}, "name: a text is needed"),
        ({"recipe": {"lr": float("nan")}}, "encoder: recipe: lr: a finite number is needed, found nan"),
        ({"recipe": {"betas": []}}, "recipe: betas: has the wrong number of values"),
        ({"seen": {"mini-rte": 5}}, "seen: mini-rte: a text is needed"),
        ({"recipe": {"learning_rate": 1}}, "recipe: unknown training setting learning_rate"),
        ({"recipe": 3}, "recipe: expected 'name: value' pairs"),
        ({"seen": {"mini-rt": "x"}}, "seen: unknown 'mini-rt'; did you mean mini-rte"),
        ({"layers": 0}, "layers: at least 1 is needed, found 0"),
        ({"layers": True}, "layers: a whole number is needed, found True"),
        ({"block_weights": "many"}, "block_weights: a number is needed, found 'many'"),
        ({"chosen_with": 7}, "chosen_with: a list is needed, found 7"),
        ({"sha256": "abc"}, "sha256: the hash of model.safetensors has 64 hexadecimal digits, not 'abc'"),
        ({"source": "./nowhere"}, "there is no folder ./nowhere"),
        ({"source": "some/model"}, "needs revision"),
        ({"source": "some/model", "revision": "main"}, "revision: the full id of a commit has 40"),
        ({"revision": "a" * 40}, "is a folder, which has none"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(folder: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(SuiteError, match=words) as caught:
        suite_with(folder, OWN | change)
    assert str(caught.value).startswith(str(folder / "own.yaml"))
    assert "\n" not in str(caught.value)


def test_weights_with_another_hash_are_refused_before_anything_trains(folder: Path) -> None:
    plan = make_plan(suite_with(folder, OWN | {"sha256": "0" * 64}))
    with pytest.raises(EncoderError, match=r"expected 0{64}: correct sha256"):
        check_inputs(plan, plan.runs, None)


def test_seeds_that_chose_its_recipe_are_not_reported(folder: Path) -> None:
    with pytest.raises(SuiteError, match="chose the recipe of my-encoder"):
        make_plan(suite_with(folder, OWN, seeds=[7, 8]))


def test_a_worker_loads_it_and_finished_runs_are_not_repeated(folder: Path) -> None:
    plan, layout = make_plan(suite_with(folder, OWN)), Layout(folder / "out")
    store = Store(layout.records / plan.suite.name)
    worker = Worker.of(plan, store, "", None)
    with warm_workers():
        carry_out(plan.runs, worker, worker.abandon, store, 1, Listening())
    record = store.get(plan.runs[0].spec.key)
    assert record is not None
    assert record["status"] == "ok", record["error"]
    assert record["spec"]["encoder"] == "my-encoder"
    assert not SweepState.read(plan, layout).todo.runs


def test_it_is_found_in_the_folder_that_the_suite_gives(folder: Path) -> None:
    encoder = suite_with(folder, OWN).encoder
    assert isinstance(encoder, Encoder)
    assert locate(encoder) == str(folder / "encoder")
    assert "my-encoder" not in ENCODERS
