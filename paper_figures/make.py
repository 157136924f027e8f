"""All figures of a suite, from its records."""

import gc
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from paper_figures.figures.attention_over_runs import attention_over_runs
from paper_figures.figures.attention_shares import attention_shares
from paper_figures.figures.cost_against_score import cost_against_score
from paper_figures.figures.critical_difference import critical_difference
from paper_figures.figures.expected_best import expected_best
from paper_figures.figures.expected_validation import expected_validation
from paper_figures.figures.forest import forest, forest_of_suites
from paper_figures.figures.instability import instability
from paper_figures.figures.interquartile_means import interquartile_means
from paper_figures.figures.learning_curves import learning_curves
from paper_figures.figures.mean_against_spread import mean_against_spread
from paper_figures.figures.performance_profiles import performance_profiles
from paper_figures.figures.reliability import reliability
from paper_figures.figures.score_against_size import score_against_size
from paper_figures.figures.search_losses import search_losses
from paper_figures.figures.strips import strips
from paper_figures.style import FORMATS, Drawing, save, style
from results.loading.frame import Results, fingerprint, load
from results.loading.layout import MANIFEST, Layout
from results.loading.preregistration import MARK, departures, seeds_sentence

PER_SIZE: dict[str, Callable[[Results, str], Drawing | None]] = {
    "forest": forest,
    "strips": strips,
    "instability": instability,
    "mean-against-spread": mean_against_spread,
    "cost-against-score": cost_against_score,
    "critical-difference": critical_difference,
    "performance-profiles": performance_profiles,
    "interquartile-means": interquartile_means,
    "reliability": reliability,
    "learning-curves": learning_curves,
    "expected-best": expected_best,
    "attention-shares": attention_shares,
    "search-losses": search_losses,
    "attention-over-runs": attention_over_runs,
}
WITHOUT_TESTS = ("reliability", "learning-curves", "attention-shares", "search-losses", "attention-over-runs")
"""The figures of a suite whose runs share seeds: those without a test or an interval over runs."""
OF_A_TUNING: dict[str, Callable[[Results, str], Drawing | None]] = {"expected-validation": expected_validation}
TOGETHER = "together"
"""The folder of the figure over several suites."""
OVER_SIZES: dict[str, Callable[[Results], Drawing | None]] = {"score-against-size": score_against_size}


@dataclass(frozen=True)
class Made:
    """A figure on disk: the name of its files, its title and its caption."""

    name: str
    title: str
    caption: str


def make(suite: str, layout: Layout) -> list[Path]:
    """Draw every figure that the suite's records can fill, each as .pdf, .svg, .png and .csv.

    Figures that the records cannot fill (because there is one size, or one method) are not drawn.

    Raises:
        PlanError: There is no usable plan.
    """
    return draw_all(load(suite, layout), layout.figures(suite))


def make_unless_made(suite: str, layout: Layout) -> None:
    """Like `make`, unless the figures on disk already show exactly these records. Raises PlanError as `make` does."""
    results = load(suite, layout)
    if made_before(results, layout.figures(suite)) is None:
        draw_all(results, layout.figures(suite))


def make_together(suites: Sequence[str], layout: Layout) -> list[Path]:
    """Draw the forest plot of several suites into the folder TOGETHER, with its caption in figures.json.

    Returns:
        The files; none while a suite has no committed records, or too few of them (see forest_of_suites).

    Raises:
        PlanError: There is no usable plan.
    """
    if not all(layout.archive(suite).exists() for suite in suites):
        return []
    with style():
        drawing = forest_of_suites([load(suite, layout) for suite in suites])
        if drawing is None:
            return []
        folder = layout.figures(TOGETHER)
        folder.mkdir(parents=True, exist_ok=True)
        files = save(drawing, "forest", folder)
    manifest = folder / MANIFEST
    figure = {"name": "forest", "title": drawing.title, "caption": drawing.caption}
    manifest.write_text(json.dumps({"figures": [figure]}, indent=1) + "\n", encoding="utf-8")
    return [*files, manifest]


def draw_all(results: Results, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Draw the figures of these results into a folder, with a list of them (figures.json)."""
    folder.mkdir(parents=True, exist_ok=True)
    files, made = [], []
    added = seeds_sentence(results.plan), departures(results.plan).removeprefix(MARK).strip()
    # Figures leave many reference cycles; without this, collecting them would traverse all records each time.
    gc.freeze()
    with style():
        for name, drawing in drawings(results):
            files += save(drawing, name, folder, formats)
            caption = " ".join(part for part in (drawing.caption, *added) if part)
            made.append({"name": name, "title": drawing.title, "caption": caption})
    gc.unfreeze()
    manifest = folder / MANIFEST
    content = json.dumps({"records": fingerprint(results), "figures": made}, indent=1)
    manifest.write_text(content + "\n", encoding="utf-8")
    return [*files, manifest]


def drawings(results: Results) -> Iterator[tuple[str, Drawing]]:
    """The name and drawing of every figure, in reading order."""
    tuning, plain = results.plan.tuning_budget is not None, results.plan.runs_share_seeds
    for name, draw_all_sizes in ({} if tuning or plain else OVER_SIZES).items():
        drawing = draw_all_sizes(results)
        if drawing:
            yield name, drawing
    for size in results.plan.sizes:
        for name, draw in (OF_A_TUNING if tuning else PER_SIZE).items():
            drawing = None if plain and name not in WITHOUT_TESTS else draw(results, size)
            if drawing:
                yield f"{name}-n{size}", drawing


def made_before(results: Results, folder: Path) -> list[Made] | None:
    """The figures in the folder if they were drawn from exactly these results, else None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if manifest.get("records") != fingerprint(results):
        return None
    made = [Made(**entry) for entry in manifest["figures"]]
    return made if all((folder / f"{figure.name}.svg").exists() for figure in made) else None
