"""Every seed of every method as a point, with mean and interval: what a table's ± hides."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from paper_figures.drawing import Drawing, Look, grid, looks, plain
from results.frame import COUNTED, Results
from results.plan import Task
from results.statistics import t_interval
from results.words import metric_words, size_words

SPREAD = 0.28
"""Half the height over which a row's points are spread, in rows."""


def strips(results: Results, size: str) -> Drawing | None:
    """One panel per task: seeds as points, mean and 95 % t interval, majority line, failed runs as crosses."""
    plan = results.plan
    runs = results.runs[(results.runs["size"] == size) & results.runs["score"].notna()]
    tasks = [task for task in plan.tasks.values() if task.name in set(runs["task"])]
    if not tasks:
        return None
    intervals = runs.groupby(["task", "label"], sort=False)["score"].apply(_interval).rename("interval")
    data = runs.join(intervals, on=["task", "label"])
    data[["mean", "low", "high"]] = np.array(data.pop("interval").tolist())
    figure, panels = grid(len(tasks), 0.8 + 0.22 * len(plan.labels), sharey=True)
    for axes, task in zip(panels, tasks, strict=True):
        here = data[data["task"] == task.name].sort_values("seed", kind="stable")
        of_label = dict(list(here.groupby("label")))
        for row, (label, look) in enumerate(looks(plan).items()):
            if label in of_label:
                _strip(axes, row, of_label[label], look)
        _dress(axes, task, float(here["majority"].median()))
    panels[0].set_yticks(range(len(plan.labels)), [plain(label) for label in plan.labels])
    panels[0].set_ylim(len(plan.labels) - 0.5, -0.5)
    columns = ["task", "label", "seed", "status", "score", "mean", "low", "high", "majority"]
    return Drawing(
        figure,
        data[columns],
        f"Every seed, {size_words(size)}",
        f"Each point is one seed's {results.split} score;"
        " the diamond is the mean and the bar its 95 % t interval; the dashed line "
        "is the majority class; a cross is a failed or diverged run, scored as the majority class.",
    )


def _interval(scores: object) -> tuple[float, float, float]:
    values = np.asarray(scores, dtype=float)
    return (float(values.mean()), *t_interval(values))


def _strip(axes: Axes, row: int, frame: pd.DataFrame, look: Look) -> None:
    heights = row + np.linspace(-SPREAD, SPREAD, len(frame)) if len(frame) > 1 else np.array([float(row)])
    failed = frame["status"].isin(COUNTED).to_numpy()
    scores = frame["score"].to_numpy()
    axes.plot(scores[~failed], heights[~failed], "o", markersize=2.6, color=look.colour, alpha=0.55, markeredgewidth=0)
    if failed.any():
        axes.plot(scores[failed], heights[failed], "x", markersize=4, color=look.colour, markeredgewidth=1)
    mean, low, high = (float(frame[name].iloc[0]) for name in ("mean", "low", "high"))
    if not math.isnan(low):
        axes.plot([low, high], [row, row], color=look.colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot([mean], [row], "D", markersize=3.6, color=look.colour, markeredgecolor="white", markeredgewidth=0.5)


def _dress(axes: Axes, task: Task, majority: float) -> None:
    axes.set_title(plain(task.title))
    axes.set_xlabel(f"{metric_words(task.metric)} × 100")
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    if not math.isnan(majority):
        axes.axvline(majority, color="0.35", linestyle="--", linewidth=0.8)
