"""A suite file as its author writes it: every field, its type and its purpose. The JSON schema is derived from this."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    TypeAdapter,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from amix.specs.data_errors import shown
from amix.specs.encoders import ENCODERS, EncoderEntry
from amix.specs.protocol import Protocol, Tuning
from amix.specs.recipe import Recipe
from amix.specs.safe_names import safe_name
from amix.specs.spec_model import Count, OneOrMore, SpecModel, refuse_repeated
from amix.specs.suggestions import nearest
from amix.specs.tasks import TASKS
from runners.planning.seeds import SeedDesign, Seeds, design_of

PAPER, TUNED = "paper", "tuned"


def printable(text: str) -> str:
    """The text itself.

    Raises:
        ValueError: it holds control characters, which would act on a terminal instead of being shown.
    """
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError(f"a text without control characters is needed, found {shown(text)}")
    return text


def _empty_if_none(content: Any) -> Any:
    """Treat a field without a value as empty."""
    return {} if content is None else content


def _size_kind(size: Any) -> str:
    if isinstance(size, Mapping):
        return "(by task)"
    return "(full)" if size is None or isinstance(size, str) else "(count)"


def _changes(changes: dict[str, Any]) -> dict[str, Any]:
    """Changes to a recipe; ValueError for a change that no recipe allows."""
    Recipe().with_changes(changes)
    return changes


class _RecipeSchema:
    """Adds the settings of a recipe to the JSON schema."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        properties = TypeAdapter(Recipe).json_schema()["properties"]
        return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


class _RowsSchema:
    """Adds to the JSON schema that rows are a mapping, a list or a single name."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        by_label = handler(schema)
        row = {"anyOf": [by_label["additionalProperties"], {"type": "null"}]}
        by_label = {**by_label, "additionalProperties": row}
        name = {"type": "string"}
        return {"anyOf": [name, {"type": "array", "items": {"anyOf": [name, by_label]}, "minItems": 1}, by_label]}


def _encoder_kind(content: Any) -> str:
    return "(description)" if isinstance(content, Mapping | EncoderEntry) else "(name)"


Text = Annotated[str, AfterValidator(printable)]
RecipeChanges = Annotated[dict[str, Any], BeforeValidator(_empty_if_none), AfterValidator(_changes), _RecipeSchema()]
AddedSeeds = Annotated[OneOrMore[int], AfterValidator(refuse_repeated)]
SizeEntry = Annotated[
    Annotated[Count, Tag("(count)")]
    | Annotated[Literal["full"] | None, Tag("(full)")]
    | Annotated[dict[str, Count], Tag("(by task)")],
    Discriminator(_size_kind),
]
EncoderField = Annotated[
    Annotated[str, Field(min_length=1), Tag("(name)")] | Annotated[EncoderEntry, Tag("(description)")],
    Discriminator(_encoder_kind),
]


class RowEntry(SpecModel):
    """A row of the tables: its method, and by name the settings that differ from the method's defaults."""

    model_config = ConfigDict(extra="allow")

    method: Annotated[str, Field(min_length=1)] | None = None
    """Name of a method, or path/to/file.py:ClassName; default: the row's label."""
    seeds: int | None = None
    """The row runs with this many of the suite's seeds, the first ones; default: all."""
    training: RecipeChanges = {}
    """What this row alone changes in the recipe."""
    exploratory: bool = False
    """The row was added after scores had been seen."""
    exploratory_seeds: AddedSeeds = Field(default=(), validate_default=False)
    """Seeds of the row that were added after scores had been seen."""
    grid: Annotated[dict[str, OneOrMore[Any]], BeforeValidator(_empty_if_none)] = {}
    """Values for a tuning to try, for settings and the recipe, instead of the method's own grid."""

    @property
    def settings(self) -> dict[str, Any]:
        """The method's settings."""
        return dict(self.model_extra or {})


def _rows(content: Any) -> Any:
    """Rows by label, from any of the ways to write them: a list, a mapping, a single name."""
    if isinstance(content, Mapping):
        items = list(content.items())
    else:
        items = []
        for item in content if isinstance(content, list | tuple) else [content]:
            items += item.items() if isinstance(item, Mapping) else [(item, None)]
    for label, _ in items:
        if not isinstance(label, str) or not label.strip():
            raise ValueError(f"labels are texts (numbers, yes and no need quotes), found {shown(label)}")
        if not label.isprintable():
            raise ValueError(f"labels are texts on one line without control characters, found {shown(label)}")
    refuse_repeated(tuple(label for label, _ in items))
    return {label: _empty_if_none(settings) for label, settings in items}


class SuiteFile(SpecModel):
    """A comparison: which methods, on which tasks and sizes, with which seeds, by which protocol."""

    name: Annotated[str, AfterValidator(safe_name)]
    """Name of the folders of its records, tables and figures; default: the file's name."""
    title: Text = ""
    """Title of its tables and its page."""
    note: Text = ""
    """What readers must know before they trust a number."""
    encoder: Annotated[EncoderField, Field(examples=list(ENCODERS))]
    """Alias of an encoder, Hub id or folder; or the description of an encoder."""
    tasks: Annotated[OneOrMore[str], AfterValidator(refuse_repeated), Field(examples=list(TASKS))]
    """Names of tasks, and YAML files that describe your own."""
    sizes: Annotated[OneOrMore[SizeEntry], AfterValidator(refuse_repeated)] = (None,)
    """Numbers of training examples, or `full`; or one mapping with a number for each task."""
    seeds: Seeds
    """A list, a preset, or a list for each source of randomness."""
    exploratory_seeds: AddedSeeds = Field(default=(), validate_default=False)
    """Seeds that were added after scores had been seen."""
    methods: Annotated[dict[str, RowEntry], Field(min_length=1), BeforeValidator(_rows), _RowsSchema()]
    """The rows: names of methods, or labels with settings. `all` stands for one row per method of the project."""
    protocol: Annotated[Protocol, BeforeValidator(_empty_if_none)] = Protocol()
    """Decisions made before any score is seen; the reference defaults to the first row."""
    training: RecipeChanges = {}
    """What differs from the encoder's recipe."""
    subset: Literal["uniform", "stratified", "balanced"] = "uniform"
    """How training examples are drawn: as they come, with the classes' shares kept, or as many of every class."""
    out_of_domain: Annotated[
        Annotated[OneOrMore[str], AfterValidator(refuse_repeated)] | None,
        BeforeValidator(lambda names: None if names == [] else names),
    ] = None
    """Additional sets that finished models are scored on."""
    hyperparameters: str = PAPER
    """`paper`, `tuned` (the encoder's file), or a file of tuned settings, relative to this one: read, or written by a
    suite that tunes."""
    # An empty field must not turn a suite that tunes into one that reports.
    tuning: Annotated[Tuning | None, BeforeValidator(_empty_if_none)] = None
    """If given, the suite chooses settings and reports nothing."""
    footnotes: Annotated[dict[str, Text], BeforeValidator(_empty_if_none)] = {}
    """What a reader must know about a task, by task."""
    reuse: Annotated[OneOrMore[str], AfterValidator(refuse_repeated)] = Field(default=(), validate_default=False)
    """Suites whose finished runs count here if they are the same runs."""

    @field_validator("sizes")
    @classmethod
    def _one_mapping(cls, sizes: tuple[Any, ...]) -> tuple[Any, ...]:
        mixed = [size for size in sizes if isinstance(size, dict)]
        if mixed and len(sizes) > 1:
            raise ValueError(f"with several sizes each must be a whole number, found {shown(mixed[0])}")
        return sizes

    @field_validator("hyperparameters")
    @classmethod
    def _source_of_settings(cls, source: str) -> str:
        if source not in (PAPER, TUNED) and not source.endswith((".yaml", ".yml")):
            raise ValueError(f"unknown '{source}'; {nearest(source, (PAPER, TUNED))} or a .yaml file")
        return source

    @model_validator(mode="after")
    def _declared_seeds_exist(self) -> Self:
        seeds = self.design.seeds
        check_added(self.exploratory_seeds, seeds, "exploratory_seeds")
        try:
            self.protocol.fitting(len(seeds))
        except ValueError as error:
            raise ValueError(f"protocol: {error}") from error
        return self

    @property
    def design(self) -> SeedDesign:
        """The seeds, and those of each source of randomness."""
        return design_of(self.seeds)


def check_added(added: tuple[int, ...], seeds: tuple[int, ...], where: str) -> None:
    """Refuse exploratory seeds that are not among the seeds that are run.

    Raises:
        ValueError: the first of them, and the seeds that there are.
    """
    unknown = [seed for seed in added if seed not in seeds]
    if unknown:
        raise ValueError(f"{where}: {unknown[0]} is none of the seeds; they are {', '.join(map(str, seeds))}")


def suite_file(content: dict[str, Any], path: Path) -> SuiteFile:
    """The file's content as a SuiteFile.

    Raises:
        pydantic.ValidationError: the content does not describe a suite.
    """
    return SuiteFile.model_validate({"name": path.stem, **content})
