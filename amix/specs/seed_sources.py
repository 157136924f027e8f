"""Where a run's randomness comes from, and which seed each of these sources has. Imports no torch."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import cycle, islice, product


@dataclass(frozen=True)
class Seeds:
    """The seed of every source of randomness of one run.

    subset: which examples train and which are the dev set; head: the new head's first weights; order: the batches of
    each epoch; dropout: the masks of each step; method: everything that a method draws for itself (splits, noise,
    masks of weights).
    """

    subset: int
    head: int
    order: int
    dropout: int
    method: int

    @classmethod
    def of(cls, seed: int, sources: Mapping[str, int] | None = None) -> "Seeds":
        """One seed for all sources but those that are named.

        Raises:
            ValueError: a name is no source.
        """
        given = dict(sources or {})
        unknown = sorted(set(given) - set(SOURCES))
        if unknown:
            raise ValueError(f"seeds: unknown source '{unknown[0]}'; known: {', '.join(SOURCES)}")
        return cls(**{source: given.get(source, seed) for source in SOURCES})


SOURCES = tuple(one.name for one in fields(Seeds))
REST = "rest"
"""Stands for every source that is not named beside it."""


def combined(lists: Mapping[str, Sequence[int]], crossed: bool) -> dict[int, dict[str, int]]:
    """The runs of a design with seeds by source: the number that pairs each -> the seed of every source.

    That number does not change when a design grows. Where all sources have one seed it is that one and nothing else is
    said, so that the run is the one with that seed in any other suite.

    Args:
        lists: seeds by source or `rest`.
        crossed: every combination of the lists; otherwise the first of each, the second of each and so on, where a
            list of one seed holds for all.

    Raises:
        ValueError: a source is unknown or has no seed, or the lengths of the lists differ.
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
        raise ValueError(f"one run takes one seed of each source, so give as many of each, or one for all: {counts}")
    rows = product(*lists.values()) if crossed else zip(*(cycle(seeds) for seeds in lists.values()), strict=False)
    named = [dict(zip(lists, row, strict=True)) for row in (rows if crossed else islice(rows, length))]
    found: dict[int, dict[str, int]] = {}
    for one in named:
        sources = {source: one.get(source, one.get(REST, 0)) for source in SOURCES}
        number = _number(sources)
        if number in found:
            raise ValueError(f"two runs would have the number {number}; change one of the seeds {sources}")
        found[number] = sources if len(set(sources.values())) > 1 else {}
    return found


def _number(sources: dict[str, int]) -> int:
    if len(set(sources.values())) == 1:
        return sources[SOURCES[0]]
    text = "/".join(f"{source}={seed}" for source, seed in sources.items())
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10**9
