"""The sources of a run's randomness, their seeds, and published lists of seeds. Imports no torch."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import cycle, islice, product

PRESETS: dict[str, tuple[int, ...]] = {
    "agwm": (1017, 4803, 6757, 9618, 10290, 11799, 19189, 28104, 29576, 31511),
    "childtuning": (42, 52, 57, 63, 78, 96, 127, 140, 298, 375),
    "tuning": (70001, 70002, 70003, 70004, 70005),
}
"""Seeds of the AGWM authors (first commit of their run_mlo.sh) and of Child-Tuning (AliceMind, answer to issue 24).

The "tuning" seeds are for choosing settings, and are refused in every suite that reports test scores.
"""


@dataclass(frozen=True)
class Seeds:
    """The seeds of all sources of randomness in one run.

    subset: which examples train and which form the dev set; head: the initial weights of the new head; order: the
    batches of each epoch; dropout: the masks of each step; method: everything that a method draws for itself (splits,
    noise, weight masks).
    """

    subset: int
    head: int
    order: int
    dropout: int
    method: int

    @classmethod
    def of(cls, seed: int, sources: Mapping[str, int] | None = None) -> "Seeds":
        """Return one seed for all sources, except those that are named.

        Raises:
            ValueError: A source is unknown.
        """
        named = dict(sources or {})
        unknown = sorted(set(named) - set(SOURCES))
        if unknown:
            raise ValueError(f"seeds: unknown source '{unknown[0]}'; known: {', '.join(SOURCES)}")
        return cls(**{source: named.get(source, seed) for source in SOURCES})


SOURCES = tuple(source.name for source in fields(Seeds))
REST = "rest"
"""Means all sources that are not named."""


def share_seeds(runs: Sequence[Seeds]) -> bool:
    """Whether two of these runs share the seed of some source, so that their scores depend on each other."""
    return any(len({getattr(of_run, source) for of_run in runs}) < len(runs) for source in SOURCES)


def combined(lists: Mapping[str, Sequence[int]], crossed: bool) -> dict[int, dict[str, int]]:
    """Return the runs of a design that has its own seeds for each source.

    Args:
        lists: Seeds by source or `rest`.
        crossed: Whether to combine every seed of each list with every other; otherwise the first ones form a run, then
            the second ones and so on, and a list of one seed is used for all runs.

    Returns:
        The seeds of all sources, by the number that pairs the runs. This number does not change when the design grows.
        If all sources have the same seed, it is that seed, and the mapping is empty: the run is then the same as the
        one with this seed in any other suite.

    Raises:
        ValueError: A source is unknown or has no seed, or the lists have different lengths.
    """
    unknown = [name for name in lists if name not in (*SOURCES, REST)]
    if unknown:
        raise ValueError(f"unknown source '{unknown[0]}'; known: {', '.join((*SOURCES, REST))}")
    missing = [source for source in SOURCES if source not in lists]
    if missing and REST not in lists:
        raise ValueError(f"no seed for {', '.join(missing)}; add '{REST}: ...' for all that are not named")
    if not missing and REST in lists:
        raise ValueError(f"every source is named, so nothing is left for '{REST}'; leave it out")
    length = max(len(seeds) for seeds in lists.values())
    if not crossed and any(len(seeds) not in (1, length) for seeds in lists.values()):
        counts = ", ".join(f"{name} {len(seeds)}" for name, seeds in lists.items())
        raise ValueError(f"a run takes one seed of each source: give the same number of each, or one for all: {counts}")
    rows = product(*lists.values()) if crossed else zip(*(cycle(seeds) for seeds in lists.values()), strict=False)
    named = [dict(zip(lists, row, strict=True)) for row in (rows if crossed else islice(rows, length))]
    runs: dict[int, dict[str, int]] = {}
    for seeds_of_run in named:
        sources = {source: seeds_of_run.get(source, seeds_of_run.get(REST, 0)) for source in SOURCES}
        number = _number(sources)
        if number in runs:
            raise ValueError(f"two runs would have the number {number}; change one of the seeds {sources}")
        runs[number] = sources if len(set(sources.values())) > 1 else {}
    return runs


def _number(sources: dict[str, int]) -> int:
    if len(set(sources.values())) == 1:
        return sources[SOURCES[0]]
    text = "/".join(f"{source}={seed}" for source, seed in sources.items())
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10**9
