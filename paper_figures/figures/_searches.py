"""Shared by the figures of a search."""

import re

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from amix.agwm.diagnostics import Noted
from results.loading.frame import Results
from results.loading.search_arrays import Search, searches

OUTSIDE = "outside"
LOSSES = {
    Noted.LOWER_LOSS: ("loss of the lower level", "#4d4d4d"),
    Noted.UPPER_LOSS: ("loss of the upper level", "#d55e00"),
}


def of_one_method(results: Results, size: str) -> tuple[str, list[Search]]:
    """The label and searches of the focus method, or of the first method that has any."""
    stored = searches(results, size)
    labels = {search.label for search in stored}
    preferred = (results.plan.protocol.focus, *results.plan.labels)
    label = next((label for label in preferred if label in labels), "")
    return str(label), [search for search in stored if search.label == label]


def place(module: str) -> tuple[str, str]:
    """Layer and kind of matrix in a module's name: bert.encoder.layer.3.attention.self.query -> 3, attention.query."""
    before, number, after = re.match(r"(.*?)(?:\.(\d+)\.(.*))?$", module).groups()  # type: ignore[union-attr]
    return (OUTSIDE, _tail(before)) if number is None else (number, _tail(after))


def heat_map(axes: Axes, data: pd.DataFrame, name: str, highest: float) -> AxesImage:
    """Draw column `name` of data with columns `layer` and `kind`, without axis labels, from 0 to `highest`."""
    layers, kinds = list(dict.fromkeys(data["layer"])), list(dict.fromkeys(data["kind"]))
    table = data.pivot_table(index="layer", columns="kind", values=name).reindex(index=layers, columns=kinds)
    axes.tick_params(axis="both", length=0)
    axes.grid(visible=False)
    return axes.imshow(table.to_numpy(), cmap="Blues", vmin=0, vmax=highest, aspect="auto", interpolation="nearest")


def _tail(name: str) -> str:
    # Without the uninformative parts, two tell the matrices of a block apart: attention.output, output.
    parts = [part for part in name.split(".") if part not in ("self", "dense")]
    return ".".join(parts[-2:])
