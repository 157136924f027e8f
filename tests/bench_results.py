"""How long tables and page of ten thousand records take: python tests/bench_results.py [folder]. Imports no torch.

Targets on one idle core: tables in 5 s, page in 20 s.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import synthetic

from paper_figures.report import write
from results.collect import collect
from results.frame import pack
from results.layout import Layout

SUITE = synthetic.Suite(
    name="large",
    tasks=tuple(synthetic.TASKS),
    methods=("vanilla", "agwm", *(f"method {number}" for number in range(3, 26))),
    sizes=(300, 500, 1000),
    seeds=tuple(range(1, 18)),
)


def timed(what: str, work: Callable[[], object]) -> None:
    """Do the work and print its seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    print(f"{what}: {time.process_time() - processor:.1f} s of processor time, {time.perf_counter() - wall:.1f} s")


def main(folder: Path) -> None:
    """Make the records where the folder has none yet, then tables and page from their archive."""
    layout = Layout(folder / "from-archive")
    if not layout.archive(SUITE.name).exists():
        layout.records.mkdir(parents=True)
        pack(SUITE.name, synthetic.write(SUITE, folder)).rename(layout.archive(SUITE.name))
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
