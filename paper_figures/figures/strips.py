"""Every seed of every method as a point, with mean and interval."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from amix.specs.run_plan import PlannedTask
from paper_figures.panels import bars, bound, colours, grid
from paper_figures.style import Drawing, Look, looks, plain
from results.loading.frame import SCORED_AS_MAJORITY, Results
from results.loading.wording import metric_words, size_words
from results.stats import t_interval

SPREAD = 0.28
"""Half the height over which the points of a row are spread, in rows."""
BEYOND = 0.5
"""How far a panel extends beyond its points, as a share of their range; intervals of two seeds are far longer."""


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
    figure, panels = grid(len(tasks), 0.8 + 0.22 * len(plan.labels), names=plan.labels)
    look = looks(plan)
    cut = False
    for axes, task in zip(panels, tasks, strict=True):
        here = data[data["task"] == task.name].sort_values("seed", kind="stable")
        _strips(axes, {str(label): own for label, own in here.groupby("label")}, look)
        _dress(axes, task, float(here["majority"].median()))
        lowest, highest = (float(end(here[["score", "majority"]])) for end in (np.nanmin, np.nanmax))
        if lowest < highest:
            beyond = BEYOND * (highest - lowest)
            cut |= bound(axes, lowest - beyond, highest + beyond)
    columns = ["task", "label", "seed", "status", "score", "mean", "low", "high", "majority"]
    return Drawing(
        figure,
        data[columns],
        f"Every seed, {size_words(size)}",
        f"Each point is one seed's {results.split} score;"
        " the diamond is the mean and the bar its 95 % t interval; the dashed line "
        "is the majority class; a cross is a failed or diverged run, scored as the majority class."
        + " Intervals that leave a panel are cut off."
        * cut,
    )


def _interval(scores: object) -> tuple[float, float, float]:
    values = np.asarray(scores, dtype=float)
    return (float(values.mean()), *t_interval(values))


def _strips(axes: Axes, of_label: dict[str, pd.DataFrame], look: dict[str, Look]) -> None:
    rows = {label: row for row, label in enumerate(look) if label in of_label}
    frame = pd.concat(
        [of_label[label].assign(height=_heights(row, len(of_label[label]))) for label, row in rows.items()]
    )
    failed = frame["status"].isin(SCORED_AS_MAJORITY)
    seeds, tints = frame[~failed], colours(look[label] for label in frame["label"][~failed])
    axes.scatter(seeds["score"], seeds["height"], s=2.6**2, c=tints, alpha=0.55, linewidths=0, zorder=2)
    for label, own in frame[failed].groupby("label"):
        axes.plot(own["score"], own["height"], "x", markersize=4, color=look[str(label)].colour, markeredgewidth=1)
    cells = frame.drop_duplicates("label")
    own_look = [look[label] for label in rows]
    bars(axes, list(rows.values()), cells["low"], cells["high"], own_look, 1.6)
    axes.scatter(
        cells["mean"],
        list(rows.values()),
        s=3.6**2,
        c=colours(own_look),
        marker="D",
        edgecolors="white",
        linewidths=0.5,
        zorder=3,
    )


def _heights(row: int, count: int) -> np.ndarray:
    return row + np.linspace(-SPREAD, SPREAD, count) if count > 1 else np.array([float(row)])


def _dress(axes: Axes, task: PlannedTask, majority: float) -> None:
    axes.set_title(plain(task.title))
    axes.set_xlabel(f"{metric_words(task.metric, task.positive)} × 100")
    if not math.isnan(majority):
        axes.axvline(majority, color="0.35", linestyle="--", linewidth=0.8)
