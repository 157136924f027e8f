"""One self-contained HTML page per suite: question, answer, forest plot and main table; the rest is collapsed."""

import base64
import hashlib
import json
import math
import re
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from amix.specs.store import write_atomically
from amix.specs.visible_text import visible
from amix.specs.wording import counted
from paper_figures.make import Made, draw_all, made_before
from results.analysis.summary_text import answer, question
from results.loading.frame import Results, load
from results.loading.layout import Layout
from results.loading.preregistration import declarations
from results.tabulating.collect import make_tables
from results.tabulating.render.html import html_table

HERE = Path(__file__).parent
PACKAGES = "packages"
FIRST = ("forest", "main", "expected-validation", "means", "variance")
"""Figures and tables (one per size) that are open below the answer; all others are collapsed."""
FULL_WIDTH = 7.0 * 72
"""Width in points of a figure that is as wide as the page."""
SMALLEST_WIDTH = 34
"""Width in rem below which such a figure is scrolled rather than shrunk."""


def write(suite: str, layout: Layout) -> Path:
    """Write the suite's page and return its path.

    Figures on disk are used if they show exactly these records; otherwise they are drawn for the page only, as SVG.
    The page has no external address, escapes every text from records and plan, and runs only its own script.

    Raises:
        PlanError: There is no usable plan.
    """
    results = load(suite, layout)
    with TemporaryDirectory() as empty:
        folder = layout.figures(suite)
        made = made_before(results, folder)
        if made is None:
            folder = Path(empty)
            draw_all(results, folder, ("svg",))
            made = made_before(results, folder) or []
        path = layout.page(suite)
        write_atomically(path, page(results, made, folder).encode())
    return path


def page(results: Results, made: list[Made], folder: Path) -> str:
    """The page's HTML, with the figures' SVG files read from the folder."""
    plan = results.plan
    script = (HERE / "sort.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    runs = [_run(row) for row in results.runs.to_dict("records")]
    first = {f"{name}-n{size}" for name in FIRST for size in plan.sizes}
    figures = [
        {
            "name": figure.name,
            "title": figure.title,
            "caption": figure.caption,
            "svg": Markup(inline_svg(folder, figure)),
            "first": figure.name in first,
        }
        for figure in made
    ]
    text = environment.get_template("report.html.j2").render(
        plan=plan,
        question=question(results),
        declared=declarations(plan),
        answers=[answer(results, size) for size in plan.sizes],
        tables=[(table.title, table.name in first, Markup(html_table(table))) for table in make_tables(results)],
        figures=figures,
        runs=runs,
        counts=sorted(Counter(run["status"] for run in runs).items()),
        errors=[run for run in runs if run["error"]],
        problems=results.problems,
        environment=_environment(results.records.values()),
        commands=_commands(plan.suite, plan.command),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return visible(text)


def inline_svg(folder: Path, figure: Made) -> str:
    """A figure's SVG for a page: without the XML prolog, and with ids that are unique on the page."""
    text = (folder / f"{figure.name}.svg").read_text(encoding="utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{figure.name}-', text)
    text = re.sub(r"url\(#", f"url(#{figure.name}-", text)
    text = re.sub(r'href="#', f'href="#{figure.name}-', text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # A narrow figure stays narrow, so that text has one size on the whole page.
    share = min(1.0, float(re.search(r'width="([\d.]+)pt"', text)[1]) / FULL_WIDTH)  # type: ignore[index]
    width = f"width: {100 * share:.0f}%; min-width: {SMALLEST_WIDTH * share:.0f}rem"
    return text.replace("<svg ", f'<svg role="img" style="{width}" ', 1)


def _run(row: dict[Any, Any]) -> dict[str, str]:
    shown = {name: str(row[name]) for name in ("label", "task", "size", "seed", "status", "error", "traceback")}
    numbers = {"score": row["score"], "dev": row["dev"], "seconds": row["total_seconds"]}
    return shown | {name: "" if math.isnan(value) else f"{value:.1f}" for name, value in numbers.items()}


def _environment(records: Any) -> list[tuple[str, str]]:
    """Names and values in the runs' environments; if values differ between runs, all are listed."""
    values: dict[str, Counter[str]] = {}
    count = 0
    for record in records:
        count += 1
        for name, value in (record.get("environment") or {}).items():
            packages = value.items() if name == PACKAGES and isinstance(value, dict) else [(name, value)]
            for key, content in packages:
                values.setdefault(key, Counter())[content if isinstance(content, str) else json.dumps(content)] += 1
    return [(name.replace("_", " "), _listed(name, counts, count)) for name, counts in sorted(values.items())]


def _listed(name: str, counts: Counter[str], runs: int) -> str:
    if name == "time":
        return f"{min(counts)} to {max(counts)}"
    if unknown := runs - counts.total():
        counts = counts | Counter({"not recorded": unknown})
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({counted(count, 'run')})" for value, count in sorted(counts.items()))


def _commands(suite: str, command: str) -> list[str]:
    made = [f"python -m runners {verb} --suite {suite}" for verb in ("collect", "figures", "report")]
    return [*([command] if command else []), *made]
