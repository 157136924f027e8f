"""Average score against cost."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from paper_figures.panels import grid, legend, points
from paper_figures.style import Drawing, looks, plain
from results.analysis.cells import TIME_RATIO, cost_ratios, seed_averages, with_all_seeds
from results.loading.frame import Results
from results.loading.wording import size_words

COSTS = {"train_seconds": "training time", "passes": "forward and backward passes"}


def cost_against_score(results: Results, size: str) -> Drawing | None:
    """Average score over tasks against training time and passes relative to the reference, with the Pareto front."""
    plan = results.plan
    averages = seed_averages(results, size).mean()
    ratios = {cost: cost_ratios(results, size, cost) for cost in COSTS}
    rows = [
        {"label": label, "score": float(averages[label])} | {cost: ratios[cost].get(label, math.nan) for cost in COSTS}
        for label in plan.labels
        if label in with_all_seeds(results, size) and not math.isnan(averages[label])
    ]
    data = pd.DataFrame(rows)
    if data.empty or data[list(COSTS)].isna().all(axis=None):
        return None
    figure, panels = grid(len(COSTS), 2.4)
    look = looks(plan)
    for axes, (cost, words) in zip(panels, COSTS.items(), strict=True):
        known = data.dropna(subset=[cost])
        data[f"pareto_{cost}"] = data["label"].isin(
            known["label"][pareto(known[cost].tolist(), known["score"].tolist())]
        )
        front = data[data[f"pareto_{cost}"]].sort_values(cost)
        axes.step(front[cost], front["score"], where="post", color="0.6", linewidth=1, zorder=1)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(LogLocator(2, numticks=6))
        points(axes, known[cost], known["score"], [look[label] for label in known["label"]])
        for label, x, y in zip(front["label"], front[cost], front["score"], strict=True):
            _name(axes, label, x, y)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
        axes.set_xlabel(f"{words}, relative")
        axes.set_ylabel(f"average {results.split} score × 100")
    legend(figure, [label for label in plan.labels if label in set(data["label"])], plan)
    return Drawing(
        figure,
        data,
        f"Cost against score, {size_words(size)}",
        f"Average {results.split} score over all tasks against cost relative to the reference (log scale), time as the "
        f"{TIME_RATIO}; the grey line is the Pareto front: no other method is both cheaper and better. Methods without "
        "a complete seed, or planned with fewer seeds than others, are left out.",
    )


def _name(axes: Axes, label: str, x: float, y: float) -> None:
    """Write the name of a method on the front above its mark, where no other mark is, on the side with more room."""
    across = axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[0]
    side, away = ("left", 2) if across < 0.5 else ("right", -2)
    axes.annotate(plain(label), (x, y), (away, 4), textcoords="offset points", ha=side, fontsize="small")


def pareto(costs: list[float], scores: list[float]) -> list[bool]:
    """Which points are not dominated: no other is at most as costly and at least as good, and better in one of both."""
    points = list(zip(costs, scores, strict=True))
    return [not any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in points) for cost, score in points]
