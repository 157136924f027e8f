"""Mean score against its spread over seeds."""

import pandas as pd

from paper_figures.panels import grid, legend, points
from paper_figures.style import Drawing, looks, plain
from results.analysis.cells import summaries
from results.loading.frame import Results
from results.loading.wording import metric_words, size_words


def mean_against_spread(results: Results, size: str) -> Drawing | None:
    """One panel per task: mean score against its standard deviation over seeds, one marker per method."""
    plan = results.plan
    cells = [
        {"task": task, "label": label, "n": cell.n, "mean": cell.mean, "std": cell.std}
        for (cell_size, task, label), cell in summaries(results).items()
        if cell_size == size and cell.n > 1
    ]
    data = pd.DataFrame(cells)
    if data.empty:
        return None
    tasks = [task for task in plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 2.1)
    look = looks(plan)
    for axes, task in zip(panels, tasks, strict=True):
        here = data[data["task"] == task.name]
        points(axes, here["std"], here["mean"], [look[label] for label in here["label"]])
        axes.set_title(plain(task.title))
        axes.set_xlabel("std over seeds")
        axes.set_ylabel(f"mean {metric_words(task.metric, task.positive)} × 100")
        axes.set_xlim(0, 1.12 * here["std"].max() or 1)
    legend(figure, [label for label in plan.labels if label in set(data["label"])], plan)
    return Drawing(
        figure,
        data,
        f"Mean against spread, {size_words(size)}",
        f"Mean {results.split} score against its standard deviation (ddof 1) over seeds: up and to the left is better.",
    )
