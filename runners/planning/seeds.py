"""The forms of `seeds:` in a suite: a list, a published list, or a list for each source of randomness."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias, Union

from pydantic import AfterValidator, Discriminator, Field, Tag, TypeAdapter, ValidationError

from amix.specs.data_errors import shown
from amix.specs.seed_sources import PRESETS, REST, SOURCES, combined
from amix.specs.spec_model import OneOrMore, SpecModel, problem, refuse_repeated
from amix.specs.suggestions import nearest

CROSSED = "crossed"


@dataclass(frozen=True)
class SeedDesign:
    """The seeds of a suite and, for those that stand for several, the seed of each source of randomness."""

    seeds: tuple[int, ...]
    sources: Mapping[int, dict[str, int]] = field(default_factory=dict)


class PresetSeeds(SpecModel):
    """A published list of seeds, or its first few."""

    preset: str = Field(json_schema_extra={"enum": list(PRESETS)})
    """Name of the list."""
    first: int | None = None
    """How many seeds of the list; default: all."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds themselves.

        Raises:
            ValueError: the list does not exist or is shorter.
        """
        if self.preset not in PRESETS:
            raise ValueError(f"unknown preset of seeds {shown(self.preset)}; {nearest(self.preset, PRESETS)}")
        seeds = PRESETS[self.preset]
        first = len(seeds) if self.first is None else self.first
        if not 1 <= first <= len(seeds):
            raise ValueError(f"first must be between 1 and {len(seeds)}, the size of preset '{self.preset}': {first}")
        return seeds[:first]


SeedEntry: TypeAlias = tuple[int, ...] | str | PresetSeeds
DesignEntry: TypeAlias = Union[SeedEntry, Mapping[str, SeedEntry], "CrossedSeeds"]


def _kind(content: Any) -> str:
    """The form in which a list of seeds is given."""
    if isinstance(content, Mapping):
        return "(first of a preset)"
    return "(preset)" if isinstance(content, str) else "(list)"


def _design_kind(content: Any) -> str:
    if not isinstance(content, Mapping) or not {CROSSED, REST, *SOURCES} & set(content):
        return "(the same for all sources)"
    return "(crossed)" if CROSSED in content else "(by source)"


def _possible_list(entry: SeedEntry) -> SeedEntry:
    seeds_of(entry)
    return entry


def _possible_design(entry: DesignEntry) -> DesignEntry:
    design_of(entry)
    return entry


SeedList = Annotated[
    Annotated[OneOrMore[int], AfterValidator(refuse_repeated), Tag("(list)")]
    | Annotated[str, Tag("(preset)")]
    | Annotated[PresetSeeds, Tag("(first of a preset)")],
    Discriminator(_kind),
    AfterValidator(_possible_list),
]
"""A list of seeds in any of its forms."""


class CrossedSeeds(SpecModel):
    """Every combination of the seeds of several sources."""

    crossed: dict[str, SeedList]
    """Seeds by source of randomness; `rest` stands for all sources that are not named."""


Seeds = Annotated[
    Annotated[SeedList, Tag("(the same for all sources)")]
    | Annotated[dict[str, SeedList], Tag("(by source)")]
    | Annotated[CrossedSeeds, Tag("(crossed)")],
    Discriminator(_design_kind),
    AfterValidator(_possible_design),
]
"""The field `seeds:` of a suite file."""
_SEED_LIST: TypeAdapter[SeedEntry] = TypeAdapter(SeedList, config={"strict": True})


def seeds_of(entry: SeedEntry) -> tuple[int, ...]:
    """The seeds of a list in any of its forms.

    Raises:
        ValueError: a preset does not exist or is shorter.
    """
    if isinstance(entry, tuple):
        return entry
    return (PresetSeeds(preset=entry) if isinstance(entry, str) else entry).seeds


def design_of(entry: DesignEntry) -> SeedDesign:
    """The seeds of a suite, and those of each source of randomness.

    Raises:
        ValueError: the design is not possible.
    """
    if isinstance(entry, Mapping):
        lists, crossed = entry, False
    elif isinstance(entry, CrossedSeeds):
        lists, crossed = entry.crossed, True
    else:
        return SeedDesign(seeds_of(entry))
    sources = combined({source: seeds_of(seeds) for source, seeds in lists.items()}, crossed)
    return SeedDesign(tuple(sources), sources)


def chosen_seeds(content: Any) -> tuple[int, ...]:
    """Seeds from a list, a preset's name, or {preset: name, first: k}.

    Raises:
        ValueError: what is wrong with them, in one line.
    """
    try:
        return seeds_of(_SEED_LIST.validate_python(content))
    except ValidationError as error:
        raise ValueError(f"seeds: {problem(error)}") from error
