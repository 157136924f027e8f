"""Paired differences with intervals: what a method changes, task by task and over all tasks."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from paper_figures.panels import bars, bound, grid, points
from paper_figures.style import Drawing, looks, plain
from results.analysis.claims import claims
from results.analysis.comparisons import SCALE, against
from results.loading.frame import Results
from results.loading.wording import size_words

AVERAGE = "average"


def forest(results: Results, size: str) -> Drawing | None:
    """One panel per task and one for their average: difference from the reference with interval, per method."""
    plan = results.plan
    data = _rows(results, size)
    if data.empty:
        return None
    labels = [label for label in plan.labels if label in set(data["label"])]
    panels_of = [task for task in (*plan.tasks, AVERAGE) if task in set(data["task"])]
    figure, panels = grid(len(panels_of), 0.8 + 0.2 * len(labels), across=5, names=labels)
    cut = False
    for axes, task in zip(panels, panels_of, strict=True):
        _panel(axes, results, data[data["task"] == task], labels)
        cut |= bound(axes, -SCALE, SCALE)
        average = task == AVERAGE
        axes.set_title(
            "all tasks" if average else plain(plan.tasks[task].title), fontweight="bold" if average else None
        )
        axes.set_xlabel("difference, points")
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        if average:
            axes.set_facecolor("0.97")
    return Drawing(
        figure,
        data,
        f"Differences from {plan.protocol.reference}, {size_words(size)}",
        f"Mean paired difference in {results.split} score "
        "with its 95 % interval (t per task; Welch-Satterthwaite over all tasks); "
        "filled: significant after Holm over the methods of the panel; the band is the margin within which a "
        f"difference does not matter (±{plan.protocol.margin:g})."
        + f" Intervals end at ±{SCALE} points, beyond which scores cannot differ."
        * cut,
    )


def _rows(results: Results, size: str) -> pd.DataFrame:
    plan = results.plan
    frame = against(results, size, plan.protocol.reference)
    columns = ["task", "label", "n", "difference", "low", "high", "p", "p_holm"]
    rows = frame[columns].to_dict("records")
    if len(plan.tasks) > 1:
        for claim in claims(results, size, plan.protocol.reference).values():
            numbers = (claim.seeds, claim.difference, claim.low, claim.high, claim.p, claim.p_holm)
            rows.append(dict(zip(columns, (AVERAGE, claim.label, *numbers), strict=True)))
    return pd.DataFrame(rows, columns=columns)


def _panel(axes: Axes, results: Results, rows: pd.DataFrame, labels: list[str]) -> None:
    protocol = results.plan.protocol
    axes.axvspan(-protocol.margin, protocol.margin, color="0.92", zorder=0)
    axes.axvline(0, color="0.35", linewidth=0.8)
    look = [looks(results.plan)[label] for label in rows["label"]]
    heights = [labels.index(label) for label in rows["label"]]
    bars(axes, heights, rows["low"], rows["high"], look, 1.4)
    faces = [one.colour if p <= protocol.alpha else "white" for one, p in zip(look, rows["p_holm"], strict=True)]
    points(axes, rows["difference"], heights, look, faces)
