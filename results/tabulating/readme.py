"""The part of README that comes from records: kept between two markers, remade from a suite's records."""

import json
import os
from pathlib import Path

from results.analysis.summary_text import answer
from results.loading.frame import Results, load
from results.loading.layout import MANIFEST, ROOT, Layout
from results.tabulating.collect import make_tables
from results.tabulating.comparisons import across_name
from results.tabulating.render.markdown import markdown

README = ROOT / "README.md"
FIGURES = ("forest", "strips")
"""Figures shown under the table, at each size."""


def markers(suite: str) -> tuple[str, str]:
    """The lines between which a suite's part stands."""
    return f"<!-- {suite} -->\n", f"<!-- /{suite} -->"


def fills(readme: Path, suite: str) -> bool:
    """Whether the README has a place for this suite."""
    return all(marker in readme.read_text(encoding="utf-8") for marker in markers(suite)) if readme.exists() else False


def refresh(readme: Path, suite: str, layout: Layout) -> bool:
    """Put the suite's answer, tables and two figures between its markers; returns whether that changed the file.

    The README must have a place for the suite (see fills). Raises PlanError when there is no usable plan.
    """
    return put(readme, suite, part(load(suite, layout), layout, readme.parent))


def put(readme: Path, name: str, content: str) -> bool:
    """Put content between the markers of this name, which must be there; returns whether that changed the file."""
    opening, closing = markers(name)
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(opening)
    after = rest.partition(closing)[2]
    renewed = f"{before}{opening}\n{content}\n\n{closing}{after}"
    if renewed != text:
        readme.write_text(renewed, encoding="utf-8")
    return renewed != text


def part(results: Results, layout: Layout, folder: Path) -> str:
    """A suite's answer and main table as Markdown, with links to figures relative to a folder.

    Of a suite with variants of the focus method also the ablation table, and every method against the focus method.
    """
    plan = results.plan
    blocks = []
    tables = {table.name: table for table in make_tables(results)}
    for size in plan.sizes:
        blocks.append(" ".join(answer(results, size)))
        ablation = f"ablation-n{size}"
        names = [
            f"main-n{size}",
            *([ablation, across_name(str(plan.protocol.focus), size)] if ablation in tables else []),
        ]
        blocks += [markdown(tables[name]).strip() for name in names if name in tables]
        captions = _captions(layout.figures(plan.suite))
        for name in (f"{figure}-n{size}" for figure in FIGURES):
            image = os.path.relpath(layout.figures(plan.suite) / f"{name}.png", folder)
            blocks.append(f"![{name}]({image})")
            blocks += [f"*{captions[name]}*"] if name in captions else []
    return "\n\n".join(blocks)


def _captions(figures: Path) -> dict[str, str]:
    """Title and caption of the figures that were made, by name."""
    made = figures / MANIFEST
    found = json.loads(made.read_text(encoding="utf-8"))["figures"] if made.exists() else []
    return {one["name"]: f"{one['title']}. {one['caption']}" for one in found}
