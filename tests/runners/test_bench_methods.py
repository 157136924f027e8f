"""The benchmark of all methods on a tiny encoder: what it measures, compares and writes, not how fast it is."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from amix.training.method import Method
from amix.training.method_info import MethodInfo
from amix.training.registry import built_in_methods, find_method
from runners.benchmarks import methods
from runners.benchmarks.methods import Overhead, measure
from runners.benchmarks.workload import QUICK
from runners.cli.app import app


def test_updates_are_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def step(method: type[Method], workload: object, count: int) -> object:
        assert count == methods.WARM_UP + 3
        return lambda: calls.append("plain" if method is Method else "ours")

    monkeypatch.setattr(methods, "_updates", step)
    monkeypatch.setattr(methods, "seconds", lambda update: 1.0 if update() is None and calls[-1] == "plain" else 2.5)
    (overhead,) = measure([find_method("mixout")], QUICK, 3)
    assert calls == ["plain", "ours"] * (methods.WARM_UP + 3)
    assert overhead.ratio == 2.5


def test_methods_of_every_kind_are_measured() -> None:
    names = ("vanilla", "mixout", "agwm", "frozen_logistic")
    overheads = {overhead.method.name: overhead for overhead in measure(map(find_method, names), QUICK, 2)}
    assert overheads["frozen_logistic"].ratio is None
    assert overheads["frozen_logistic"].holds is None
    for name in names[:3]:
        assert overheads[name].ratio is not None
        assert overheads[name].seconds > 0


def test_the_limit_is_the_one_in_the_file_or_the_passes_plus_a_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    class Promising(Method):
        name = "promising"
        info = MethodInfo(paper="none", year=2026, kind="test", passes=2.0)

    assert Overhead(Promising, 2.3, 1.0).holds
    assert not Overhead(Promising, 2.5, 1.0).holds
    monkeypatch.setattr(methods, "limits", lambda: {"promising": 2.1})
    assert not Overhead(Promising, 2.3, 1.0).holds
    assert "MISSED" in Overhead(Promising, 2.3, 1.0).text()


def test_every_limit_belongs_to_a_method_with_gradient_steps() -> None:
    by_steps = {name for name, method in built_in_methods().items() if method.info.trains_by_steps}
    assert set(methods.limits()) <= by_steps
    assert min(methods.limits().values()) > 1


def test_the_command_writes_to_the_given_file(tmp_path: Path) -> None:
    arguments = ["bench", "methods", "--quick", "--methods", "vanilla,topk_layers", "--out", str(tmp_path / "b.csv")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "b.csv").read_text()
    assert all(name in lines for name in ("vanilla", "topk_layers", "Limit", "kept"))
    assert (tmp_path / "b.md").read_text().count("|") > 20
