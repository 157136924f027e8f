"""Interquartile means over all runs of all tasks."""

from typing import Any

import numpy as np
import pandas as pd

from paper_figures.figures._gains import gains_over_majority
from paper_figures.panels import grid, points
from paper_figures.style import Drawing, looks
from results.loading.frame import Results
from results.loading.wording import size_words
from results.stats.aggregates import interquartile_mean, interquartile_mean_interval

DRAWS = 2_000
"""Bootstrap resamples; they determine an interval's end to about a hundredth of its length."""


def interquartile_means(results: Results, size: str) -> Drawing | None:
    """Interquartile mean over all runs and tasks with its stratified bootstrap interval, per method."""
    plan = results.plan
    gains = gains_over_majority(results, size)
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
