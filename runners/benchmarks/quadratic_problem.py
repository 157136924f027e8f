"""A bi-level problem with every derivative in closed form, for checking the estimators of the hypergradient.

    upper  f(x, y) = 1/2 z'Fz + q'z          z = (x, y), x the effective weights of one linear, y a further parameter
    lower  g(x, y) = 1/2 z'Gz + p'z + kappa/4 sum z^4

This is the quadratic problem of benchopt's benchmark_bilevel (github.com/benchopt/benchmark_bilevel, the simulated
data set); kappa, 0 there, adds a third derivative, for which the central difference is not exact. The effective weights
are those of a convex mixup of rank 1, x = s o W + (1 - s) o W0 with s = a1 a2. The lower level trains one of two sets:

    coupled   y only; W is 1 and W0 is 0, so that x is the attention s itself: benchopt's problem, with the solution
              y*(x) = -G_yy^-1 (G_yx x + p_y) and the hypergradient f_x - G_xy G_yy^-1 f_y
    mixed     W and y, as in the weight mixup
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from typing_extensions import override

from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import HypergradientOptions
from amix.mixup.weight_mixup import WeightMixup

Trained = Literal["coupled", "mixed"]


class Point(nn.Module):
    """The point (x, y) at which both losses are taken; x is the weight of a linear without a bias."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        super().__init__()
        self.linear = nn.Linear(len(x), 1, bias=False, dtype=x.dtype)
        self.y = nn.Parameter(y.clone())
        with torch.no_grad():
            self.linear.weight.copy_(x)

    @override
    def forward(self) -> Tensor:
        """z = (x, y), [n + m]."""
        return torch.cat([self.linear.weight.flatten(), self.y])


@dataclass(frozen=True)
class Problem:
    """Both losses, W0, and the starting point of a search.

    Attributes:
        F, G: symmetric, [n + m, n + m] for n entries of x and m of y.
        q, p: [n + m].
        W, W0, s: [n].
        y: [m].
        eta: learning rate of the lower step.
        velocity: the momentum times the momentum buffer of W and y before the step, [n + m].
    """

    F: Tensor
    q: Tensor
    G: Tensor
    p: Tensor
    W: Tensor
    W0: Tensor
    s: Tensor
    y: Tensor
    eta: float
    trained: Trained = "coupled"
    kappa: float = 0.0
    velocity: Tensor | None = None

    def upper(self, z: Tensor) -> Tensor:
        """The upper loss at z."""
        return 0.5 * z @ self.F @ z + self.q @ z

    def lower(self, z: Tensor) -> Tensor:
        """The lower loss at z."""
        return 0.5 * z @ self.G @ z + self.p @ z + self.kappa / 4 * (z**4).sum()

    def upper_gradient(self, z: Tensor) -> Tensor:
        """The derivative of f with respect to z, [n + m]."""
        return self.F @ z + self.q

    def lower_gradient(self, z: Tensor) -> Tensor:
        """The derivative of g with respect to z, [n + m]."""
        return self.G @ z + self.p + self.kappa * z**3

    def lower_curvature(self, z: Tensor) -> Tensor:
        """The second derivative of g with respect to z, [n + m, n + m]."""
        return self.G + 3 * self.kappa * torch.diag(z**2)

    def z(self, W: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        """(x, y) for task weights W and y, [n + m]; both default to the starting point."""
        W, y = self.W if W is None else W, self.y if y is None else y
        return torch.cat([self.s * W + (1 - self.s) * self.W0, y])

    def stepped(self) -> tuple[Tensor, Tensor]:
        """W and y after one step of gradient descent, with momentum if there is a velocity."""
        n = len(self.s)
        slope = self.lower_gradient(self.z())
        step = torch.cat([self.s * slope[:n], slope[n:]])
        if self.velocity is not None:
            step = step + self.velocity
        moves_W = 1.0 if self.trained == "mixed" else 0.0
        return self.W - self.eta * moves_W * step[:n], self.y - self.eta * step[n:]

    def truncated(self, at_start: bool = True) -> Tensor:
        """d f(x(s, W'), y') / ds after one lower step to W', y', including the derivative of the step; [n].

        Args:
            at_start: whether the mixed derivative of g is taken at (W, y) instead of (W', y').
        """
        n = len(self.s)
        W, y = self.stepped()
        above = self.upper_gradient(self.z(W, y))
        v_W, v_y = self.eta * self.s * above[:n], self.eta * above[n:]
        if self.trained == "coupled":
            v_W = torch.zeros_like(v_W)
        at_W, at_y = (self.W, self.y) if at_start else (W, y)
        z = self.z(at_W, at_y)
        through_x = (at_W - self.W0) * (self.lower_curvature(z) @ torch.cat([self.s * v_W, v_y]))[:n]
        return (W - self.W0) * above[:n] - through_x - self.lower_gradient(z)[:n] * v_W

    def solution(self) -> Tensor:
        """y*(x) of the coupled problem for kappa = 0, [m]."""
        n = len(self.s)
        return -torch.linalg.solve(self.G[n:, n:], self.G[n:, :n] @ self.s + self.p[n:])

    def total(self) -> Tensor:
        """The hypergradient of the coupled problem at y*(x) for kappa = 0, [n]."""
        n = len(self.s)
        above = self.upper_gradient(torch.cat([self.s, self.solution()]))
        return above[:n] - self.G[:n, n:] @ torch.linalg.solve(self.G[n:, n:], above[n:])

    def at(self, s: Tensor, y: Tensor) -> "Problem":
        """The same problem at another point."""
        return replace(self, s=s, y=y)


def draw(
    trained: Trained = "coupled", kappa: float = 0.0, n: int = 4, m: int = 6, seed: int = 0, eta_share: float = 0.5
) -> Problem:
    """A random problem in float64.

    The lower loss is strictly convex. In the coupled problem the truncated hypergradient is zero at an x drawn from
    [0.3, 0.7] (with y = y*(x)), which the search can reach without touching the bounds 0 and 1 of the attention. eta is
    eta_share divided by the largest curvature of g (without kappa).
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator, dtype=torch.float64)

    size = n + m
    A, B = normal(size, size), normal(size, size)
    G = A @ A.T / size + 0.5 * torch.eye(size, dtype=torch.float64)
    F = B @ B.T / size + torch.diag(torch.cat([torch.full((n,), 3.0), torch.zeros(m)])).double()
    one = torch.ones(n, dtype=torch.float64)
    W, W0 = (one, 0 * one) if trained == "coupled" else (normal(n), normal(n))
    eta = eta_share / float(torch.linalg.eigvalsh(G).max())
    problem = Problem(F, normal(size), G, normal(size), W, W0, uniform(0.3, 0.7), normal(m), eta, trained, kappa)
    if trained == "mixed":
        return problem
    target = problem.at(uniform(0.3, 0.7), problem.y)
    pull = target.at(target.s, target.solution()).truncated()
    return replace(problem, q=problem.q - torch.cat([pull, torch.zeros(m, dtype=torch.float64)]))


class Search:
    """The problem behind the interface of the weight mixup: a model, a mixup and the bi-level step over them.

    The upper level moves a2 only (a1 stays 1), so that s is a2.

    Args:
        problem: the problem and its starting point.
        options: the estimator of the hypergradient.
        upper_rate: learning rate of the upper step.
        momentum: momentum of the lower step.
    """

    def __init__(
        self, problem: Problem, options: HypergradientOptions, upper_rate: float = 0.0, momentum: float = 0.0
    ) -> None:
        self.problem = problem
        self.model = Point(problem.W, problem.y)
        self.mixup = WeightMixup(
            self.model, {"linear.weight": problem.W0.view(1, -1)}, combination="convex", modules=["linear"]
        )
        (mixed,) = self.mixup.mixed
        self.task, self.s = mixed.task, mixed.factors["a2"]
        with torch.no_grad():
            self.s.copy_(problem.s.view(1, -1))
        self.mixup.write()
        rate = problem.eta if problem.trained == "mixed" else 0.0
        groups = [{"params": [self.task], "lr": rate}, {"params": [self.model.y], "lr": problem.eta}]
        self.lower = torch.optim.SGD(groups, lr=problem.eta, momentum=momentum)
        self.step = BilevelStep(self.mixup, self.lower, torch.optim.SGD([self.s], lr=upper_rate), options)

    def iterate(self) -> Tensor:
        """Make one iteration; returns the estimate of d f / d s, [n]."""
        problem = self.problem
        hypergradient = self.step(lambda: problem.lower(self.model()), lambda: problem.upper(self.model()))
        return hypergradient.total()[1].flatten()

    def here(self) -> Problem:
        """The problem at the current point of the search."""
        return replace(
            self.problem,
            W=self.task.detach().flatten().clone(),
            s=self.s.detach().flatten().clone(),
            y=self.model.y.detach().clone(),
        )
