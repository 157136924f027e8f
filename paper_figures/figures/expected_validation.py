"""The effect of a tuning budget: the expected best dev score against the number of settings tried."""

from typing import Any

import pandas as pd
from matplotlib.lines import Line2D

from paper_figures.panels import grid, legend_of
from paper_figures.style import COLOURS, MARKERS, REFERENCE, Drawing, plain
from results.analysis.tuning import Trial, expected_best, trials
from results.loading.frame import Results
from results.loading.wording import size_words

AVERAGE = "average"


def expected_validation(results: Results, size: str) -> Drawing | None:
    """Expected best dev score of n settings against n, a line per method, a panel per task and one for the average."""
    by_method = trials(results, size)
    tasks = [*results.plan.tasks, *([AVERAGE] if len(results.plan.tasks) > 1 else [])]
    rows = [
        {"task": task, "method": method, "n": n, "best": best}
        for task in tasks
        for method, tried in by_method.items()
        for n, best in enumerate(expected_best(_scores(tried, task, results)), start=1)
    ]
    if not rows:
        return None
    data = pd.DataFrame(rows)
    shown = [task for task in tasks if task in set(data["task"])]
    reference = next(row.method for row in results.plan.methods if row.label == results.plan.protocol.reference)
    looks: dict[str, dict[str, Any]] = {
        method: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, method in enumerate(method for method in by_method if method != reference)
    } | {reference: {"color": REFERENCE, "marker": "o"}}
    figure, panels = grid(len(shown), 2.4, across=3)
    for axes, task in zip(panels, shown, strict=True):
        for method, line in data[data["task"] == task].groupby("method", sort=False):
            axes.plot(line["n"], line["best"], markersize=2.5, linewidth=1, **looks[str(method)])
        title = "all tasks" if task == AVERAGE else plain(results.plan.tasks[task].title)
        axes.set_title(title, fontweight="bold" if task == AVERAGE else None)
        axes.set_xlabel("settings tried, n")
        axes.set_ylabel("expected best dev × 100")
    drawn = [method for method in by_method if method in set(data["method"])]
    handles = [Line2D([], [], label=plain(method), markersize=4, **looks[method]) for method in drawn]
    legend_of(figure, handles)
    return Drawing(
        figure,
        data,
        f"Expected validation performance, {size_words(size)}",
        "Expected highest dev score of n settings drawn from a method's grid, each the mean over seeds (unbiased, Tang "
        "et al. 2020, after Dodge et al. 2019), up to the number of settings tried. A method with missing runs is left "
        "out, and from the average also a method that is not defined on every task.",
    )


def _scores(tried: list[Trial], task: str, results: Results) -> list[float]:
    """Scores of the trials on a task, or their averages; none if the method is not defined there."""
    if task == AVERAGE:
        return [trial.score for trial in tried] if len(tried[0].tasks) == len(results.plan.tasks) else []
    return [trial.tasks[task] for trial in tried if task in trial.tasks]
