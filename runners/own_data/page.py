"""The table, the learning curves as a figure, and the page of a comparison."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pandas
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from amix.specs.store import write_atomically
from amix.specs.task import Task
from amix.specs.visible_text import visible
from paper_figures.style import COLOURS, MARKERS, METADATA, plain, style
from results.loading.wording import OWN_UNIT, metric_words
from results.tabulating.render.html import html_table
from results.tabulating.table import P_VALUE, Cell, Column, Table, rank_column
from runners.own_data.curves import Curves
from runners.own_data.out_of_fold import OutOfFold
from runners.own_data.standings import Standings

HERE = Path(__file__).parent
CHOSEN = " ←"
"""What follows the label of the chosen row."""
BEYOND = 1.6
"""The fitted curve is drawn up to this many times the number of rows."""


def score_table(task: Task, found: Standings, others: Mapping[str, Mapping[str, float]], how: str) -> Table:
    """Every row: score, interval, difference from the best row with its test, further metrics, seconds, failed runs.

    Args:
        task: the task, which names the metrics.
        found: the standings.
        others: mean of every further metric, by row.
        how: how the scores were obtained, in words.
    """
    best = found.best.label
    metric = metric_words(task.metrics[0], task.labels[task.positive_class] if task.labels else "")
    columns = (
        Column("Row"),
        Column(metric, "× 100"),
        Column("from", "95 %"),
        Column("to", "95 %"),
        Column(f"minus {best}", "points", "+.1f"),
        Column("from", "95 %", "+.1f"),
        Column("to", "95 %", "+.1f"),
        Column("p", "Holm", P_VALUE),
        *(Column(metric_words(name), "" if name in OWN_UNIT else "× 100", ".3g" if name in OWN_UNIT else ".1f")
          for name in task.metrics[1:]),
        Column("Time", "s per training"),
        Column("Failed", "runs", ".0f"),
    )  # fmt: skip
    scores = rank_column(
        [Cell(100 * row.score.mean) for row in found.rows], ".1f", [row is not found.majority for row in found.rows]
    )
    rows, ways = [], len(found.rows) - 1
    for row, score in zip(found.rows, scores, strict=True):
        gap = row.difference
        ends = [None] * 3 if gap is None else [100 * gap.mean, 100 * gap.low, 100 * gap.high]
        more = [Cell(_scaled(name, others.get(row.label, {}).get(name))) for name in task.metrics[1:]]
        rows.append(
            (
                Cell(row.label + CHOSEN * (row.label == found.chosen.label)), score,
                Cell(100 * row.score.low), Cell(100 * row.score.high), *map(Cell, ends), Cell(row.p), *more,
                Cell(row.seconds or None), Cell(float(row.failed)),
            )
        )  # fmt: skip
    chosen = "is trained, as asked" if found.asked else "is chosen: the cheapest row that is about as good as the best"
    return Table(
        name="scores",
        title=f"{task.title}: {ways} way{'s' * (ways > 1)} to train compared",
        caption=f"{how}{CHOSEN} {chosen}. Test: {found.words}.",
        columns=columns,
        rows=tuple(rows),
    )


def _scaled(metric: str, value: float | None) -> float | None:
    if value is None or not numpy.isfinite(value):
        return None
    return value if metric in OWN_UNIT else 100 * value


def curve_figure(task: Task, curves: Curves) -> tuple[str, pandas.DataFrame]:
    """The curves as SVG, and the numbers in the figure."""
    numbers = curve_numbers(curves)
    with style():
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        axes = figure.subplots()
        for place, label in enumerate(curves.scores):
            colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
            axes.plot(
                curves.sizes,
                100 * curves.scores[label],
                color=colour,
                marker=marker,
                linestyle="none",
                label=plain(label),
            )
            if label in curves.curves:
                grid = numpy.linspace(curves.sizes[0], BEYOND * curves.rows, 60)
                law = curves.curves[label].law
                axes.plot(grid, [100 * (1 - law.error(n)) for n in grid], color=colour, linewidth=1)
        axes.axvline(curves.rows, color="0.7", linewidth=0.8, linestyle="--")
        axes.set_xlabel("training rows (dashed: all there are)")
        axes.set_ylabel(f"{metric_words(task.metrics[0])} × 100")
        axes.legend()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata=METADATA["svg"])
    text = buffer.getvalue().decode()
    return text[text.index("<svg") :], numbers


def curve_numbers(curves: Curves) -> pandas.DataFrame:
    """Mean scores by row and size."""
    return pandas.DataFrame(
        [
            (label, size, score)
            for label, scores in curves.scores.items()
            for size, score in zip(curves.sizes, scores, strict=True)
        ],
        columns=["row", "training rows", "score"],
    )


def write_page(
    path: Path, task: Task, sentences: Sequence[str], warnings: Sequence[str], notes: Sequence[str], table: Table,
    curves: Curves | None, predictions: OutOfFold, commands: Sequence[str], settings: str,
) -> None:  # fmt: skip
    """Write the page as one HTML file that loads nothing, escapes every text and runs no script."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    doubtful = "Models that were not trained on these rows find another label more probable: check these rows first."
    uncertain = "The models are least certain about these rows."
    if task.labels is None:
        doubtful = "The given number is furthest from the one predicted by models that were not trained on the row."
    text = environment.get_template("page.html.j2").render(
        title=f"{task.title}: which method works best?",
        sentences=list(sentences), warnings=list(warnings), notes=list(notes), table=Markup(html_table(table)),
        figure=Markup(curve_figure(task, curves)[0]) if curves else "",
        figure_caption="Mean score over the same folds, and the fitted power law.",
        lists=[("Labels to check", doubtful, *_cells(predictions.doubtful())),
               ("Uncertain rows", uncertain, *_cells(predictions.uncertain()))],
        text_columns=list(range(1, 1 + len(task.text))), commands=list(commands), settings=settings,
    )  # fmt: skip
    write_atomically(path, visible(text).encode())


def _cells(table: pandas.DataFrame) -> tuple[list[str], list[list[str]]]:
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False, name=None)]
    return [str(name) for name in table.columns], rows


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
