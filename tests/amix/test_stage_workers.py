"""Independent stages in other processes: a bit-identical run, including curve, diagnostics and cost."""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from typer.testing import CliRunner

from amix.runs.context import RunContext
from amix.runs.execute import execute
from amix.runs.scoring import Arrays, Record
from amix.specs.recipe import Recipe
from amix.specs.run_spec import RunSpec
from amix.training.registry import find_method
from amix.training.settings import full_settings
from baselines.recipe.longer import Longer
from helpers.toy_suite import save_encoder
from helpers.warm_processes import warm, warm_workers
from runners.cli import app


class Here(Executor):
    """Runs stages in this process, the last one first: no stage may depend on those before it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []
        self.done = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Defer all stages until the first result is requested."""
        here = self

        class Held(Future[Any]):
            def result(self, timeout: float | None = None) -> Any:
                here.do_all()
                return super().result(0)

        self.waiting.append((future := Held(), fn, args))
        return future

    def do_all(self) -> None:
        while self.waiting:
            future, fn, args = self.waiting.pop()
            self.done += 1
            try:
                future.set_result(fn(*args))
            except Exception as error:
                future.set_exception(error)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "small")


def spec(encoder: Path, method: str, task: str = "mini-cola", **settings: Any) -> RunSpec:
    recipe = Recipe(lr=5e-3, epochs=1, batch_size=8, max_length=16)
    config = full_settings(find_method(method), settings)
    return RunSpec(
        task=task, n_train=24, seed=1017, method=method, method_config=config, method_source="", encoder=encoder.name,
        training=recipe.as_dict(),
    )  # fmt: skip


def done(one: RunSpec, encoder: Path, executor: Executor | None = None) -> tuple[Record, Arrays]:
    record, arrays = execute(one, RunContext(encoder=str(encoder), executor=executor))
    assert record["status"] == "ok", record["error"]
    return record, arrays


def assert_same(first: tuple[Record, Arrays], second: tuple[Record, Arrays]) -> None:
    for block in ("key", "spec", "data", "scores", "curve"):
        assert first[0][block] == second[0][block], block
    for count in ("forward_passes", "backward_passes", "optimizer_steps", "flops", "trainable_parameters"):
        assert first[0]["cost"][count] == second[0]["cost"][count], count
    assert list(first[1]) == list(second[1])
    for name, array in first[1].items():
        assert numpy.array_equal(array, second[1][name]), name


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("agwm", {"splits": 3, "search_epochs": 1}),
        ("agwm", {"splits": 2, "search_epochs": 1, "average": "attention", "rank": 2}),
        ("agwm_official", {"splits": 2, "search_epochs": 1}),
        ("soup", {"splits": 2, "search_epochs": 1}),
        ("ensemble", {"members": 2}),
    ],
)
def test_stages_run_separately_and_in_another_order_give_the_same_run(
    encoder: Path, method: str, settings: dict[str, Any]
) -> None:
    executor = Here()
    one = spec(encoder, method, **settings)
    assert_same(done(one, encoder, executor), done(one, encoder))
    assert executor.done == settings.get("splits", settings.get("members"))


def test_stages_in_other_processes_give_the_same_run_and_count_their_memory(encoder: Path) -> None:
    torch.set_num_threads(1)
    one = spec(encoder, "agwm", "mini-stsb", splits=2, search_epochs=1)
    with ProcessPoolExecutor(2, warm()) as pool:
        elsewhere = done(one, encoder, pool)
    assert_same(elsewhere, done(one, encoder))
    assert elsewhere[0]["cost"]["train_seconds"] > 0


def test_an_error_in_a_stage_is_raised_by_the_run(encoder: Path) -> None:
    one = spec(encoder, "agwm", splits=2, search_epochs=1, modules=["no such module"])
    record, _ = execute(one, RunContext(encoder=str(encoder), executor=Here()))
    assert record["status"] == "accident"
    assert "no nn.Linear" in record["error"]["message"]


def test_a_method_without_independent_stages_needs_no_executor(encoder: Path) -> None:
    executor = Here()
    for method in ("vanilla", "longer"):
        done(spec(encoder, method), encoder, executor)
    assert executor.done == 0
    with pytest.raises(NotImplementedError, match="Longer has no independent stages"):
        Longer().run_stage(torch.nn.Linear(1, 1), None, 0)  # type: ignore[arg-type]


def test_the_command_line_runs_stages_on_workers(encoder: Path, tmp_path: Path) -> None:
    part = ("--task", "mini-cola", "--method", "agwm", "--seed", "1017", "--size", "24", "--encoder", str(encoder))
    settings = ("--set", "splits=2", "--set", "search_epochs=1", "--training", "epochs=1", "--training", "lr=5e-3")
    settings += ("--training", "max_length=24")
    shown = []
    for workers in ("0", "2"):
        out = tmp_path / workers
        with warm_workers():
            result = CliRunner().invoke(app.app, ["run", *part, *settings, "--out", str(out), "--workers", workers])
        assert result.exit_code == 0, (result.output, result.exception)
        (arrays,) = (out / "records" / "single").glob("*.npz")
        with numpy.load(arrays) as stored:
            shown.append({name: stored[name] for name in stored.files})
    assert shown[0].keys() == shown[1].keys()
    assert all(numpy.array_equal(shown[0][name], shown[1][name]) for name in shown[0])
