"""The benchmark of all methods on a tiny encoder: what is measured, compared and written, not how fast it is."""

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
    monkeypatch.setattr(methods, "seconds", lambda one: 1.0 if one() is None and calls[-1] == "plain" else 2.5)
    (found,) = measure([find_method("mixout")], QUICK, 3)
    assert calls == ["plain", "ours"] * (methods.WARM_UP + 3)
    assert found.ratio == 2.5


def test_one_of_every_kind_is_measured() -> None:
    names = ("vanilla", "mixout", "agwm", "frozen_logistic")
    found = {one.method.name: one for one in measure(map(find_method, names), QUICK, 2)}
    assert found["frozen_logistic"].ratio is None
    assert found["frozen_logistic"].holds is None
    for name in names[:3]:
        assert found[name].ratio is not None
        assert found[name].seconds > 0


def test_the_limit_is_that_of_the_file_or_its_passes_and_a_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    class Promising(Method):
        name = "promising"
        info = MethodInfo(paper="none", year=2026, kind="test", passes=2.0)

    assert Overhead(Promising, 2.3, 1.0).holds
    assert not Overhead(Promising, 2.5, 1.0).holds
    monkeypatch.setattr(methods, "limits", lambda: {"promising": 2.1})
    assert not Overhead(Promising, 2.3, 1.0).holds
    assert "MISSED" in Overhead(Promising, 2.3, 1.0).text()


def test_every_limit_is_one_of_a_method_that_makes_steps() -> None:
    by_steps = {name for name, method in built_in_methods().items() if method.info.trains_by_steps}
    assert set(methods.limits()) <= by_steps
    assert min(methods.limits().values()) > 1


def test_the_verb_writes_where_it_is_told(tmp_path: Path) -> None:
    arguments = ["bench", "methods", "--quick", "--methods", "vanilla,topk_layers", "--out", str(tmp_path / "b.csv")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = (tmp_path / "b.csv").read_text()
    assert all(name in lines for name in ("vanilla", "topk_layers", "Limit", "kept"))
    assert (tmp_path / "b.md").read_text().count("|") > 20
