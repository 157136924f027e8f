"""Where records, tables, figures and pages are."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = "figures.json"
"""The file in a folder of figures with their names, titles and captions."""


@dataclass(frozen=True)
class Layout:
    """The folders of one output tree; with `out` None, the project's own, in results and paper_figures."""

    out: Path | None = None

    @property
    def records(self) -> Path:
        """Folder of all suites' records, with one subfolder per suite."""
        return self.out / "records" if self.out else ROOT / "results" / "records"

    def archive(self, suite: str) -> Path:
        """The Parquet file that holds a suite's plan, records and predictions."""
        return self.records / f"{suite}.parquet"

    def plan(self, suite: str) -> Path:
        """The suite's plan, written by the sweep."""
        return self.records / suite / "plan.json"

    def tables(self, suite: str) -> Path:
        """Folder of the suite's tables."""
        return (self.out / "tables" if self.out else ROOT / "results" / "tables") / suite

    def figures(self, suite: str) -> Path:
        """Folder of the suite's figures."""
        return (self.out / "figures" if self.out else ROOT / "paper_figures" / "output") / suite

    def page(self, suite: str) -> Path:
        """The suite's HTML page."""
        return self.out / f"report-{suite}.html" if self.out else self.figures(suite) / "report.html"

    def suites(self) -> list[str]:
        """Sorted names of the suites that have a plan or an archive here."""
        planned = {path.parent.name for path in self.records.glob("*/plan.json")}
        return sorted(planned | {path.stem for path in self.records.glob("*.parquet")})
