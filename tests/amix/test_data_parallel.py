"""Data-parallel runs: two processes that split each batch give the run of one, or an error."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from transformers import BertForMaskedLM
from typer.testing import CliRunner

from amix.runs.context import RunContext
from amix.runs.execute import execute
from amix.runs.scoring import Arrays, Record
from amix.specs.recipe import Recipe
from amix.specs.run_spec import RunSpec
from amix.training.registry import built_in_methods, find_method, load_external, source_hash
from amix.training.settings import full_settings
from helpers.toy_suite import save_encoder
from helpers.warm_processes import launched, run
from runners.cli import app

TESTS = Path(__file__).parents[1]
OWN_DECISIONS = '''
import torch
from amix.training.method import Method
from amix.training.method_info import MethodInfo

class OwnDecisions(Method):
    """Draws from dropout's random state, which differs between processes."""
    name = "own_decisions"
    info = MethodInfo(paper="none", year=2026, kind="test")

    def after_step(self, model, fit):
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter)
'''
SEARCH = {"splits": 1, "search_epochs": 1}
BRIEF = SEARCH | {"members": 2, "epochs": 2}
"""Settings with which methods that have them train for less time."""
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("rdrop", {"summed": True}),
    ("agwm", SEARCH | {"estimator": "exact"}),
    ("agwm", SEARCH | {"estimator": "forward", "point": "before"}),
]
CASES = OTHERS + [
    (name, {setting: value for setting, value in BRIEF.items() if hasattr(method.Config(), setting)})
    for name, method in built_in_methods().items()
    if method.info.trains_by_steps and method.info.splits_batches
]
"""Every method that can split its batches, and settings that take other branches."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without dropout, whose masks would differ between one process and two; with a head for methods that need one."""
    folder = save_encoder(tmp_path_factory.mktemp("encoder") / "small")
    BertForMaskedLM.from_pretrained(folder).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def spec(encoder: Path, method: str, settings: dict[str, Any], task: str = "mini-stsb") -> RunSpec:
    # 19 examples in batches of 8 leave a last batch of 3, which two processes cannot split evenly.
    recipe = Recipe(lr=1e-3, epochs=1, batch_size=8, max_length=16)
    return RunSpec(
        task=task, n_train=19, seed=1017, method=method, method_config=full_settings(find_method(method), settings),
        method_source=source_hash(find_method(method)), encoder=encoder.name, training=recipe.as_dict(),
    )  # fmt: skip


def launch(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Two processes that share the gradients through gloo; what starts them is forked with its imports done."""
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}  # Whatever the host's name resolves to.
    environment = os.environ | {"PYTHONPATH": str(TESTS.parent), "OMP_NUM_THREADS": "1"} | loopback
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    return run(command, folder, environment)


@pytest.fixture(scope="module")
def together(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Record, Arrays]]:
    """The results of two processes: every case, and last a method with different decisions per process."""
    folder = tmp_path_factory.mktemp("together")
    plugin = folder / "own.py"
    plugin.write_text(OWN_DECISIONS)
    load_external(f"{plugin}:OwnDecisions")
    others: list[tuple[str, dict[str, Any]]] = [("match_tuning", {}), ("vanilla", {}), ("own_decisions", {})]
    specs = [spec(encoder, method, settings) for method, settings in [*CASES, *others]]
    wanted = [dataclasses.asdict(one) | {"training": one.training | {"processes": 2}} for one in specs]
    wanted[-2]["training"]["lr"] = 1e30
    wanted[-1]["plugins"] = [f"{plugin}:OwnDecisions"]
    launched(wanted, encoder, folder)
    return [
        (json.loads((folder / f"{i}.json").read_text()), dict(numpy.load(folder / f"{i}.npz")))
        for i in range(len(wanted))
    ]


@pytest.mark.filterwarnings("ignore:Invalid `oft_block_size`")  # The encoder is narrower than a block.
@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=[f"{name}-{'-'.join(map(str, s.values()))}" for name, s in CASES]
)
def test_two_processes_make_the_run_of_one(number: int, encoder: Path, together: list[tuple[Record, Arrays]]) -> None:
    record, arrays = together[number]
    assert record["status"] == "ok", record["error"]
    alone, expected = execute(spec(encoder, *CASES[number]), RunContext(encoder=str(encoder), dev_only=True))
    assert record["key"] != alone["key"]
    assert record["cost"]["optimizer_steps"] == alone["cost"]["optimizer_steps"]
    numpy.testing.assert_allclose(arrays["dev_predictions"], expected["dev_predictions"], atol=5e-6)
    assert expected["dev_predictions"].std() > 0.002
    for point, other in zip(record["curve"], alone["curve"], strict=True):
        assert point["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)


def test_a_method_with_different_decisions_per_process_is_detected(together: list[tuple[Record, Arrays]]) -> None:
    record, _ = together[-1]
    assert record["status"] == "failed"
    assert record["error"]["type"] == "Drift"
    assert "take random numbers from amix.random_streams" in record["error"]["message"]


def test_divergence_and_methods_that_cannot_share_batches_are_recorded(together: list[tuple[Record, Arrays]]) -> None:
    coupled, diverged = together[-3][0], together[-2][0]
    assert "needs whole batches" in coupled["error"]["message"]
    assert diverged["status"] == "diverged"


def test_a_run_from_the_command_line_leaves_one_record_with_its_number_of_processes(tmp_path: Path) -> None:
    encoder = save_encoder(tmp_path / "small")
    words = ["run", "-t", "mini-stsb", "-m", "vanilla", "--seed", "1", "-n", "24", "-e", str(encoder)]
    words += ["--training", "epochs=1", "--training", "max_length=16", "--out", str(tmp_path)]
    done = launch("-m", "runners", *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.count("record: ") == 1
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "records").glob("*/*.json"))
    assert record["spec"]["training"]["processes"] == 2
    assert record["cost"]["optimizer_steps"] == 2


def test_a_run_that_cannot_be_split_is_refused(encoder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    one = spec(encoder, "vanilla", {})
    one = dataclasses.replace(one, training=one.training | {"processes": 2})
    record, _ = execute(one, RunContext(encoder=str(encoder)))
    assert "torchrun --nproc-per-node 2" in record["error"]["message"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = CliRunner().invoke(app.app, ["sweep", "--suite", "quick", "--out", str(tmp_path)])
    assert "a sweep has its own workers" in str(done.exception)
