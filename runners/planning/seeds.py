"""What `seeds:` can say in a suite: a list, a published list, or a list for each source of randomness."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Tag, TypeAdapter, ValidationError, field_validator

from amix.specs.seed_presets import PRESETS
from amix.specs.seed_sources import REST, SOURCES, combined
from amix.specs.spec_model import OneOrMore, SpecModel, problem, refuse_repeated
from amix.specs.suggestions import nearest

CROSSED = "crossed"


@dataclass(frozen=True)
class SeedDesign:
    """The seeds of a suite, and for those that stand for several the seed of each source of randomness."""

    seeds: tuple[int, ...]
    sources: Mapping[int, dict[str, int]] = field(default_factory=dict)


class PresetSeeds(SpecModel):
    """A published list of seeds, or its first few."""

    preset: str
    """Name of the list."""
    first: int | None = None
    """How many of it; all where nothing is said."""

    @field_validator("preset")
    @classmethod
    def _known(cls, preset: str) -> str:
        if preset not in PRESETS:
            raise ValueError(f"unknown preset of seeds '{preset}'; {nearest(preset, PRESETS)}")
        return preset

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds themselves."""
        return PRESETS[self.preset][: self.first]


def _within(entry: PresetSeeds) -> tuple[int, ...]:
    count = len(PRESETS[entry.preset])
    if entry.first is not None and not 1 <= entry.first <= count:
        raise ValueError(f"first must lie between 1 and {count}, the size of preset '{entry.preset}': {entry.first}")
    return entry.seeds


def _of_preset(name: str) -> tuple[int, ...]:
    return PresetSeeds(preset=name).seeds


def _kind(content: Any) -> str:
    """How these seeds are given, where sources do not matter."""
    if isinstance(content, Mapping):
        return "(first of a preset)"
    return "(preset)" if isinstance(content, str) else "(list)"


def _design_kind(content: Any) -> str:
    if not isinstance(content, Mapping) or not {CROSSED, REST, *SOURCES} & set(content):
        return "(the same for all sources)"
    return "(crossed)" if CROSSED in content else "(by source)"


SeedList = Annotated[
    Annotated[OneOrMore[int], AfterValidator(refuse_repeated), Tag("(list)")]
    | Annotated[str, AfterValidator(_of_preset), Tag("(preset)")]
    | Annotated[PresetSeeds, AfterValidator(_within), Tag("(first of a preset)")],
    Discriminator(_kind),
]
"""A list of seeds in any of its forms; the seeds themselves after validation."""


class CrossedSeeds(SpecModel):
    """Every combination of the seeds of several sources."""

    crossed: dict[str, SeedList]
    """Seeds by source of randomness, or `rest` for all that are not named."""


def _plain(seeds: tuple[int, ...]) -> SeedDesign:
    return SeedDesign(seeds)


def _side_by_side(lists: dict[str, tuple[int, ...]]) -> SeedDesign:
    return _design(combined(lists, crossed=False))


def _all_combinations(entry: CrossedSeeds) -> SeedDesign:
    return _design(combined(dict(entry.crossed), crossed=True))  # type: ignore[arg-type]


def _design(sources: dict[int, dict[str, int]]) -> SeedDesign:
    return SeedDesign(tuple(sources), sources)


Seeds = Annotated[
    Annotated[SeedList, AfterValidator(_plain), Tag("(the same for all sources)")]
    | Annotated[dict[str, SeedList], AfterValidator(_side_by_side), Tag("(by source)")]
    | Annotated[CrossedSeeds, AfterValidator(_all_combinations), Tag("(crossed)")],
    Discriminator(_design_kind),
]
"""What stands under `seeds:`; a SeedDesign after validation."""
_SEED_LIST: TypeAdapter[tuple[int, ...]] = TypeAdapter(SeedList, config={"strict": True})


def chosen_seeds(content: Any) -> tuple[int, ...]:
    """Seeds from a list, a preset's name, or {preset: name, first: k}; ValueError says what is wrong with them."""
    try:
        return _SEED_LIST.validate_python(content)
    except ValidationError as error:
        raise ValueError(f"seeds: {problem(error)}") from error
