"""Cases of official reference numbers, and the differences of the implementations from them.

A folder describes its cases in cases.json and stores their arrays in cases.npz, as <case>/<array>, or in one <case>.npz
per case. `pytest --golden FOLDER` uses another folder. Tests select cases by name patterns (`cases`) and read all
settings, shapes and tolerances from the description.
"""

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import torch

TESTS = Path(__file__).parents[1]
OWN = (TESTS / "amix" / "golden", TESTS / "baselines" / "parity" / "golden")
"""Folders of the project's own cases: the mixup's, and the other methods'."""
LIST, ARRAYS = "cases.json", "cases.npz"


@dataclass
class Chosen:
    """Folders of the cases that parity tests use; tests/conftest.py sets it before collection."""

    folders: tuple[Path, ...] = OWN


CHOSEN = Chosen()


@cache
def descriptions(folders: tuple[Path, ...]) -> dict[str, dict[str, Any]]:
    """Descriptions of all cases in these folders, by name, with the folder of the arrays.

    Raises:
        FileNotFoundError: If a folder has no cases.json.
    """
    entries: dict[str, dict[str, Any]] = {}
    for folder in folders:
        if not (folder / LIST).is_file():
            raise FileNotFoundError(f"{folder}: there is no {LIST}, which describes the cases")
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
        entries |= {entry["name"]: entry | {"folder": str(folder)} for entry in listed}
    return entries


def cases(*patterns: str, but: str = "") -> list[str]:
    """Names of the cases that match one of the patterns and not `but`, in the folder's order."""
    names = descriptions(CHOSEN.folders)
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns) and not fnmatch(name, but)]


class Case:
    """One case: hyperparameters, tolerances and arrays.

    Args:
        name: Of the case.
        folders: Folders to look in; None for the chosen ones.
    """

    def __init__(self, name: str, folders: tuple[Path, ...] | None = None) -> None:
        self.name = name
        entry = json.loads(json.dumps(descriptions(folders or CHOSEN.folders)[name]))  # A test may change its copy.
        self.hyperparameters: dict[str, Any] = entry["hyperparameters"]
        self.tolerance: dict[str, Any] = entry["tolerance"]
        self.arrays = _arrays(Path(entry["folder"]), name)

    def tensor(self, key: str) -> torch.Tensor:
        return torch.from_numpy(self.arrays[key].copy())

    def group(self, prefix: str) -> dict[str, torch.Tensor]:
        return {key[len(prefix) :]: self.tensor(key) for key in self.arrays if key.startswith(prefix)}

    def batch(self, prefix: str, iteration: int | None = None) -> dict[str, torch.Tensor]:
        return {k: v if iteration is None else v[iteration] for k, v in self.group(f"{prefix}/").items()}

    def limit(self, kind: str) -> float:
        """Tolerance for numbers of this kind, from the entry that names the kind, or else from `all`.

        `exact` means 0; `exact (variant: 1e-7)` means 1e-7 in cases of this variant and 0 in others.
        """
        named = {part.strip(): value for parts, value in self.tolerance.items() for part in parts.split(",")}
        value = named[kind] if kind in named else named["all"]
        if isinstance(value, int | float):
            return float(value)
        words = re.fullmatch(r"exact(?: \((\w+): ([\d.e-]+)\))?", value)
        assert words, f"{self.name}: the tolerance of {kind} is {value!r}"
        return float(words[2]) if words[1] and words[1] in self.name else 0.0


def _arrays(folder: Path, name: str) -> dict[str, numpy.ndarray]:
    together = (folder / ARRAYS).is_file()
    start = f"{name}/" if together else ""
    with numpy.load(folder / (ARRAYS if together else f"{name}.npz"), allow_pickle=False) as arrays:
        return {key.removeprefix(start): arrays[key] for key in arrays.files if key.startswith(start)}


def own_case(name: str) -> Case:
    """One of the project's own cases, for tests that use its numbers without a comparison."""
    return Case(name, OWN)


@dataclass
class Parity:
    """Records the largest difference in every case."""

    found: dict[str, dict[str, float]] = field(default_factory=dict)

    def __call__(self, case: Case, difference: float, tolerance: float) -> None:
        """Record a difference, and fail if it is above the tolerance or not a number."""
        largest = self.found.setdefault(case.name, {"difference": 0.0, "tolerance": tolerance})
        if not difference <= largest["difference"]:
            largest |= {"difference": float(difference), "tolerance": float(tolerance)}
        assert difference <= tolerance, f"{case.name}: {difference:.3g} > {tolerance:.3g}"

    def text(self) -> str:
        """JSON with one line per case, differences to two digits."""
        lines = [
            f'  "{name}": {{"difference": {entry["difference"]:.1e}, "tolerance": {entry["tolerance"]:.1e}}}'
            for name, entry in sorted(self.found.items())
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"
