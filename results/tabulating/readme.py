"""The generated parts of README files: each is between two markers and remade from a suite's records."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

from amix.specs.run_plan import RunPlan
from results.analysis.summary_text import answer
from results.loading.frame import Results, load
from results.loading.layout import MANIFEST, ROOT, Layout
from results.loading.preregistration import seeds_sentence
from results.tabulating.ablation import ablation_table
from results.tabulating.collect import completed
from results.tabulating.comparisons import across_table
from results.tabulating.main import main_table
from results.tabulating.render.markdown import markdown
from results.tabulating.table import Table

README = ROOT / "README.md"
FIGURES = ("forest", "strips")
"""Figures shown under the table, at each size."""
SHORT = "short"
"""A marker `suite: short: row, row` asks for the main table with only these rows, and the forest plot."""
_OPENING = re.compile(r"<!-- ([^/\n][^\n]*?) -->\n")


def readme_files() -> list[Path]:
    """Every README of the project that may have generated parts: the one at the top and those of the folders."""
    folders = ("amix", "baselines", "runners", "results", "paper_figures")
    return [README, *sorted(path for folder in folders for path in (ROOT / folder).rglob("README.md"))]


def markers(name: str) -> tuple[str, str]:
    """The lines before and after the part of this name."""
    return f"<!-- {name} -->\n", f"<!-- /{name} -->"


def marked(readme: Path) -> list[str]:
    """The names of a README's generated parts, in order."""
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    return [name for name in _OPENING.findall(text) if markers(name)[1] in text]


def put(readme: Path, name: str, content: str) -> bool:
    """Put content between the markers of this name, which must be there; return whether that changed the file."""
    opening, closing = markers(name)
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(opening)
    after = rest.partition(closing)[2]
    renewed = f"{before}{opening}\n{content}\n\n{closing}{after}"
    if renewed != text:
        readme.write_text(renewed, encoding="utf-8")
    return renewed != text


def part(name: str, layout: Layout, folder: Path) -> str:
    """The content between the markers of this name, as Markdown with links relative to a folder.

    Args:
        name: A suite, or `suite: short: row, row`.
        layout: Where the suite's records, tables and figures are.
        folder: The folder of the README.

    Returns:
        The suite's answer, tables and figures; for a short part, the chosen rows and the forest plot.

    Raises:
        PlanError: If the suite has no usable plan.
    """
    suite, _, rest = name.partition(f": {SHORT}: ")
    results = load(suite, layout)
    return _short(results, [row.strip() for row in rest.split(",")], layout, folder) if rest else _whole(
        results, layout, folder
    )  # fmt: skip


def _short(results: Results, rows: list[str], layout: Layout, folder: Path) -> str:
    """The main table with only these rows and a caption of one line, and the forest plot."""
    plan, (size,) = results.plan, results.plan.sizes
    table = completed(main_table(results, size), results)
    figure = _figures(plan.suite, ("forest",), size, layout, folder, brief=True)
    return f"{markdown(_chosen(table, rows, plan)).strip()}\n\n{figure}"


def _chosen(table: Table, rows: list[str], plan: RunPlan) -> Table:
    """Some rows of a main table, without ranks, since those are among all rows."""
    known = {str(row[0].value): row for row in table.rows}
    kept = tuple(tuple(replace(cell, rank=0, notes=()) for cell in known[row]) for row in rows if row in known)
    columns = tuple(replace(column, notes=()) for column in table.columns)
    caption = "Mean ± standard deviation over seeds; the full table has every row, and explains marks and footnotes."
    caption = f"{caption} {seeds_sentence(plan)}".strip()
    return replace(table, rows=kept, columns=columns, caption=caption, rules=frozenset(), notes=table.notes[-1:])


def _whole(results: Results, layout: Layout, folder: Path) -> str:
    """A suite's answer, main table and figures.

    With variants of the focus method, also the ablation table, and every method against the focus method.
    """
    blocks = []
    for size in results.plan.sizes:
        ablation, focus = ablation_table(results, size), str(results.plan.protocol.focus)
        tables: list[Table | None] = [main_table(results, size)]
        if ablation is not None:
            tables += [ablation, across_table(results, size, focus)]
        blocks.append(" ".join(answer(results, size)))
        blocks += [markdown(completed(table, results)).strip() for table in tables if table is not None]
        blocks.append(_figures(results.plan.suite, FIGURES, size, layout, folder))
    return "\n\n".join(blocks)


def _figures(suite: str, figures: tuple[str, ...], size: str, layout: Layout, folder: Path, brief: bool = False) -> str:
    """Images with their captions, of which `brief` keeps the first sentence."""
    blocks = []
    captions = _captions(layout.figures(suite), brief)
    for name in (f"{figure}-n{size}" for figure in figures):
        image = os.path.relpath(layout.figures(suite) / f"{name}.png", folder)
        blocks.append(f"![{name}]({image})")
        blocks += [f"*{captions[name]}*"] if name in captions else []
    return "\n\n".join(blocks)


def _captions(figures: Path, brief: bool) -> dict[str, str]:
    """Titles and captions of the figures in a folder, by name."""
    manifest = figures / MANIFEST
    made = json.loads(manifest.read_text(encoding="utf-8"))["figures"] if manifest.exists() else []
    texts = {figure["name"]: figure["caption"] for figure in made}
    if brief:
        texts = {name: text.partition(". ")[0].removesuffix(".") + "." for name, text in texts.items()}
    return {figure["name"]: f"{figure['title']}. {texts[figure['name']]}" for figure in made}
