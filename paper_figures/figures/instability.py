"""Instability: the standard deviation over seeds, per method and task."""

import math

import pandas as pd

from paper_figures.panels import bars, grid, points
from paper_figures.style import Drawing, looks, plain
from results.analysis.cells import FEWEST_SEEDS, summaries
from results.loading.frame import Results
from results.loading.wording import size_words


def instability(results: Results, size: str) -> Drawing | None:
    """One row per method, one panel per task: the standard deviation over seeds, with failed runs counted."""
    plan = results.plan
    rows = [
        {"label": label, "task": task, "std": cell.std, "n": cell.n, "failed": cell.failed}
        for (s, task, label), cell in summaries(results).items()
        if s == size and cell.n >= FEWEST_SEEDS and not math.isnan(cell.std)
    ]
    data = pd.DataFrame(rows)
    if data.empty:
        return None
    tasks = [task for task in plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 0.8 + 0.2 * len(plan.labels), names=plan.labels)
    look, heights = looks(plan), {label: height for height, label in enumerate(plan.labels)}
    for axes, task in zip(panels, tasks, strict=True):
        here = data[data["task"] == task.name]
        own, lines = [look[label] for label in here["label"]], [heights[label] for label in here["label"]]
        bars(axes, lines, [0.0] * len(here), here["std"], own, 1.2)
        points(axes, here["std"], lines, own)
        for row in here[here["failed"] > 0].to_dict("records"):
            axes.annotate(f"{row['failed']} failed", (row["std"], heights[row["label"]]), (5, 0),
                          textcoords="offset points", va="center", fontsize=6.5)  # fmt: skip
        axes.set_title(plain(task.title))
        axes.set_xlabel("std over seeds")
        widest = here["std"].max()
        axes.set_xlim(0, 1.15 * widest if widest > 0 else 1)
    return Drawing(
        figure,
        data,
        f"Instability, {size_words(size)}",
        f"Standard deviation (ddof 1) of the {results.split} score "
        "× 100 over seeds; failed and diverged runs, scored as the "
        "majority class, are counted next to their method.",
    )
