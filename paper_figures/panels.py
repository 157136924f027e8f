"""Panels at fixed positions and what is drawn in them.

Margins are computed from the texts, and a panel's marks are few artists: automatic layout, and an artist for each of
ten thousand marks, would take most of a minute per page.
"""

from collections.abc import Iterable, Sequence
from functools import cache

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.textpath import text_to_path
from matplotlib.transforms import IdentityTransform
from numpy.typing import ArrayLike

from amix.specs.run_plan import RunPlan
from paper_figures.style import Look, looks, plain

ACROSS = 6
"""Maximum number of entries in a row of a legend."""
# All lengths are in inches.
HEAD = 0.27
"""Space above a panel, for its title."""
FOOT = 0.45
"""Space below a panel, for tick labels and the axis label."""
SIDE = 0.62
"""Space left of a panel that has its own tick labels and axis label there."""
BETWEEN = 0.16
"""Space between panels that share the names at the left."""
EDGE = 0.12
"""Space right of the last panel, for half of its last tick label."""
PADDING = 0.12
"""Space around a name at the left."""
ENTRY, ENTRY_HEIGHT, LEGEND_PADDING = 0.5, 0.165, 0.12
"""Width of a legend entry without its text, height of an entry, and padding of a legend."""


def grid(
    count: int,
    height: float,
    across: int = 4,
    width: float = 7.0,
    names: Sequence[str] = (),
    foot: float = FOOT,
    edge: float = EDGE,
    side: float = 0.0,
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, at most `across` in a row.

    Args:
        count: Number of panels.
        height: Height of a row of panels in inches, with titles and labels.
        across: Maximum number of panels in a row.
        width: Width of the figure in inches.
        names: One line per name in every panel, from the top, labelled at the left of each row of panels; without
            names every panel has its own tick labels there.
        foot: Space below each panel, in inches.
        edge: Space at the right, in inches.
        side: Minimum space at the left, in inches.

    Returns:
        The figure and its panels.
    """
    columns = min(count, across)
    rows = -(-count // columns)
    width = width if columns > 1 else 0.65 * width
    left, gap = (
        (text_width(names, matplotlib.rcParams["ytick.labelsize"]) + PADDING, BETWEEN) if names else (SIDE, SIDE)
    )
    left = max(left, side)
    figure = Figure(figsize=(width, height * rows))
    figure.subplots_adjust(
        left=left / width,
        right=1 - edge / width,
        bottom=foot / (height * rows),
        top=1 - HEAD / (height * rows),
        wspace=gap * columns / (width - left - edge - gap * (columns - 1)),
        hspace=(HEAD + foot) / (height - HEAD - foot),
    )
    panels = [figure.add_subplot(rows, columns, number + 1) for number in range(count)]
    for number, axes in enumerate(panels if names else []):
        axes.set_ylim(len(names) - 0.5, -0.5)
        if number % columns:
            axes.yaxis.set_visible(False)
        else:
            axes.set_yticks(range(len(names)), [plain(name) for name in names])
            axes.tick_params(axis="y", length=0)
            axes.grid(visible=False, axis="y")
    return figure, panels


def text_width(texts: Iterable[str], size: float | str) -> float:
    """Width in inches of the widest text at this font size (in points)."""
    properties = FontProperties(size=size)
    longest = sorted(texts, key=len)[-3:]  # The widest text is among those with the most letters.
    widths = [text_to_path.get_text_width_height_descent(text, properties, ismath=False)[0] for text in longest]
    return max(widths, default=0.0) / 72


def legend(figure: Figure, labels: Iterable[str], plan: RunPlan, lines: bool = False) -> None:
    """Add one legend of methods below the panels."""
    look, style = looks(plan), {"linestyle": "-"} if lines else {}
    legend_of(figure, [Line2D([], [], label=plain(label), **look[label].point() | style) for label in labels])


def legend_of(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Add one legend of these lines below the panels; the figure grows by its height, the panels keep their size."""
    width, height = figure.get_size_inches()
    words = [str(handle.get_label()) for handle in handles]
    entry = text_width(words, matplotlib.rcParams["legend.fontsize"]) + ENTRY
    rows = -(-len(handles) // max(1, min(ACROSS, int(width / entry))))
    more = ENTRY_HEIGHT * rows + LEGEND_PADDING
    margins = figure.subplotpars
    figure.set_figheight(height + more)
    figure.subplots_adjust(
        bottom=(margins.bottom * height + more) / (height + more), top=1 - (1 - margins.top) * height / (height + more)
    )
    figure.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0), borderaxespad=0.1, ncols=-(-len(handles) // rows)
    )


def points(
    axes: Axes,
    x: ArrayLike,
    y: ArrayLike,
    look: Sequence[Look],
    faces: Sequence[str] = (),
    share: float = 1.0,
    clipped: bool = True,
) -> None:
    """Draw a mark at each x and y in the colour and marker of its method, as one collection.

    faces: fill colours if they differ from the methods' colours. share: size relative to the usual one.
    """
    edges = colours(look)
    marks = PathCollection(
        [_marker(one.marker) for one in look],
        sizes=[(share * one.size) ** 2 for one in look],
        offsets=np.column_stack([np.asarray(x, float), np.asarray(y, float)]),
        offset_transform=axes.transData,
        facecolors=list(faces) or edges,
        edgecolors=edges,
        linewidths=share,
        clip_on=clipped,
        zorder=3,
    )
    marks.set_transform(IdentityTransform())
    axes.add_collection(marks)
    axes.autoscale_view()


def colours(look: Iterable[Look]) -> np.ndarray:
    """The methods' colours as numbers (n, 4), so that matplotlib does not parse them for each mark."""
    return np.array([_numbers(one.colour) for one in look])


_numbers = cache(to_rgba)


@cache
def _marker(marker: str) -> Path:
    style = MarkerStyle(marker)
    return style.get_path().transformed(style.get_transform())


def bars(axes: Axes, y: ArrayLike, low: ArrayLike, high: ArrayLike, look: Sequence[Look], width: float) -> None:
    """Draw a horizontal bar from low to high at each y, in the colour of its method; none if an end is unknown."""
    axes.hlines(y, low, high, colors=[one.colour for one in look], linewidth=width, zorder=2)


def bound(axes: Axes, low: float, high: float) -> bool:
    """Limit a panel's axis to low..high; return whether that cuts off any marks."""
    left, right = axes.get_xlim()
    axes.set_xlim(max(left, low), min(right, high))
    return bool(left < low or right > high)


def lines(
    axes: Axes, parts: Sequence[np.ndarray], look: Sequence[Look], width: float, alpha: float = 1.0, share: float = 0.0
) -> None:
    """Draw lines through points (k, 2) in the colours of their methods; share: size of the mark at the end, or 0."""
    axes.add_collection(LineCollection(list(parts), colors=colours(look), linewidths=width, alpha=alpha, zorder=2))
    axes.autoscale_view()
    if share and parts:
        ends = np.array([part[-1] for part in parts])
        points(axes, ends[:, 0], ends[:, 1], look, share=share)
