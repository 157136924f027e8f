"""The cases of reference numbers, and how far the implementations are from them.

A folder describes its cases in cases.json and holds their arrays in cases.npz, as <case>/<array>, or in a <case>.npz
each. `pytest --golden FOLDER` takes those of another folder. Tests choose their cases by patterns of names (`cases`),
and read every setting, shape and tolerance from the description.
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
"""The cases that belong to the project: those of the mixup, and those of the other methods."""
LIST, ARRAYS = "cases.json", "cases.npz"
HELD_BY_THEIR_TESTS = ("spd_*", "vibert_*", "bidora_*", "setfit_*")
"""Cases whose tests compare with the tolerance of the case but note nothing."""


@dataclass
class Chosen:
    """Where parity tests read their cases; tests/conftest.py sets it before it collects them."""

    folders: tuple[Path, ...] = OWN


CHOSEN = Chosen()


@cache
def descriptions(folders: tuple[Path, ...]) -> dict[str, dict[str, Any]]:
    """The description of every case in these folders, by name, with the folder of its arrays.

    Raises:
        FileNotFoundError: A folder has no cases.json.
    """
    found = {}
    for folder in folders:
        if not (folder / LIST).is_file():
            raise FileNotFoundError(f"{folder}: there is no {LIST}, which describes the cases")
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
        found |= {entry["name"]: entry | {"folder": str(folder)} for entry in listed}
    return found


def measured() -> set[str]:
    """The project's own cases whose largest difference is noted; the tests of the others hold theirs themselves."""
    return {name for name in descriptions(OWN) if not any(fnmatch(name, pattern) for pattern in HELD_BY_THEIR_TESTS)}


def cases(*patterns: str, but: str = "") -> list[str]:
    """Names in the chosen folder that match one of the patterns and not the other one, in the folder's order."""
    names = descriptions(CHOSEN.folders)
    return [name for name in names if any(fnmatch(name, one) for one in patterns) and not fnmatch(name, but)]


class Case:
    """One case: hyperparameters, tolerances, arrays. folders: the chosen ones if not given."""

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
        """The tolerance for numbers of this kind: of the entry that names it, else of the one for all.

        `exact` is 0; `exact (variant: 1e-7)` is the number in a case of this variant.
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
    """A case of the project's own, for tests that need some numbers and compare with no reference."""
    return Case(name, OWN)


@dataclass
class Parity:
    """The largest difference in every case, as the tests find it."""

    found: dict[str, dict[str, float]] = field(default_factory=dict)

    def __call__(self, case: Case, difference: float, tolerance: float) -> None:
        """Note a difference, and fail where it is above the tolerance (or not a number)."""
        largest = self.found.setdefault(case.name, {"difference": 0.0, "tolerance": tolerance})
        if not difference <= largest["difference"]:
            largest |= {"difference": float(difference), "tolerance": float(tolerance)}
        assert difference <= tolerance, f"{case.name}: {difference:.3g} > {tolerance:.3g}"

    def text(self) -> str:
        """The file: one line for each case, differences to two digits."""
        lines = [
            f'  "{name}": {{"difference": {one["difference"]:.1e}, "tolerance": {one["tolerance"]:.1e}}}'
            for name, one in sorted(self.found.items())
        ]
        return "{\n" + ",\n".join(lines) + "\n}\n"
