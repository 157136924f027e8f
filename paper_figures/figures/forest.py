"""Paired differences with intervals: what a method changes, task by task and over all tasks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from paper_figures.panels import bars, grid, points
from paper_figures.style import Drawing, looks, plain
from results.analysis.claims import claims
from results.analysis.comparisons import SCALE, against
from results.loading.frame import Results
from results.loading.wording import listed, size_words

AVERAGE = "average"
FIT = 0.9
"""Share of the interval ends that a panel's axis must include when arrows replace those far off."""
STRETCH = 1.5
"""All intervals are shown in full if they are at most this many times wider than the bulk."""
SPACE = 0.05
"""Empty share of an axis at each end."""
STRONGEST = 4
"""Rows beside the focus in a figure over several suites."""


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
        _task(axes, results, data, task, labels, "difference, points")
        cut |= _beyond(axes, data[data["task"] == task], labels, results)
    return Drawing(
        figure,
        data,
        f"Differences from {plan.protocol.reference}, {size_words(size)}",
        f"Mean paired difference in {results.split} score "
        "with its 95 % interval (t per task; Welch-Satterthwaite over all tasks); "
        "filled: significant after Holm over the methods of the panel; the band is the margin within which a "
        f"difference does not matter (±{plan.protocol.margin:g})."
        + f" If some interval ends are far off, the axis spans the {100 * FIT:.0f} % nearest to zero: an arrow at the "
        "edge marks an interval that continues, with the difference if that is off the axis too." * cut,
    )


def forest_of_suites(suites: Sequence[Results]) -> Drawing | None:
    """A line of panels per suite, as in `forest`: the focus and the rows with the highest gains over all these suites.

    Args:
        suites: Each with one reference and focus, the same ones; of several sizes the first is drawn.

    Returns:
        The drawing; None unless two rows besides the reference have runs on every task of every suite.
    """
    frames = [_rows(results, results.plan.sizes[0]) for results in suites]
    for results, frame in zip(suites, frames, strict=True):
        if frame.empty or (len(results.plan.tasks) > 1 and AVERAGE not in set(frame["task"])):
            return None
    # With a single task, its differences are the average.
    averages = [frame[frame["task"] == frame["task"].iloc[-1]].set_index("label")["difference"] for frame in frames]
    gains = pd.concat(averages, axis=1, join="inner").mean(axis=1).sort_values(ascending=False, kind="stable")
    first = suites[0].plan
    shared = [str(label) for label in gains.index]
    focus = [label for label in shared if label == first.protocol.focus]
    labels = [*focus, *[label for label in shared if label not in focus][:STRONGEST]]
    if len(labels) < 2:
        return None
    kept = [frame[frame["label"].isin(labels)] for frame in frames]
    across = max(frame["task"].nunique() for frame in kept)
    figure, panels = grid(across * len(suites), 0.8 + 0.2 * len(labels), across=across, names=labels)
    for number, (results, frame) in enumerate(zip(suites, kept, strict=True)):
        line = panels[number * across : (number + 1) * across]
        tasks = [task for task in (*results.plan.tasks, AVERAGE) if task in set(frame["task"])]
        for axes, task in zip(line, tasks, strict=False):
            _task(axes, results, frame, task, labels, plain(f"points, {results.plan.encoder}"))
            # Few rows, of which the focus may be the farthest: all intervals are shown in full.
            ends = frame.loc[frame["task"] == task, ["difference", "low", "high"]].to_numpy(float)
            low, high = (float(end(ends, initial=0.0)) for end in (np.nanmin, np.nanmax))
            axes.set_xlim(low - SPACE * (high - low), high + SPACE * (high - low))
        for axes in line[len(tasks) :]:
            axes.set_visible(False)
    named = [frame.assign(suite=results.plan.suite) for results, frame in zip(suites, kept, strict=True)]
    return Drawing(
        figure,
        pd.concat(named, ignore_index=True),
        f"Differences from {first.protocol.reference} in {listed(results.plan.suite for results in suites)}",
        f"A line per suite: mean paired difference with its 95 % interval, as in each suite's own figure; filled: "
        "significant after Holm over all methods of the suite. Rows: the focus, and those with the highest mean "
        f"difference over these suites, a choice made after looking ({len(labels)} of {len(gains)} that all suites "
        "have).",
    )


def _task(axes: Axes, results: Results, data: pd.DataFrame, task: str, labels: list[str], words: str) -> None:
    """Draw the panel of a task or of the average; its caller sets the limits of the axis."""
    rows, average = data[data["task"] == task], task == AVERAGE
    _panel(axes, results, rows, labels)
    title = "all tasks" if average else plain(results.plan.tasks[task].title)
    axes.set_title(title, fontweight="bold" if average else None)
    axes.set_xlabel(words)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    if average:
        axes.set_facecolor("0.97")


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


def span(rows: pd.DataFrame, margin: float) -> tuple[float, float]:
    """The limits of a panel's axis: all intervals, unless a few of them would squeeze the others.

    The bulk is the share FIT of all interval ends (and differences) nearest to zero, and the margin's band. If all ends
    need more than STRETCH times the width of the bulk, the axis spans only the bulk. It never exceeds ±SCALE, the
    largest possible difference of two scores.

    Args:
        rows: Columns difference, low, high, in points; an unknown end is NaN.
        margin: Half the width of the band around zero, in points.

    Returns:
        Lower and upper limit, in points.
    """
    ends = rows[["difference", "low", "high"]].to_numpy(float).ravel()
    ends = np.clip(ends[np.isfinite(ends)], -SCALE, SCALE)
    near = ends[np.abs(ends) <= np.quantile(np.abs(ends), FIT)] if ends.size else ends
    every, bulk = (np.array([*some, -margin, margin]) for some in (ends, near))
    shown = bulk if np.ptp(every) > STRETCH * np.ptp(bulk) else every
    space = SPACE * float(np.ptp(shown))
    return max(float(shown.min()) - space, -SCALE), min(float(shown.max()) + space, SCALE)


def _beyond(axes: Axes, rows: pd.DataFrame, labels: list[str], results: Results) -> bool:
    """Set the panel's axis, draw an arrow at its edge where an interval continues, and return whether there is any."""
    low, high = span(rows, results.plan.protocol.margin)
    axes.set_xlim(low, high)
    cut = False
    for row in rows.to_dict("records"):
        height, colour = labels.index(row["label"]), looks(results.plan)[row["label"]].colour
        for edge, marker, side, outside, gone in (
            (low, "<", 1, row["low"] < low, row["difference"] < low),
            (high, ">", -1, row["high"] > high, row["difference"] > high),
        ):
            if not (outside or gone):
                continue
            cut = True
            axes.plot(edge, height, marker=marker, color=colour, markersize=4, clip_on=False, zorder=4)
            if gone:
                axes.annotate(
                    plain(f"{row['difference']:+.1f}".replace("-", "\N{MINUS SIGN}")),
                    (edge, height),
                    xytext=(6 * side, 0),
                    textcoords="offset points",
                    ha="left" if side > 0 else "right",
                    va="center",
                    fontsize=5.5,
                    color="0.15",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3},
                    zorder=3,
                )
    return cut
