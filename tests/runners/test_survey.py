"""What a worker finds on its machine, compared with the inputs behind the driver's run keys; what it may be sent."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
import yaml

from amix.specs.store import Store
from amix.specs.task import TaskError
from helpers.own_texts import needs_of_own_files
from helpers.toy_suite import save_encoder
from runners.planning.plan import make_plan
from runners.planning.suite import find_suite
from runners.sweeping import survey as surveys
from runners.sweeping.on_cluster import needs_of
from runners.sweeping.shipped_inputs import in_files, inputs_of
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


def test_an_absolute_path_in_a_task_is_refused_in_one_line(tmp_path: Path) -> None:
    needs = in_files(needs_of_own_files(tmp_path))
    task = yaml.safe_load((tmp_path / "inputs" / "tasks" / "own.yaml").read_text())
    task["test"] = str(tmp_path / "inputs" / "rows" / "test.csv")
    (tmp_path / "inputs" / "tasks" / "own.yaml").write_text(yaml.safe_dump(task))
    with pytest.raises(TaskError, match=r"own\.yaml: /\S+/test\.csv cannot be shipped to workers: name it relative to"):
        inputs_of(needs)
