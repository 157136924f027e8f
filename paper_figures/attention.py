"""What a search for attention found: shares per matrix at its end, its losses, and its attention in every run."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from paper_figures.drawing import Drawing, looks, plain
from paper_figures.panels import grid, legend_of, text_width
from results.arrays import Search, searches
from results.frame import Results
from results.words import size_words

DEPARTURES = {"task_share": "1 − A", "pretrained_share": "B"}
"""What is drawn of the two shares: both are 0 where attention is 1, so that they have one scale."""
FACTORS = {"attention_mean": "1 − mean of a₁, a₂"}
"""What is drawn in their place for runs that noted the attention factors alone."""
OUTSIDE = "outside"
SCALE, KINDS = 0.7, 6.5
"""Inches at the right for the scale of the colours, and the size of the letters below the matrix."""
LOSSES = {"lower_loss": ("loss of the lower level", "#4d4d4d"), "upper_loss": ("loss of the upper level", "#d55e00")}


def attention_shares(results: Results, size: str) -> Drawing | None:
    """A and B per layer and kind of matrix at the end of the search, mean over seeds and splits, a panel per task."""
    label, found = _of_one_method(results, size)
    names = DEPARTURES if all("task_share" in search.arrays for search in found) else FACTORS
    data = _shares(results, found, names)
    if data.empty:
        return None
    tasks = [task for task in results.plan.tasks.values() if task.name in set(data["task"])]
    layers, kinds = ([str(one) for one in dict.fromkeys(data[what])] for what in ("layer", "kind"))
    slanted = 0.75 * text_width(kinds, KINDS)  # They stand at 45 degrees, and reach as far down as to the left.
    foot = slanted + 0.12
    figure, panels = grid(
        len(tasks) * len(names), 0.35 + foot + 0.14 * len(layers), names=layers, foot=foot, edge=SCALE, side=slanted
    )
    drawn = {name: data[name] if name == "pretrained_share" else 1 - data[name] for name in names}
    highest = max(float(values.max()) for values in drawn.values()) or 1.0
    images = []
    for number, (task, name) in enumerate((task, name) for task in tasks for name in names):
        values = data[["layer", "kind"]].assign(value=drawn[name])[data["task"] == task.name]
        images.append(_heat_map(panels[number], values, highest))
        panels[number].set_title(f"{plain(task.title)}: {names[name]}")
        panels[number].set_xticks(range(len(kinds)), kinds, rotation=45, ha="right", rotation_mode="anchor")
        panels[number].tick_params(axis="x", labelsize=KINDS)
    margins, width = figure.subplotpars, figure.get_figwidth()
    scale = figure.add_axes((margins.right + 0.1 / width, margins.bottom, 0.1 / width, margins.top - margins.bottom))
    figure.colorbar(images[0], cax=scale)
    return Drawing(
        figure,
        data,
        f"Attention of {label} at the end of the search, {size_words(size)}",
        "Mean over the entries of a matrix, over splits and over seeds; 0 is where the search starts, the task weight "
        "alone. A is the coefficient of the task weight, B that of the pretrained weight"
        + ("." if names is DEPARTURES else "; these runs noted the factors a₁ and a₂ of A alone."),
    )


def search_losses(results: Results, size: str) -> Drawing | None:
    """Loss of both levels against the iteration of the search: thin lines are seeds, the thick line is their mean."""
    label, found = _of_one_method(results, size)
    data = pd.DataFrame([row for search in found for row in _losses(search)])
    if data.empty:
        return None
    tasks = [task for task in results.plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 2.0)
    for axes, task in zip(panels, tasks, strict=True):
        for name, (_, colour) in LOSSES.items():
            lines = data[(data["task"] == task.name) & (data["level"] == name)]
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


def _of_one_method(results: Results, size: str) -> tuple[str, list[Search]]:
    """The focus method's searches, or those of the first method that has any."""
    found = searches(results, size)
    labels = {search.label for search in found}
    preferred = (results.plan.protocol.focus, *results.plan.labels)
    label = next((label for label in preferred if label in labels), "")
    return str(label), [search for search in found if search.label == label]


def _shares(results: Results, found: Sequence[Search], names: dict[str, str]) -> pd.DataFrame:
    rows = []
    for task in results.plan.tasks:
        own = [search for search in found if search.task == task and all(name in search.arrays for name in names)]
        if own:
            # The last iteration; mean over splits of each run first, as runs may differ in their number of splits.
            means = {name: np.mean([s.arrays[name][:, -1].mean(axis=0) for s in own], axis=0) for name in names}
            for number, module in enumerate(own[0].modules):
                layer, kind = place(module)
                values = {name: float(means[name][number]) for name in names}
                rows.append({"task": task, "module": module, "layer": layer, "kind": kind} | values)
    return pd.DataFrame(rows, columns=["task", "module", "layer", "kind", *names])


def place(module: str) -> tuple[str, str]:
    """Layer and kind of matrix in a module's name: bert.encoder.layer.3.attention.self.query -> 3, attention.query."""
    before, number, after = re.match(r"(.*?)(?:\.(\d+)\.(.*))?$", module).groups()  # type: ignore[union-attr]
    return (OUTSIDE, _tail(before)) if number is None else (number, _tail(after))


def _tail(name: str) -> str:
    # Two parts tell the matrices of a block apart once words that say nothing are gone: attention.output, output.
    parts = [part for part in name.split(".") if part not in ("self", "dense")]
    return ".".join(parts[-2:])


def _heat_map(axes: Axes, values: pd.DataFrame, highest: float) -> AxesImage:
    layers, kinds = list(dict.fromkeys(values["layer"])), list(dict.fromkeys(values["kind"]))
    table = values.pivot_table(index="layer", columns="kind", values="value").reindex(index=layers, columns=kinds)
    image = axes.imshow(table.to_numpy(), cmap="Blues", vmin=0, vmax=highest, aspect="auto", interpolation="nearest")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    return image


def _losses(search: Search) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for level in LOSSES:
        if level in search.arrays:
            place = {"task": search.task, "seed": search.seed, "level": level}
            means = zip(search.iterations(level), search.arrays[level].mean(axis=0), strict=True)
            rows += [place | {"iteration": int(number), "loss": float(loss)} for number, loss in means]
    return rows


def _factors(search: Search) -> dict[str, object]:
    at_end = {name: search.arrays[name][:, -1] for name in ("attention_mean", "attention_min", "attention_at_one")}
    found = {
        "label": search.label,
        "task": search.task,
        "seed": search.seed,
        "mean": float(at_end["attention_mean"].mean()),
        "lowest": float(at_end["attention_min"].mean()),
        "at_one": float(at_end["attention_at_one"].mean()),
    }
    deciles = search.arrays.get("attention_deciles")
    ends = (np.nan,) * 3 if deciles is None else deciles[:, -1].mean(axis=(0, 1))[[1, 9, 10]]
    return found | dict(zip(("tenth", "ninetieth", "highest"), map(float, ends), strict=True))
