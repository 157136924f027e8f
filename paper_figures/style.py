"""What a figure function returns, how methods look in all figures, and how a figure is saved."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from amix.specs.run_plan import RunPlan
from amix.specs.store import write_atomically
from amix.specs.visible_text import visible

STYLE = Path(__file__).with_name("amix.mplstyle")
REFERENCE, FOCUS = "#4d4d4d", "#d55e00"
# Okabe and Ito's colours, distinguishable with every common colour blindness; the two above are reserved.
COLOURS = ("#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a6fb0", "#a6761d")
MARKERS = ("s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")
# Files have no date and no version, so that the same figure gives the same bytes.
METADATA: dict[str, dict[str, str | None]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
FORMATS = tuple(METADATA)


@dataclass(frozen=True)
class Drawing:
    """A figure, the numbers in it, its title, and its caption."""

    figure: Figure
    data: pd.DataFrame
    title: str
    caption: str


@dataclass(frozen=True)
class Look:
    """A method's colour and marker."""

    colour: str
    marker: str

    @property
    def size(self) -> float:
        """Size of a point; a star must be larger to look as large as a disc."""
        return float(matplotlib.rcParams["lines.markersize"]) * (1.7 if self.marker == "*" else 1.0)

    def point(self) -> dict[str, Any]:
        """Arguments of Line2D for a lone point."""
        return {"color": self.colour, "marker": self.marker, "markersize": self.size, "linestyle": "none"}


def looks(plan: RunPlan) -> dict[str, Look]:
    """The look of every label: the reference is grey, the focus vermilion, the others follow the plan's order."""
    others = [label for label in plan.labels if label not in (plan.protocol.reference, plan.protocol.focus)]
    table = {label: Look(COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, label in enumerate(others)}
    table[plan.protocol.reference] = Look(REFERENCE, "o")
    if plan.protocol.focus:
        table[plan.protocol.focus] = Look(FOCUS, "*")
    return {label: table[label] for label in plan.labels}


def plain(text: str) -> str:
    """The text for matplotlib, with dollar signs escaped so that none starts a formula."""
    return visible(text).replace("$", r"\$")


def save(drawing: Drawing, name: str, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write <name>.pdf, .svg, .png and .csv (the numbers drawn); the same drawing gives the same bytes."""
    files = [folder / f"{name}.{suffix}" for suffix in (*formats, "csv")]
    for path in files[:-1]:
        buffer = io.BytesIO()
        drawing.figure.savefig(buffer, format=path.suffix[1:], metadata=METADATA[path.suffix[1:]])
        write_atomically(path, buffer.getvalue())
    data = drawing.data.to_csv(index=False, float_format="%.10g", lineterminator="\n")
    files[-1].write_text(data, encoding="utf-8")
    return files


@contextmanager
def style() -> Iterator[None]:
    """Draw with the settings of the style file, whatever the user's own are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rc_file(STYLE, use_default_template=False)
        yield
