"""Measure how long tables and page of ten thousand records take, without importing torch.

    python tests/helpers/bench_results.py [folder]

Targets on one idle core: tables in 5 s, page in 20 s.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[1:3]]

from helpers import synthetic_records
from paper_figures.page.report import write
from results.loading.frame import pack
from results.loading.layout import Layout
from results.tabulating.collect import collect

SUITE = synthetic_records.Suite(
    name="large",
    tasks=tuple(synthetic_records.TASKS),
    methods=("vanilla", "agwm", *(f"method {number}" for number in range(3, 26))),
    sizes=(300, 500, 1000),
    seeds=tuple(range(1, 18)),
)


def timed(name: str, work: Callable[[], object]) -> None:
    """Run the work and print how many seconds it took."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    print(f"{name}: {time.process_time() - processor:.1f} s of processor time, {time.perf_counter() - wall:.1f} s")


def main(folder: Path) -> None:
    """Create the records if the folder has none yet, then make tables and page from their archive."""
    layout = Layout(folder / "from-archive")
    if not layout.archive(SUITE.name).exists():
        layout.records.mkdir(parents=True)
        pack(SUITE.name, synthetic_records.write(SUITE, folder)).rename(layout.archive(SUITE.name))
    timed("tables", lambda: collect(SUITE.name, layout))
    timed("page", lambda: write(SUITE.name, layout))
    if "torch" in sys.modules:
        raise SystemExit("torch was imported")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
