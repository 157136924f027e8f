"""The losses of both levels during a search."""

import pandas as pd
from matplotlib.lines import Line2D

from paper_figures.figures._searches import LOSSES, of_one_method
from paper_figures.panels import grid, legend_of
from paper_figures.style import Drawing, plain
from results.loading.frame import Results
from results.loading.search_arrays import Search
from results.loading.wording import size_words


def search_losses(results: Results, size: str) -> Drawing | None:
    """Loss of both levels against the iteration of the search: thin lines are seeds, the thick line is their mean."""
    label, searches = of_one_method(results, size)
    data = pd.DataFrame([row for search in searches for row in _losses(search)])
    if data.empty:
        return None
    tasks = [task for task in results.plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 2.0)
    for axes, task in zip(panels, tasks, strict=True):
        for name, (_, colour) in LOSSES.items():
            lines = data[(data["task"] == task.name) & (data["level"] == name.value)]
            table = lines.pivot(index="iteration", columns="seed", values="loss")
            axes.plot(table.index, table.to_numpy(), color=colour, alpha=0.3, linewidth=0.5)
            axes.plot(table.index, table.mean(axis=1), color=colour, linewidth=1.8)
        axes.set_title(plain(task.title))
        axes.set_xlabel("iteration of the search")
        axes.set_ylabel("loss")
    legend_of(figure, [Line2D([], [], color=colour, linewidth=1.8, label=words) for words, colour in LOSSES.values()])
    return Drawing(
        figure,
        data,
        f"Losses of both levels of {label}, {size_words(size)}",
        "Loss of the task weights' batch (lower level) and of the held-out batch (upper level) during the search, mean "
        "over splits: thin lines are seeds, the thick line is their mean.",
    )


def _losses(search: Search) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for level in LOSSES:
        if search.notes.has(level):
            common = {"task": search.task, "seed": search.seed, "level": level.value}
            means = zip(search.notes.iterations(level), search.notes[level].mean(axis=0), strict=True)
            rows += [common | {"iteration": int(number), "loss": float(loss)} for number, loss in means]
    return rows
