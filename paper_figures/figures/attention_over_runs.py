"""The attention of every run at the end of its search."""

import numpy as np
import pandas as pd

from amix.agwm.diagnostics import Noted
from paper_figures.panels import grid
from paper_figures.style import Drawing, looks, plain
from results.loading.frame import Results
from results.loading.search_arrays import Search, searches
from results.loading.wording import size_words


def attention_over_runs(results: Results, size: str) -> Drawing | None:
    """Every run's mean attention factor at the end of the search, with the factors' spread, per method and task."""
    data = pd.DataFrame([_factors(search) for search in searches(results, size)])
    if data.empty:
        return None
    plan = results.plan
    labels = [label for label in plan.labels if label in set(data["label"])]
    tasks = [task for task in plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 0.8 + 0.22 * len(labels), names=labels)
    look = looks(plan)
    for axes, task in zip(panels, tasks, strict=True):
        here = data[data["task"] == task.name]
        heights = [labels.index(label) for label in here["label"]]
        axes.scatter(here["mean"], heights, s=2.6**2, c=[look[label].colour for label in here["label"]], linewidths=0,
                     zorder=3)  # fmt: skip
        means = here.groupby("label")[["lowest", "highest", "tenth", "ninetieth"]].mean().reindex(labels)
        for low, high, width in (("lowest", "highest", 0.8), ("tenth", "ninetieth", 4.0)):
            colours = [look[label].colour for label in labels]
            axes.hlines(range(len(labels)), means[low], means[high], colors=colours, alpha=0.35, linewidth=width)
        axes.set_title(plain(task.title))
        axes.set_xlabel("attention factor")
    return Drawing(
        figure,
        data,
        f"Attention factors of every run, {size_words(size)}",
        "Entries of a₁ and a₂ at the end of the search: a point is the mean of one seed over modules and splits; the "
        "bar spans the middle 80 % of the entries of a module and the thin line all of them, averaged likewise.",
    )


def _factors(search: Search) -> dict[str, object]:
    notes = search.notes
    factors = {
        "label": search.label,
        "task": search.task,
        "seed": search.seed,
        "mean": float(notes.at_end(Noted.ATTENTION_MEAN).mean()),
        "lowest": float(notes.at_end(Noted.ATTENTION_MIN).mean()),
        "at_one": float(notes.at_end(Noted.ATTENTION_AT_ONE).mean()),
    }
    noted = notes.has(Noted.ATTENTION_DECILES)
    ends = notes.at_end(Noted.ATTENTION_DECILES).mean(axis=(0, 1))[[1, 9, 10]] if noted else (np.nan,) * 3
    return factors | dict(zip(("tenth", "ninetieth", "highest"), map(float, ends), strict=True))
