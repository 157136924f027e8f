"""Standard deviation over seeds, per method and task: instability as a result of its own."""

import math

import pandas as pd

from paper_figures.drawing import Drawing, grid, looks, plain
from results.cells import FEWEST_SEEDS, summaries
from results.frame import Results
from results.words import size_words


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
    figure, panels = grid(len(plan.tasks), 0.8 + 0.2 * len(plan.labels), sharey=True)
    for axes, task in zip(panels, plan.tasks.values(), strict=True):
        for height, (label, look) in enumerate(looks(plan).items()):
            here = data[(data["task"] == task.name) & (data["label"] == label)]
            for row in here.to_dict("records"):
                axes.plot([0, row["std"]], [height, height], color=look.colour, linewidth=1.2)
                axes.plot([row["std"]], [height], **look.point())
                if row["failed"]:
                    axes.annotate(f"{row['failed']} failed", (row["std"], height), (5, 0), textcoords="offset points",
                                  va="center", fontsize=6.5)  # fmt: skip
        axes.set_title(plain(task.title))
        axes.set_xlabel("std over seeds")
        widest = data["std"][data["task"] == task.name].max()
        axes.set_xlim(0, 1.15 * widest if widest > 0 else 1)
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(plan.labels)), [plain(label) for label in plan.labels])
    panels[0].set_ylim(len(plan.labels) - 0.5, -0.5)
    return Drawing(
        figure,
        data,
        f"Instability, {size_words(size)}",
        f"Standard deviation (ddof 1) of the {results.split} score "
        "× 100 over seeds; failed and diverged runs, scored as the "
        "majority class, are counted beside their method.",
    )
