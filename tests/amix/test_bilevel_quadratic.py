"""The estimators of the hypergradient against closed forms, unrolling and another library, on a quadratic problem."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import amix.mixup.hypergradient
from amix.mixup.weight_mixup import WeightMixup
from runners.benchmarks.quadratic import curve, drawing, options
from runners.benchmarks.quadratic_problem import Problem, Search, Trained, draw

EXACT_TO = 1e-12
MOMENTUM = 0.9
TRAINED: tuple[Trained, ...] = ("coupled", "mixed")


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found.detach() - expected).norm() / expected.norm())


def unrolled(problem: Problem) -> Tensor:
    """The gradient through one lower step by automatic differentiation, from the two losses alone."""
    s = problem.s.clone().requires_grad_()
    W, y = problem.W.clone().requires_grad_(), problem.y.clone().requires_grad_()
    W_step, y_step = torch.autograd.grad(problem.lower(at(problem, s, W, y)), [W, y], create_graph=True)
    if problem.velocity is not None:
        W_step, y_step = W_step + problem.velocity[: len(s)], y_step + problem.velocity[len(s) :]
    rate = problem.eta if problem.trained == "mixed" else 0.0
    above = problem.upper(at(problem, s, W - rate * W_step, y - problem.eta * y_step))
    return torch.autograd.grad(above, s)[0]


def at(problem: Problem, s: Tensor, W: Tensor, y: Tensor) -> Tensor:
    return torch.cat([s * W + (1 - s) * problem.W0, y])


def moving(trained: Trained, kappa: float = 0.0, steps: int = 4) -> tuple[Search, Problem]:
    """A search with momentum after some iterations, and the problem that its next iteration solves."""
    search = Search(draw(trained, kappa), options("exact"), momentum=MOMENTUM)
    for _ in range(steps):
        search.iterate()
    buffers = [search.lower.state[one].get("momentum_buffer") for one in (search.task, search.model.y)]
    velocity = MOMENTUM * torch.cat([buffer.flatten() for buffer in buffers])
    return search, replace(search.here(), velocity=velocity)


# Checks; each is also run with a fault in the estimator, and must then fail.


def check_against_the_closed_form(estimator: str, trained: Trained, limit: float) -> None:
    for seed in range(3):
        problem = draw(trained, seed=seed)
        found = Search(problem, options(estimator)).iterate()  # type: ignore[arg-type]
        assert relative(found, problem.truncated()) < limit


def check_weights_are_restored(estimator: str, trained: Trained, point: Literal["before", "after"] = "before") -> None:
    problem = draw(trained)
    search = Search(problem, replace(options(estimator), point=point))  # type: ignore[arg-type]
    search.iterate()
    W, y = problem.stepped()
    here = search.here()
    assert relative(here.W, W) < EXACT_TO
    assert relative(here.y, y) < EXACT_TO
    assert relative(search.model(), problem.z(W, y)) < EXACT_TO


def check_next_step(search: Search, problem: Problem) -> None:
    assert relative(search.iterate(), problem.truncated()) < EXACT_TO


@pytest.mark.parametrize("trained", TRAINED)
@pytest.mark.parametrize("kappa", [0.0, 0.5])
@pytest.mark.parametrize("velocity", [False, True])
def test_the_closed_form_is_the_derivative_of_the_unrolled_step(trained: Trained, kappa: float, velocity: bool) -> None:
    for seed in range(3):
        problem = draw(trained, kappa, seed=seed)
        if velocity:
            problem = replace(problem, velocity=torch.linspace(-1, 1, len(problem.q), dtype=torch.float64))
        assert relative(problem.truncated(), unrolled(problem)) < EXACT_TO


def test_the_solution_of_the_lower_problem_is_where_its_gradient_vanishes() -> None:
    problem = draw()
    s = problem.s.clone().requires_grad_()
    y = problem.solution()
    y.requires_grad_()
    (gradient,) = torch.autograd.grad(problem.lower(torch.cat([problem.s, y])), y)
    assert gradient.norm() < EXACT_TO
    (total,) = torch.autograd.grad(problem.upper(torch.cat([s, solved(problem, s)])), s)
    assert relative(problem.total(), total) < EXACT_TO


def solved(problem: Problem, s: Tensor) -> Tensor:
    """y*(x), differentiable."""
    n = len(s)
    return -torch.linalg.inv(problem.G[n:, n:]) @ (problem.G[n:, :n] @ s + problem.p[n:])


@pytest.mark.parametrize("trained", TRAINED)
def test_exact_equals_the_truncation(trained: Trained) -> None:
    check_against_the_closed_form("exact", trained, EXACT_TO)


@pytest.mark.parametrize("kappa", [0.0, 0.5])
@pytest.mark.parametrize("trained", TRAINED)
def test_exact_at_after_uses_the_mixed_derivative_of_the_stepped_weights(trained: Trained, kappa: float) -> None:
    problem = draw(trained, kappa)
    found = Search(problem, replace(options("exact"), point="after")).iterate()
    assert relative(found, problem.truncated(at_start=False)) < EXACT_TO


@pytest.mark.parametrize("trained", TRAINED)
def test_central_differences_are_exact_without_a_third_derivative(trained: Trained) -> None:
    check_against_the_closed_form("central", trained, 1e-10)


def errors(estimator: str, kappa: float, radii: tuple[float, ...]) -> list[float]:
    problem = draw("mixed", kappa)
    found = [Search(problem, options(estimator, radius)).iterate() for radius in radii]  # type: ignore[arg-type]
    return [relative(one, problem.truncated()) for one in found]


@pytest.mark.parametrize(
    ("estimator", "kappa", "order"), [("central", 0.5, 2), ("forward", 0.0, 1), ("forward", 0.5, 1)]
)
def test_differences_converge_at_their_order(estimator: str, kappa: float, order: int) -> None:
    first, second, third = errors(estimator, kappa, (4e-2, 2e-2, 1e-2))
    assert first / second == pytest.approx(2**order, rel=0.03)
    assert second / third == pytest.approx(2**order, rel=0.03)


def test_first_order_is_the_direct_term() -> None:
    problem = draw()
    found = Search(problem, options("first_order")).iterate()
    n = len(problem.s)
    assert relative(found, problem.upper_gradient(problem.z(*problem.stepped()))[:n]) < EXACT_TO
    assert relative(found, problem.truncated()) > 0.1


@pytest.mark.parametrize("estimator", ["exact", "central", "forward"])
@pytest.mark.parametrize("trained", TRAINED)
def test_the_weights_are_where_the_lower_step_left_them(estimator: str, trained: Trained) -> None:
    check_weights_are_restored(estimator, trained)


@pytest.mark.parametrize("trained", TRAINED)
def test_the_hypergradient_includes_the_momentum_of_the_lower_step(trained: Trained) -> None:
    check_next_step(*moving(trained))


# A long run.


@pytest.mark.parametrize("estimator", ["exact", "central", "forward"])
def test_a_search_reaches_the_stationary_point_of_the_truncated_problem(estimator: str) -> None:
    norms = curve(estimator, 300)  # type: ignore[arg-type]
    assert norms["truncated"].iloc[0] > 0.1
    assert norms["truncated"].iloc[-1] < 1e-10
    assert norms["total"].iloc[-1] > 0.1  # It is not the solution of the problem itself: one lower step is not y*(x).


def test_a_search_without_the_implicit_term_misses_the_stationary_point() -> None:
    assert curve("first_order", 300)["truncated"].iloc[-1] > 0.01


def test_the_stationary_point_is_the_one_that_was_drawn() -> None:
    search = Search(draw(seed=3), options("exact"), upper_rate=0.05)
    for _ in range(300):
        search.iterate()
    here = search.here()
    assert ((here.s > 0.3) & (here.s < 0.7)).all()
    assert relative(here.y, here.solution()) < 1e-9
    assert here.at(here.s, here.solution()).truncated().norm() < 1e-9


def test_the_figure_has_a_line_for_each_search() -> None:
    curves = pd.concat([curve("exact", 3), curve("first_order", 3)])
    drawn = drawing(curves)
    assert [len(axes.get_lines()) for axes in drawn.figure.axes] == [2, 2]
    assert drawn.data is curves


# Faults known from other implementations, put into the estimator: a check above must detect each.

FAITHFUL_DIFFERENCE = amix.mixup.hypergradient._difference
FAITHFUL_AT = amix.mixup.hypergradient._at
FAITHFUL_UPPER_GRADIENTS = amix.mixup.hypergradient._upper_gradients


def divided_by_e(*arguments: Any) -> list[Tensor]:
    return [2 * one for one in FAITHFUL_DIFFERENCE(*arguments)]


def at_the_stepped_weights(mixup: WeightMixup, start: Any, displacement: Any, restore: bool) -> Any:
    return FAITHFUL_AT(mixup, None, displacement, restore)


@contextmanager
def never_exchanged_back(parameters: list[Tensor], contents: list[Tensor]) -> Iterator[None]:
    amix.mixup.hypergradient.exchange(parameters, contents)
    yield


def not_kept(parameters: Any, offsets: Any) -> Any:
    return nullcontext()


def without_momentum(search: Search, problem: Problem) -> Callable[..., Any]:
    """The upper gradient at a virtual step without the momentum buffer."""
    W, y = replace(problem, velocity=None).stepped()

    def upper_gradients(mixup: WeightMixup, *arguments: Any) -> Any:
        stepped = [parameter.detach().clone() for parameter in (search.task, search.model.y)]
        for contents in ((W.view(1, -1), y), stepped):
            with torch.no_grad():
                search.task.copy_(contents[0])
                search.model.y.copy_(contents[1])
            mixup.write()
            if contents is not stepped:
                found = FAITHFUL_UPPER_GRADIENTS(mixup, *arguments)
        return found

    return upper_gradients


@pytest.mark.parametrize("trained", TRAINED)
def test_dividing_by_e_instead_of_2e_is_detected(monkeypatch: pytest.MonkeyPatch, trained: Trained) -> None:
    monkeypatch.setattr(amix.mixup.hypergradient, "_difference", divided_by_e)
    with pytest.raises(AssertionError):
        check_against_the_closed_form("central", trained, 1e-10)


@pytest.mark.parametrize("estimator", ["exact", "central"])
def test_perturbing_the_stepped_weights_instead_of_the_start_is_detected(
    monkeypatch: pytest.MonkeyPatch, estimator: str
) -> None:
    monkeypatch.setattr(amix.mixup.hypergradient, "_at", at_the_stepped_weights)
    with pytest.raises(AssertionError):
        check_against_the_closed_form(estimator, "mixed", 1e-10)


@pytest.mark.parametrize(("point", "fault"), [("before", "_exchanged"), ("after", "kept")])
def test_forgetting_to_restore_is_detected(monkeypatch: pytest.MonkeyPatch, point: Any, fault: str) -> None:
    check_weights_are_restored("central", "coupled", point)
    faulty = {"_exchanged": never_exchanged_back, "kept": not_kept}[fault]
    monkeypatch.setattr(amix.mixup.hypergradient, fault, faulty)
    with pytest.raises(AssertionError):
        check_weights_are_restored("central", "coupled", point)


@pytest.mark.parametrize("trained", TRAINED)
def test_omitting_the_momentum_is_detected(monkeypatch: pytest.MonkeyPatch, trained: Trained) -> None:
    search, problem = moving(trained)
    monkeypatch.setattr(amix.mixup.hypergradient, "_upper_gradients", without_momentum(search, problem))
    with pytest.raises(AssertionError):
        check_next_step(search, problem)


# Another library.


class Lower(nn.Module):
    """What the lower level trains."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.y = nn.Parameter(problem.y.clone())
        if problem.trained == "mixed":
            self.W = nn.Parameter(problem.W.clone())


@pytest.mark.parametrize("momentum", [0.0, MOMENTUM])
@pytest.mark.parametrize("kappa", [0.0, 0.5])
@pytest.mark.parametrize("trained", TRAINED)
def test_torchopt_agrees_at_one_step(trained: Trained, kappa: float, momentum: float) -> None:
    """Its differentiable SGD takes the same steps; there too, only the last one is differentiated."""
    torchopt = pytest.importorskip("torchopt", reason="the outside judge of the hypergradient: pip install torchopt")
    problem = draw(trained, kappa)
    search = Search(problem, options("exact"), momentum=momentum)
    module, s = Lower(problem), problem.s.clone().requires_grad_()
    optimizer = torchopt.MetaSGD(module, lr=problem.eta, momentum=momentum)

    def z() -> Tensor:
        return at(problem, s, module.W if trained == "mixed" else problem.W, module.y)

    for _ in range(3):
        optimizer.step(problem.lower(z()))
        (expected,) = torch.autograd.grad(problem.upper(z()), s)
        assert relative(search.iterate(), expected) < EXACT_TO
        torchopt.stop_gradient(module)
        torchopt.stop_gradient(optimizer)
