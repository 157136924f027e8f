"""How scores grow with the number of training examples."""

import numpy as np
import pandas as pd

from amix.specs.run_plan import FULL
from paper_figures.panels import grid, legend, lines, points
from paper_figures.style import Drawing, looks, plain
from results.analysis.cells import majority_score, scores_of, summaries
from results.loading.frame import Results
from results.loading.wording import metric_words
from results.stats import t_interval

MARGIN = 1.25
"""Factor by which the axis of sizes extends beyond the outermost ones, so that their marks are not cut off."""
ROOM, LEAST_ROOM = 0.25, 2.0
"""Space above and below the marks: a share of their range, and the minimum in points."""


def score_against_size(results: Results) -> Drawing | None:
    """One panel per task: mean score against N on a log axis, with a 95 % t interval as a band."""
    plan = results.plan
    sizes = [size for size in plan.sizes if size != FULL]
    if len(sizes) < 2:
        return None
    data = pd.DataFrame([row for size in sizes for task in plan.tasks for row in _rows(results, size, task)])
    if data.empty:
        return None
    tasks = [task for task in plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 2.2)
    look = looks(plan)
    for axes, task in zip(panels, tasks, strict=True):
        own = data[data["task"] == task.name].sort_values("n_train", kind="stable")
        curves = {str(label): curve for label, curve in own.groupby("label", sort=False)}
        drawn = {label: curves[label] for label in look if label in curves}
        parts = [line[["n_train", "mean"]].to_numpy(float) for line in drawn.values()]
        lines(axes, parts, [look[label] for label in drawn], 1.2)
        points(axes, own["n_train"], own["mean"], [look[label] for label in own["label"]])
        # Ten overlapping bands would hide each other: only the two methods in question get theirs; the CSV has all.
        for label in (plan.protocol.reference, plan.protocol.focus):
            if label is not None and label in curves:
                line, colour = curves[label], look[label].colour
                axes.fill_between(line["n_train"], line["low"], line["high"], color=colour, alpha=0.15, linewidth=0)
        levels = [majority_score(summaries(results), size, task.name) for size in sizes]
        axes.plot([int(size) for size in sizes], levels, "_", color="0.35")
        axes.set_xscale("log")
        axes.set_xlim(int(sizes[0]) / MARGIN, int(sizes[-1]) * MARGIN)
        axes.set_ylim(*_heights([*own["mean"], *levels]))
        axes.set_xticks([int(size) for size in sizes], sizes)
        axes.minorticks_off()
        axes.set_title(plain(task.title))
        axes.set_xlabel("training examples N")
        axes.set_ylabel(f"{metric_words(task.metric, task.positive)} × 100")
    legend(figure, list(plan.labels), plan, lines=True)
    return Drawing(
        figure,
        data,
        "Score against the number of training examples",
        f"Mean {results.split} score "
        "over seeds; bands are 95 % t intervals of the reference and the focus method (all intervals "
        "are in the CSV; wide ones are cut off); dashes mark the majority class. Subsets of one seed are nested.",
    )


def _heights(values: list[float]) -> tuple[float, float]:
    """Lower and upper limit of a panel for these points; intervals of three seeds would leave them no room."""
    low, high = min(values), max(values)
    room = max(ROOM * (high - low), LEAST_ROOM)
    return low - room, high + room


def _rows(results: Results, size: str, task: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for label, scores in scores_of(results, size, task).items():
        known = scores[~np.isnan(scores)]
        if len(known):
            low, high = t_interval(known)
            numbers = {"n": len(known), "mean": float(known.mean()), "low": low, "high": high}
            rows.append({"task": task, "label": label, "n_train": int(size)} | numbers)
    return rows
