"""The tables that are stored as text in tests/results/golden, one file per format.

Remake them with: python -m pytest tests/results/test_tables.py --write-tables.
"""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from helpers import synthetic_records
from results.loading.frame import load
from results.tabulating import render
from results.tabulating.collect import make_tables
from results.tabulating.table import BEST, SECOND, Cell, Column, Table

FOLDER = Path(__file__).resolve().parents[1] / "results" / "golden"
SPECIAL = Table(
    name="special",
    title="50% of R&D_costs",
    caption="Ties, missing cells & special characters: # $ % ~ ^ { } \\ <b> | * `.",
    columns=(
        Column("Method"),
        Column("A_1", "F1", ".1f", group="Group & one"),
        Column("B%", "F1", "+.2f", group="Group & one"),
        Column("Time", "", ".2f", "×", notes=("a header's note",)),
    ),
    rows=(
        (Cell("Majority"), Cell(50.04), Cell(-0.001), Cell(None)),
        (Cell("child_tuning"), Cell(81.25, 0.5, 4, BEST, "*†"), Cell(-1.5), Cell(1.0)),
        (
            Cell("<script>alert(1)</script>"),
            Cell(81.2499, 1.0, None, BEST),
            Cell(float("nan"), notes=("a & b",)),
            Cell(2.5),
        ),
        (Cell("a|b"), Cell(80.0, float("nan"), None, SECOND), Cell(2.25, notes=("a & b", "50 %")), Cell(0.333)),
    ),
    rules=frozenset({0}),
    notes=("* differs; α = 0.05 ± 0.01.",),
    banner="for trying, not evidence",
)

SUITES = {
    "failures": synthetic_records.Suite(
        name="failures",
        tasks=("cola", "rte", "qnli"),
        methods=("vanilla", "agwm", "child_tuning", "r&d"),
        seeds=(1, 2, 3, 4, 5, 6, 7),
        gains={"agwm": 6.0},
        note="embedded tasks: for trying the suite, not evidence",
        outcomes={
            ("child_tuning", "cola", 1): "failed",
            ("child_tuning", "cola", 2): "diverged",
            ("r&d", "rte", 1): "oom",
        },
        left_out=(("r&d", "rte", 2), *(("child_tuning", "qnli", seed) for seed in range(1, 8))),
    ),
    "sizes": synthetic_records.Suite(
        name="sizes",
        tasks=("rte", "mrpc"),
        methods=("vanilla", "agwm", "mixout"),
        sizes=(300, 1000, None),
        seeds=(1, 2, 3, 4, 5, 6, 7),
        encoder="bert-large",
    ),
    "elsewhere": synthetic_records.Suite(
        name="elsewhere",
        tasks=("rte", "sst2"),
        methods=("vanilla", "agwm", "mix_out", "r&d"),
        seeds=(1, 2, 3, 4, 5, 6, 7),
        gains={"agwm": 6.0},
        others={"snli": ("rte",), "sci_tail": ("rte",)},
        outcomes={("mix_out", "rte", 1): "failed", ("r&d", "rte", 1): "oom"},
        left_out=(("r&d", "rte", 2),),
    ),
    "few-seeds": synthetic_records.Suite(
        name="few-seeds", methods=("vanilla", "agwm"), seeds=(1, 2, 3), gains={"agwm": 9.0}
    ),
    "one-method": synthetic_records.Suite(name="one-method", tasks=("rte",), methods=("vanilla",)),
    "nothing-run": synthetic_records.Suite(
        name="nothing-run",
        tasks=("rte",),
        methods=("vanilla", "agwm"),
        seeds=(1, 2),
        left_out=tuple((method, "rte", seed) for method in ("vanilla", "agwm") for seed in (1, 2)),
    ),
}


STORED = {
    "failures": None,
    "sizes": ("sizes", "published"),
    "elsewhere": ("out-of-domain-n100",),
    "few-seeds": ("main-n100", "against-vanilla-n100", "stability-n100"),
    "one-method": ("main-n100", "stability-n100"),
    "nothing-run": ("main-n100",),
}
"""Tables of each suite that are stored; None for all of them."""


def suite_tables(name: str) -> dict[str, Table]:
    """All tables of one of the suites above, by name."""
    with tempfile.TemporaryDirectory() as folder:
        layout = synthetic_records.write(SUITES[name], Path(folder))
        return {table.name: table for table in make_tables(load(name, layout))}


@cache
def tables() -> tuple[Table, ...]:
    """The special table, and those of the suites that are stored."""
    found = [SPECIAL]
    for suite, names in STORED.items():
        tables_by_name = suite_tables(suite)
        found += [tables_by_name[name] for name in (names or tables_by_name)]
    return tuple(found)


TEXTS: dict[str, Callable[[], str]] = {
    "tables.md": lambda: "\n".join(map(render.markdown, tables())),
    "tables.tex": lambda: "\n".join(map(render.latex, tables())),
    "tables.csv": lambda: render.csv_text(SPECIAL),
    "tables.html": lambda: render.html_table(SPECIAL),
}
"""Content by file name: the stored tables in Markdown and LaTeX, and the special one in CSV and HTML as well."""
