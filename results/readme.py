"""The part of README that comes from records: kept between two markers, remade from a suite's tables."""

from pathlib import Path

from results.answer import answer
from results.frame import Results
from results.render import markdown
from results.table import Table


class ReadmeError(ValueError):
    """A README without the place that is to be filled."""


def summary(results: Results, tables: tuple[Table, ...]) -> str:
    """A suite's answer and main tables as Markdown."""
    answers = [" ".join(answer(results, size)) for size in dict.fromkeys(results.runs["size"])]
    main = [markdown(table) for table in tables if table.name.startswith("main")]
    return "\n\n".join([*answers, *main])


def refresh(readme: Path, suite: str, content: str) -> bool:
    """Put the content between `<!-- suite -->` and `<!-- /suite -->`; returns whether that changed the file.

    Errors: ReadmeError when the markers are missing.
    """
    text = readme.read_text()
    opening, closing = f"<!-- {suite} -->\n", f"<!-- /{suite} -->"
    before, found, rest = text.partition(opening)
    _, closed, after = rest.partition(closing)
    if not found or not closed:
        raise ReadmeError(f"{readme} has no place for suite {suite}: add the lines {opening.strip()} and {closing}")
    renewed = f"{before}{opening}{content.strip()}\n{closing}{after}"
    if renewed != text:
        readme.write_text(renewed)
    return renewed != text
