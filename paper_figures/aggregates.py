"""All runs of all tasks at once: performance profiles and interquartile means."""

from typing import Any

import numpy as np
import pandas as pd

from paper_figures.drawing import Drawing, looks
from paper_figures.panels import grid, legend, points
from results.cells import majority_score, scores_of, summaries
from results.frame import Results
from results.statistics.aggregates import interquartile_mean, interquartile_mean_interval, performance_profile
from results.words import size_words

STEPS = 101
DRAWS = 2_000
"""Bootstrap resamples of a drawn interval; the end of an interval is then known to about a hundredth of its length."""


def performance_profiles(results: Results, size: str) -> Drawing | None:
    """Share of runs above a threshold of gain over the majority class, averaged over tasks, per method."""
    gains = _gains(results, size)
    if not gains:
        return None
    every = np.concatenate([task for tasks in gains.values() for task in tasks])
    thresholds = np.linspace(np.floor(every.min()), np.ceil(every.max()), STEPS)
    curves = {label: performance_profile(tasks, thresholds) for label, tasks in gains.items()}
    figure, panels = grid(1, 2.6)
    for label, curve in curves.items():
        look = looks(results.plan)[label]
        panels[0].step(
            thresholds, curve, where="post", color=look.colour, marker=look.marker, markevery=STEPS // 8, linewidth=1
        )
    panels[0].set_xlabel("points above the majority class")
    panels[0].set_ylabel("share of runs above")
    panels[0].set_ylim(0, 1.03)
    legend(figure, list(gains), results.plan, lines=True)
    return Drawing(
        figure,
        pd.DataFrame({"threshold": thresholds} | curves),
        f"Performance profiles, {size_words(size)}",
        f"Share of runs, averaged over tasks, whose {results.split} score "
        "lies more than so many points above the majority class: "
        "higher is better, everywhere or not at all. Methods without a score on every task are left out.",
    )


def interquartile_means(results: Results, size: str) -> Drawing | None:
    """Interquartile mean over all runs and tasks with its stratified bootstrap interval, per method."""
    plan = results.plan
    gains = _gains(results, size)
    if not gains:
        return None
    rows: list[dict[str, Any]] = []
    for label, tasks in gains.items():
        low, high = interquartile_mean_interval(tasks, draws=DRAWS)
        rows.append({"label": label, "iqm": interquartile_mean(np.concatenate(tasks)), "low": low, "high": high})
    figure, panels = grid(1, 0.8 + 0.2 * len(rows), names=list(gains))
    look, heights = [looks(plan)[label] for label in gains], range(len(rows))
    lows, highs = ([row[end] for row in rows] for end in ("low", "high"))
    panels[0].hlines(heights, lows, highs, colors=[one.colour for one in look], linewidth=5, alpha=0.35)
    points(panels[0], [row["iqm"] for row in rows], heights, look)
    panels[0].set_xlabel("interquartile mean, points above the majority class")
    return Drawing(
        figure,
        pd.DataFrame(rows),
        f"Interquartile means, {size_words(size)}",
        "Mean of the middle half of all runs, in points above the majority class, with a 95 % bootstrap interval (runs "
        f"resampled within tasks, {DRAWS:,} draws). The runs are paired, so overlapping intervals may still differ: "
        "decisions are in the tables.",
    )


def _gains(results: Results, size: str) -> dict[str, list[np.ndarray]]:
    """Label -> one array per task of scores above the majority score, for labels with a score on every task."""
    plan = results.plan
    majority = {task: majority_score(summaries(results), size, task) for task in plan.tasks}
    gains = {}
    for label in plan.labels:
        tasks = [scores_of(results, size, task).get(label, np.array([])) - majority[task] for task in plan.tasks]
        tasks = [task[~np.isnan(task)] for task in tasks]
        if all(len(task) for task in tasks):
            gains[label] = tasks
    return gains
