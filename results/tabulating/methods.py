"""The table of the project's methods: where each comes from, what it costs, and how it was checked."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

from results.loading.layout import ROOT
from results.tabulating.table import Cell, Column, Table

PARITY = ROOT / "results" / "published" / "parity.json"
"""Largest difference and tolerance for every case of reference numbers, measured by `pytest --write-parity`."""
NAME = "methods"
"""Name of the table's files, and of its part in baselines/README.md."""


@dataclass(frozen=True)
class Entry:
    """One method: passes per update and per run relative to plain finetuning, trained share of all weights.

    The share is relative to the weights of the plain model, so it exceeds 1 if a method adds more than it freezes.
    It is None if the method cannot run on that encoder.
    """

    name: str
    kind: str
    year: int
    paper: str
    passes: float
    run_passes: float
    trained: float | None
    parity: str
    regression: bool


def measured_parity(words: str, patterns: Sequence[str]) -> str:
    """What the class says about parity, and the largest difference measured over its cases.

    Args:
        words: The method's `parity`.
        patterns: The method's `cases`, patterns of names.

    Returns:
        The words, followed by the number of cases and the largest relative difference, or 'equal'.

    Raises:
        ValueError: A pattern matches no case of the file.
    """
    differences = json.loads(PARITY.read_text()) if patterns else {}
    cases: set[str] = set()
    for pattern in patterns:
        matching = {name for name in differences if fnmatch(name, pattern)}
        if not matching:
            raise ValueError(f"{PARITY}: no case is named {pattern}: correct `cases`, or run pytest --write-parity")
        cases |= matching
    if not cases:
        return words
    largest = max(differences[name]["difference"] for name in cases)
    agreement = f"largest difference {largest:.0e}" if largest else "equal"
    return f"{words} ({len(cases)} case{'s' if len(cases) > 1 else ''}: {agreement})"


def registry_table(entries: Iterable[Entry], encoder: str, size: int) -> Table:
    """One row per method, in the order given."""
    rows = tuple(
        (
            Cell(entry.name, notes=() if entry.regression else ("not defined for regression",)),
            Cell(entry.kind),
            Cell(str(entry.year)),
            Cell(entry.paper),
            Cell(entry.passes),
            Cell(entry.run_passes),
            Cell(None if entry.trained is None else 100 * entry.trained),
            Cell(entry.parity or None),
        )
        for entry in entries
    )
    return Table(
        name=NAME,
        title="Methods",
        caption=(
            f"Passes: forward and backward, relative to plain finetuning, of one update and of a whole run on {size} "
            f"examples, as planned; trained: share of the weights of {encoder} with its head. Parity: agreement with "
            "the numbers of the official code (matched, with the number of cases and the largest relative difference, "
            "as measured by the tests), or why there is none."
        ),
        columns=(
            Column("Method"),
            Column("Kind", text=True),
            Column("Year", text=True),
            Column("Paper", text=True),
            Column("Passes", "per step", ".2f", "×"),
            Column("Passes", "per run", ".2f", "×"),
            Column("Trained", "% of all", ".3g"),
            Column("Parity", text=True),
        ),
        rows=rows,
        notes=("Made by: python -m runners methods",),
    )
