"""The expected highest score against the number of seeds."""

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from paper_figures.panels import grid, legend, lines
from paper_figures.style import Drawing, looks, plain
from results.analysis.cells import scores_of
from results.loading.frame import POINTS, Results
from results.loading.wording import metric_words, size_words
from results.stats.budget import expected_best_without_replacement
from results.stats.tuning_bands import expected_best_band

SIGNED = ("matthews", "spearman", "pearson")
"""Metrics from -1 to 1; the others start at 0."""


def expected_best(results: Results, size: str) -> Drawing | None:
    """Expected best score of n seeds against n, per task and method: the effect of picking the best seed."""
    plan = results.plan
    rows: list[dict[str, object]] = []
    for task in plan.tasks:
        for label, scores in scores_of(results, size, task).items():
            known = scores[~np.isnan(scores)]
            if len(known) < 2:
                continue
            best = expected_best_without_replacement(known)
            band = expected_best_band(known, _bounds(plan.tasks[task].metric))
            rows += [
                {"task": task, "label": label, "n": n, "best": float(b), "low": float(low), "high": float(high)}
                for n, (b, low, high) in enumerate(zip(best, band.low, band.high, strict=True), start=1)
            ]
    data = pd.DataFrame(rows)
    if data.empty:
        return None
    tasks = [task for task in plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 2.0)
    look = looks(plan)
    for axes, entry in zip(panels, tasks, strict=True):
        here = data[data["task"] == entry.name]
        curves = {str(label): curve for label, curve in here.groupby("label", sort=False)}
        parts = [curve[["n", "best"]].to_numpy(float) for curve in curves.values()]
        lines(axes, parts, [look[label] for label in curves], 1.0, share=0.7)
        shown = axes.get_ylim()
        if plan.protocol.reference in curves:
            own = curves[plan.protocol.reference]
            axes.fill_between(own["n"], own["low"], own["high"], color="0.92", linewidth=0, zorder=0)
        axes.set_ylim(shown)
        axes.set_title(plain(entry.title))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("seeds tried, n")
        axes.set_ylabel(f"best {metric_words(entry.metric, entry.positive)} × 100")
    legend(figure, [label for label in plan.labels if label in set(data["label"])], plan, lines=True)
    return Drawing(
        figure,
        data,
        f"Expected best of n seeds, {size_words(size)}",
        f"Expected highest {results.split} score "
        "of n seeds (unbiased, Tang et al. 2020), up to the number of seeds run: how much reporting the best seed "
        "gains from trying more seeds. Grey: 95 % band of the whole curve of "
        f"{plan.protocol.reference} (equal-tailed band of the distribution of scores, Lourie et al. 2023), cut off at "
        "the panel's edge: the uncertainty with so few seeds.",
    )


def _bounds(metric: str) -> tuple[float, float]:
    return (-POINTS if metric in SIGNED else 0.0), float(POINTS)
