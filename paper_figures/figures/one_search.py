"""One run's search in one figure: shares per matrix, losses of both levels, distribution of the attention factors."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from amix.agwm.diagnostics import Noted
from paper_figures.figures._searches import LOSSES, heat_map, place
from paper_figures.panels import grid, text_width
from paper_figures.style import Drawing, plain, save, style
from results.loading.frame import Results, load
from results.loading.layout import Layout
from results.loading.search_arrays import Search, searches
from results.loading.wording import size_words

SHARES = {"1 − A": Noted.TASK_SHARE, "B": Noted.PRETRAINED_SHARE}
SMALL = 6.5
COLOUR = "#0072b2"
LOWEST, TENTH, MEDIAN, NINETIETH, HIGHEST = 0, 1, 5, 9, 10
"""Indices of the deciles that are drawn."""


class NoSearch(ValueError):
    """There is no such run, or it stored no search."""


def make_one(suite: str, layout: Layout, run: str) -> list[Path]:
    """Draw the search of the run label/task/seed, or label/task/seed/size, into the folder runs-<suite>.

    Raises:
        NoSearch: There is no such run.
        PlanError: There is no usable plan.
    """
    results = load(suite, layout)
    parts = run.split("/")
    if len(parts) == 3:
        parts.append(results.plan.sizes[0])
    if len(parts) != 4 or not parts[2].isdigit():
        raise NoSearch(f"'{run}': give a run as label/task/seed or label/task/seed/size")
    label, task, seed, size = parts
    folder = layout.figures(suite).with_name(f"runs-{suite}")
    folder.mkdir(parents=True, exist_ok=True)
    with style():
        drawing = search_of_run(results, size, label, task, int(seed))
        return save(drawing, "search-" + re.sub(r"\W+", "-", f"{label}-{task}-{seed}-n{size}"), folder)


def search_of_run(results: Results, size: str, label: str, task: str, seed: int) -> Drawing:
    """The search of one run, mean over its splits.

    Raises:
        NoSearch: The run is not among those that stored their search; the message names some of these.
    """
    stored = searches(results, size)
    wanted = [search for search in stored if (search.label, search.task, search.seed) == (label, task, seed)]
    if not wanted:
        known = ", ".join(f"{search.label}/{search.task}/{search.seed}" for search in stored[:6])
        raise NoSearch(
            f"no search of {label}/{task}/{seed} is stored at {size_words(size)}; there are: {known or 'none'}"
        )
    (search,) = wanted
    if not search.notes.has(Noted.ATTENTION_DECILES, *SHARES.values()):
        raise NoSearch(f"the run {label}/{task}/{seed} is older than the storing of shares and deciles; run it again")
    return _drawn(search, f"{label}, {results.plan.tasks[task].title}, seed {seed}, {size_words(size)}")


def _drawn(search: Search, run: str) -> Drawing:
    notes = search.notes
    layers, kinds = zip(*(place(module) for module in notes.modules), strict=True)
    data = pd.DataFrame({"module": notes.modules, "layer": layers, "kind": kinds})
    data["1 − A"] = 1 - notes.at_end(Noted.TASK_SHARE).mean(axis=0)
    data["B"] = notes.at_end(Noted.PRETRAINED_SHARE).mean(axis=0)
    deciles = notes.at_end(Noted.ATTENTION_DECILES).mean(axis=0)
    for number in range(deciles.shape[1]):
        data[f"decile {number}"] = deciles[:, number]
    foot = 0.75 * text_width(kinds, SMALL) + 0.3
    figure, panels = grid(4, max(2.3, 0.35 + foot + 0.14 * data["layer"].nunique()), across=2, foot=foot)
    highest = max(float(data[name].max()) for name in SHARES) or 1.0
    for axes, name in zip(panels, SHARES, strict=False):
        image = _titled_heat_map(axes, data, name, highest)
        figure.colorbar(image, ax=axes, pad=0.02)
    _losses(panels[2], search)
    _factors(panels[3], deciles, list(layers))
    return Drawing(
        figure,
        data,
        f"Search of one run: {run}",
        "Mean over the splits. Above: per layer and kind of matrix at the end of the search, how far the coefficient A "
        "of the task weight is from 1, and the coefficient B of the pretrained weight; both start at 0. Below: loss of "
        "both levels at every iteration; the entries of the attention factors per matrix at the end: median, middle "
        "80 % (bar) and all of them (line).",
    )


def _titled_heat_map(axes: Axes, data: pd.DataFrame, name: str, highest: float) -> AxesImage:
    layers, kinds = list(dict.fromkeys(data["layer"])), list(dict.fromkeys(data["kind"]))
    axes.set_title(name)
    axes.set_xticks(range(len(kinds)), kinds, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(layers)), layers)
    axes.tick_params(axis="both", labelsize=SMALL)
    axes.set_ylabel("layer")
    return heat_map(axes, data, name, highest)


def _losses(axes: Axes, search: Search) -> None:
    for name, (words, colour) in LOSSES.items():
        if search.notes.has(name):
            means = search.notes[name].mean(axis=0)
            axes.plot(search.notes.iterations(name), means, color=colour, linewidth=1.2, label=words)
    axes.set_title("Losses")
    axes.set_xlabel("iteration of the search")
    axes.legend(fontsize=SMALL)


def _factors(axes: Axes, deciles: NDArray[np.float64], layers: Sequence[str]) -> None:
    across = np.arange(len(deciles))
    axes.vlines(across, deciles[:, LOWEST], deciles[:, HIGHEST], color=COLOUR, alpha=0.35, linewidth=0.8)
    axes.vlines(across, deciles[:, TENTH], deciles[:, NINETIETH], color=COLOUR, alpha=0.5, linewidth=3.0)
    axes.plot(across, deciles[:, MEDIAN], "o", markersize=2.0, color=COLOUR)
    first = [number for number, layer in enumerate(layers) if number == 0 or layer != layers[number - 1]]
    axes.set_xticks(first, [plain(layers[number]) for number in first], fontsize=SMALL)
    axes.set_title("Attention factors")
    axes.set_xlabel("matrices, by layer")
