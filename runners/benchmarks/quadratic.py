"""The norm of the hypergradient along a search on a quadratic bi-level problem."""

from pathlib import Path
from typing import get_args

import pandas as pd
import torch

from amix.mixup.hypergradient import Estimator, HypergradientOptions
from paper_figures.panels import grid
from paper_figures.style import COLOURS, Drawing, save, style
from runners.benchmarks.quadratic_problem import Search, draw

NAME = "quadratic"
UPPER_RATE = 0.05
KINDS = {"truncated": "gradient through one lower step", "total": "hypergradient at y*(x)"}


def options(estimator: Estimator, radius: float = 0.01) -> HypergradientOptions:
    """Options for the derivative of one step of gradient descent, taken where the step starts."""
    return HypergradientOptions(estimator, "before", "identity", None, radius)


def curve(estimator: Estimator, iterations: int, seed: int = 0) -> pd.DataFrame:
    """One search from its start, with the norms in closed form before every iteration.

    Args:
        estimator: estimator of the implicit term.
        iterations: number of iterations of one lower and one upper step each.
        seed: seed of the random problem.

    Returns:
        Columns estimator, iteration, truncated (norm of the gradient through one lower step at the point of the
        search) and total (norm of the hypergradient at y*(x)).
    """
    search = Search(draw(seed=seed), options(estimator), UPPER_RATE)
    rows = []
    for iteration in range(iterations):
        here = search.here()
        rows.append((estimator, iteration, float(here.truncated().norm()), float(here.total().norm())))
        search.iterate()
    return pd.DataFrame(rows, columns=["estimator", "iteration", *KINDS])


def drawing(curves: pd.DataFrame) -> Drawing:
    """Both norms against the iteration, one line per estimator."""
    figure, panels = grid(len(KINDS), 2.2, across=2)
    for axes, (column, title) in zip(panels, KINDS.items(), strict=True):
        for number, (estimator, rows) in enumerate(curves.groupby("estimator", sort=False)):
            # Three of the lines coincide: dashes of different lengths show them all.
            dashes = (0, (6 - 2 * number, 2 * number)) if number < 3 else "solid"
            axes.plot(rows["iteration"], rows[column], color=COLOURS[number], linestyle=dashes, label=str(estimator))
        axes.set_yscale("log" if column == "truncated" else "linear")
        axes.set_title(title)
        axes.set_xlabel("iteration")
        axes.set_ylabel("norm")
    panels[0].legend(fontsize=6, frameon=False)
    return Drawing(
        figure,
        curves,
        "Search on a quadratic bi-level problem",
        "Norm of the gradient through one lower step at the point that the search has come to, and of the "
        "hypergradient at the solution y*(x) of the lower problem, both in closed form. Differences are exact on a "
        "quadratic problem, so that the lines of exact, central and forward lie on each other: they go to the point "
        "where the truncated gradient is zero, which is not where the hypergradient is. first_order, without the "
        "implicit term, goes to neither.",
    )


def measure(iterations: int, seed: int, folder: Path) -> list[Path]:
    """Search with every estimator and write the curve.

    Args:
        iterations: iterations of each search.
        seed: seed of the random problem.
        folder: folder for the files.

    Returns:
        The files written, PNG and CSV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    curves = pd.concat([curve(estimator, iterations, seed) for estimator in get_args(Estimator)])
    with style():
        return save(drawing(curves), NAME, folder, formats=("png",))
