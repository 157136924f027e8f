"""The coefficients A and B of every matrix at the end of a search."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from amix.agwm.diagnostics import Noted
from paper_figures.figures._searches import heat_map, of_one_method, place
from paper_figures.panels import grid, text_width
from paper_figures.style import Drawing, plain
from results.loading.frame import Results
from results.loading.search_arrays import Search
from results.loading.wording import size_words

DEPARTURES = {Noted.TASK_SHARE: "1 − A", Noted.PRETRAINED_SHARE: "B"}
"""The quantities drawn; both are 0 where attention is 1, so that they share a scale."""
FACTORS = {Noted.ATTENTION_MEAN: "1 − mean of a₁, a₂"}
"""The quantity drawn instead for runs that stored only the attention factors."""
SCALE, KINDS = 0.7, 6.5
"""Inches at the right for the colour bar, and the font size of the labels below the matrix."""


def attention_shares(results: Results, size: str) -> Drawing | None:
    """A and B per layer and kind of matrix at the end of the search, mean over seeds and splits, a panel per task."""
    label, searches = of_one_method(results, size)
    names = DEPARTURES if all(search.notes.has(Noted.TASK_SHARE) for search in searches) else FACTORS
    data = _shares(results, searches, names)
    if data.empty:
        return None
    tasks = [task for task in results.plan.tasks.values() if task.name in set(data["task"])]
    layers, kinds = ([str(name) for name in dict.fromkeys(data[column])] for column in ("layer", "kind"))
    slanted = 0.75 * text_width(kinds, KINDS)  # At 45 degrees labels reach as far down as to the left.
    foot = slanted + 0.12
    figure, panels = grid(
        len(tasks) * len(names), 0.35 + foot + 0.14 * len(layers), names=layers, foot=foot, edge=SCALE, side=slanted
    )
    drawn = {name: data[name] if name == Noted.PRETRAINED_SHARE else 1 - data[name] for name in names}
    highest = max(float(values.max()) for values in drawn.values()) or 1.0
    images = []
    for number, (task, name) in enumerate((task, name) for task in tasks for name in names):
        values = data[["layer", "kind"]].assign(value=drawn[name])[data["task"] == task.name]
        images.append(heat_map(panels[number], values, "value", highest))
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
        "Mean over the entries of a matrix, over splits and over seeds; the search starts at 0, the task weight "
        "alone. A is the coefficient of the task weight, B that of the pretrained weight"
        + ("." if names is DEPARTURES else "; these runs stored only the factors a₁ and a₂ of A."),
    )


def _shares(results: Results, searches: Sequence[Search], names: dict[Noted, str]) -> pd.DataFrame:
    rows = []
    for task in results.plan.tasks:
        own = [search for search in searches if search.task == task and search.notes.has(*names)]
        if own:
            # Averaged over the splits of each run first, as runs may differ in their number of splits.
            means = {name: np.mean([s.notes.at_end(name).mean(axis=0) for s in own], axis=0) for name in names}
            for number, module in enumerate(own[0].notes.modules):
                layer, kind = place(module)
                values = {name.value: float(means[name][number]) for name in names}
                rows.append({"task": task, "module": module, "layer": layer, "kind": kind} | values)
    return pd.DataFrame(rows, columns=["task", "module", "layer", "kind", *(name.value for name in names)])
