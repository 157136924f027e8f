"""Critical-difference diagram: mean ranks over tasks, with bars that join methods without a significant difference."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from paper_figures.panels import lines, points, text_width
from paper_figures.style import Drawing, looks, plain
from results.analysis.cells import score_matrix
from results.loading.frame import Results
from results.loading.wording import size_words
from results.stats.ranks import cliques, friedman, mean_ranks, pairwise_holm

LINE = 0.32
"""Distance between two labels or two bars, in units of the diagram."""
INCHES, WIDTH, ABOVE = 0.155, 6.5, 0.15
"""The same distance in inches, the diagram's width, and the space for its tick labels."""
MANY = 20
"""From this number of ranks on, only every fifth is labelled."""
BESIDE = 0.04
"""How far lines extend beyond the ranks, as a share of their range."""


def critical_difference(results: Results, size: str) -> Drawing | None:
    """Mean rank of each method over tasks; bars join methods that do not differ in any Holm-adjusted pairwise test.

    Seeds without every method's score on a task are left out there; methods that lack a whole task are left out.
    """
    plan = results.plan
    tables = [score_matrix(results, size, task) for task in plan.tasks]
    labels = [label for label in plan.labels if all(table[label].notna().any() for table in tables)]
    blocks = [table[labels].dropna().to_numpy().T for table in tables]
    if len(labels) < 3 or len(tables) < 2 or any(block.shape[1] < 2 for block in blocks):
        return None
    means = np.array([block.mean(axis=1) for block in blocks])
    ranks = mean_ranks(means)
    bars = cliques(ranks, pairwise_holm(blocks) > plan.protocol.alpha)
    omnibus = friedman(means)
    figure = _diagram(results, dict(zip(labels, ranks, strict=True)), [[labels[i] for i in bar] for bar in bars])
    data = pd.DataFrame({"label": labels, "mean_rank": ranks, "bars": [_bars_of(i, bars) for i in range(len(labels))]})
    return Drawing(
        figure,
        data.sort_values("mean_rank", kind="stable"),
        f"Ranks over tasks, {size_words(size)}",
        f"Mean rank over {len(tables)} tasks (1 is best; means over seeds are ranked). A bar joins methods between "
        "which no pair differs by the task-stratified sign-flip test, Holm over all pairs. Friedman test with Iman and "
        f"Davenport's F({omnibus.degrees_of_freedom[0]}, {omnibus.degrees_of_freedom[1]}) = {omnibus.f:.2f}, "
        f"p = {omnibus.f_p:.2g}. Descriptive: with few tasks, ranks show little.",
    )


def _bars_of(index: int, bars: list[list[int]]) -> str:
    return " ".join(str(number + 1) for number, bar in enumerate(bars) if index in bar)


def _diagram(results: Results, ranks: dict[str, float], bars: list[list[str]]) -> Figure:
    count, look = len(ranks), looks(results.plan)
    ordered = sorted(ranks, key=lambda label: ranks[label])
    left, right = ordered[: (count + 1) // 2], ordered[(count + 1) // 2 :]
    first = -LINE * (len(bars) + 1)
    last = first - LINE * (len(left) - 0.3)
    words = {label: f"{plain(label)}  {rank:.2f}" for label, rank in ranks.items()}
    figure, axes = _frame(
        text_width(words.values(), matplotlib.rcParams["font.size"]) + 0.2, (LINE - last) / LINE * INCHES
    )
    beside = BESIDE * (count - 1)
    paths = {}
    for side, way, members in ((1, -1, left), (count, 1, right[::-1])):
        for row, label in enumerate(members):
            height, edge = first - LINE * row, side + way * beside
            paths[label] = np.array([(ranks[label], 0), (ranks[label], height), (edge, height)])
            axes.text(edge + way * 0.3 * beside, height, words[label], va="center", ha="right" if way < 0 else "left")
    own = [look[label] for label in paths]
    lines(axes, list(paths.values()), own, 0.9)
    points(axes, [ranks[label] for label in paths], [0.0] * len(paths), own, clipped=False)
    for row, bar in enumerate(bars):
        ends = [ranks[label] for label in bar]
        axes.plot([min(ends) - 0.05, max(ends) + 0.05], [-LINE * (row + 0.7)] * 2, color="0.2", linewidth=2.4)
    axes.set_xlim(1 - 1.1 * beside, count + 1.1 * beside)
    axes.set_ylim(last, LINE)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.spines["top"].set_position(("data", 0))
    axes.spines["top"].set_bounds(1, count)
    axes.xaxis.set_ticks_position("top")
    axes.set_xticks(range(1, count + 1) if count < MANY else [1, *range(5, count + 1, 5)])
    axes.set_yticks([])
    axes.grid(visible=False)
    return figure


def _frame(margin: float, height: float) -> tuple[Figure, Axes]:
    """A figure with room for names on both sides of its single panel; lengths in inches."""
    figure = Figure(figsize=(WIDTH, height + ABOVE))
    margins = {"left": margin / WIDTH, "right": 1 - margin / WIDTH}
    figure.subplots_adjust(**margins, bottom=0.0, top=height / (height + ABOVE))
    return figure, figure.add_subplot()
