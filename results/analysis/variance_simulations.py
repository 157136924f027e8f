"""How often intervals of variance components contain the truth: `python -m runners simulate variance-components`."""

import csv
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy
from rich.console import Console
from rich.progress import track

from results.analysis.sequential_simulations import COLLAPSED
from results.stats.inputs import Matrix
from results.stats.simulations import GAP, SD
from results.stats.variance_components import INTERACTION, REST, SUBSET, variance_components

LEVEL = 0.95
DATA_SETS = 500
"""Simulated designs per setting in the committed file."""
DESIGNS = ((5, 5), (10, 10), (6, 10))
"""Subset seeds × seeds of the rest, one run of each combination."""
ADDED = ((5, 4),)
"""The design of suite variance-minilm; after the others, whose draws depend on their place."""
SHARES = {
    "even": (1 / 3, 1 / 3, 1 / 3),
    "subset": (0.6, 0.1, 0.3),
    "rest": (0.1, 0.3, 0.6),
    "none of subset": (0, 0.3, 0.7),
}
"""True shares of subset, rest and interaction."""
DATA = ("normal", "failed runs")
"""Failed runs collapse regardless of their seeds, which adds to the interaction."""


@dataclass(frozen=True)
class Coverage:
    """How often the intervals of one source covered the truth, the Monte-Carlo standard error, and their mean width."""

    data: str
    subsets: int
    rests: int
    shares: str
    source: str
    data_sets: int
    variance: float
    share: float
    standard_error: float
    mean_share_width: float


def crossed_scores(
    data: str, design: tuple[int, int], shares: Sequence[float], generator: numpy.random.Generator
) -> Matrix:
    """(subsets, rests) scores in points whose sources have these shares of SD^2; failed runs collapse by GAP."""
    a, b = design
    subset, rest, inner = (SD * math.sqrt(share) for share in shares)
    scores = subset * generator.standard_normal((a, 1)) + rest * generator.standard_normal((1, b))
    scores = scores + inner * generator.standard_normal((a, b))
    if data == "failed runs":
        scores[generator.random((a, b)) < COLLAPSED] -= GAP
    return numpy.asarray(scores)


def true_variances(data: str, shares: Sequence[float]) -> dict[str, float]:
    """The true variances of `crossed_scores`, by source."""
    variances = dict(zip((SUBSET, REST, INTERACTION), (SD**2 * share for share in shares), strict=True))
    if data == "failed runs":
        variances[INTERACTION] += GAP**2 * COLLAPSED * (1 - COLLAPSED)
    return variances


def simulate(data_sets: int, seed: int = 0, show: bool = False) -> list[Coverage]:
    """Coverage of all sources in all settings; ValueError without data sets."""
    if data_sets < 1:
        raise ValueError(f"data_sets: at least 1 needed, got {data_sets}")
    settings = [
        (data, design, name) for designs in (DESIGNS, ADDED) for data in DATA for design in designs for name in SHARES
    ]
    rows: list[Coverage] = []
    console = Console(stderr=True)
    for number, setting in enumerate(track(settings, "Simulating", console=console, disable=not show)):
        rows += _coverage(*setting, data_sets, numpy.random.default_rng((seed, number)))
    return rows


def _coverage(
    data: str, design: tuple[int, int], name: str, data_sets: int, generator: numpy.random.Generator
) -> list[Coverage]:
    true = true_variances(data, SHARES[name])
    total = sum(true.values())
    held = {source: numpy.zeros(3) for source in true}
    for number in range(data_sets):
        components = variance_components(crossed_scores(data, design, SHARES[name], generator), LEVEL, number)
        for source, one in components.items():
            share = true[source] / total
            held[source] += (
                one.low <= true[source] <= one.high,
                one.share_low <= share <= one.share_high,
                one.share_high - one.share_low,
            )
    rows = []
    for source, sums in held.items():
        variance, share, width = (float(value) for value in sums / data_sets)
        error = math.sqrt(LEVEL * (1 - LEVEL) / data_sets)
        rows.append(Coverage(data, *design, name, source, data_sets, variance, share, error, width))
    return rows


def write_csv(rows: Sequence[Coverage], path: Path) -> None:
    """One line per source and setting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Coverage)])
        for row in rows:
            writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in astuple(row)])


def write_markdown(rows: Sequence[Coverage], path: Path) -> None:
    """The same as a Markdown table."""
    lines = [
        "### Intervals of variance components: how often they cover the truth",
        "",
        f"{rows[0].data_sets:,} simulated designs per line, nominal {LEVEL:.0%}, Monte-Carlo standard error "
        f"{rows[0].standard_error:.3f}; one run of each combination of subset and rest. Failed runs: each run "
        f"collapses by {GAP:g} points with probability {COLLAPSED:g}, whatever its seeds. Sources: true shares of "
        "subset, rest and interaction of the spread of runs that train.",
        "",
        "| Data | Subsets | Rests | Sources | Source | Variance covered | Share covered | Mean width, share |",
        "|---|---:|---:|---|---|---:|---:|---:|",
    ]
    for row in rows:
        sources = " / ".join(f"{share:.2g}" for share in SHARES[row.shares])
        lines.append(
            f"| {row.data} | {row.subsets} | {row.rests} | {sources} | {row.source} | {row.variance:.3f} | "
            f"{row.share:.3f} | {row.mean_share_width:.2f} |"
        )
    lines += ["", "Made by: python -m runners simulate variance-components"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def simulate_and_write(folder: Path, data_sets: int = DATA_SETS, seed: int = 0) -> list[Path]:
    """Simulate with a progress bar and write variance-components.csv and .md to the folder."""
    rows = simulate(data_sets, seed, show=True)
    paths = [folder / "variance-components.csv", folder / "variance-components.md"]
    write_csv(rows, paths[0])
    write_markdown(rows, paths[1])
    return paths
