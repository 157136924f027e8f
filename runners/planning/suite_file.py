"""A suite's file as its author writes it: every field, its type and what it is for. The JSON schema is made of this."""

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
    """The text; ValueError where it holds characters that move a terminal's cursor instead of being seen."""
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError(f"a text without control characters is needed, found {shown(text)}")
    return text


def _nothing(content: Any) -> Any:
    """A field with nothing behind it is one that says nothing."""
    return {} if content is None else content


def _size_kind(size: Any) -> str:
    if isinstance(size, Mapping):
        return "(by task)"
    return "(full)" if size is None or isinstance(size, str) else "(count)"


def _changes(changes: dict[str, Any]) -> dict[str, Any]:
    """What differs from a recipe; ValueError for what no recipe can have."""
    Recipe().with_changes(changes)
    return changes


class _RecipeSchema:
    """Says in the JSON schema which settings a recipe has."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        properties = TypeAdapter(Recipe).json_schema()["properties"]
        return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


class _RowsSchema:
    """Says in the JSON schema that rows are a mapping, a list or one name."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        by_label = handler(schema)
        row = {"anyOf": [by_label["additionalProperties"], {"type": "null"}]}
        by_label = {**by_label, "additionalProperties": row}
        name = {"type": "string"}
        return {"anyOf": [name, {"type": "array", "items": {"anyOf": [name, by_label]}, "minItems": 1}, by_label]}


def _encoder_kind(content: Any) -> str:
    return "(description)" if isinstance(content, Mapping | EncoderEntry) else "(name)"


Text = Annotated[str, AfterValidator(printable)]
RecipeChanges = Annotated[dict[str, Any], BeforeValidator(_nothing), AfterValidator(_changes), _RecipeSchema()]
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
    """A row of the tables: which method, and the settings that differ from its defaults, by their names."""

    model_config = ConfigDict(extra="allow")

    method: Annotated[str, Field(min_length=1)] | None = None
    """Name of a method, or path/to/file.py:ClassName; the row's label where nothing is said."""
    seeds: int | None = None
    """The row runs with so many of the suite's seeds, the first ones; with all where nothing is said."""
    training: RecipeChanges = {}
    """What this row alone changes in the recipe."""
    exploratory: bool = False
    """The row was added after scores had been looked at."""
    exploratory_seeds: AddedSeeds = Field(default=(), validate_default=False)
    """Those of its seeds that were added after scores had been looked at."""
    grid: Annotated[dict[str, OneOrMore[Any]], BeforeValidator(_nothing)] = {}
    """Values that a tuning tries, of settings and of the recipe, in place of the method's own."""

    @property
    def settings(self) -> dict[str, Any]:
        """The method's settings."""
        return dict(self.model_extra or {})


def _rows(content: Any) -> Any:
    """Rows by label from any of the ways to write them: a list, a mapping, one name."""
    if isinstance(content, Mapping):
        items = list(content.items())
    else:
        items = []
        for item in content if isinstance(content, list | tuple) else [content]:
            items += item.items() if isinstance(item, Mapping) else [(item, None)]
    for label, _ in items:
        if not isinstance(label, str) or not label.strip():
            raise ValueError(f"labels are texts (a number, yes or no needs quotes), found {shown(label)}")
        if not label.isprintable():
            raise ValueError(f"labels are texts in one line without control characters, found {shown(label)}")
    refuse_repeated(tuple(label for label, _ in items))
    return {label: _nothing(settings) for label, settings in items}


class SuiteFile(SpecModel):
    """A comparison: which methods, on which tasks and sizes, with which seeds, by which protocol."""

    name: Annotated[str, AfterValidator(safe_name)]
    """Names the folders of its records, tables and figures; the file's name where nothing is said."""
    title: Text = ""
    """Head of its tables and its page."""
    note: Text = ""
    """What readers must know before they believe a number."""
    encoder: Annotated[EncoderField, Field(examples=list(ENCODERS))]
    """Alias of an encoder, Hub id or folder; or the description of one."""
    tasks: Annotated[OneOrMore[str], AfterValidator(refuse_repeated), Field(examples=list(TASKS))]
    """Names of tasks, and YAML files that describe one's own."""
    sizes: Annotated[OneOrMore[SizeEntry], AfterValidator(refuse_repeated)] = (None,)
    """Numbers of training examples, or `full`; or one mapping with a number for each task."""
    seeds: Seeds
    """A list, a preset, or a list for each source of randomness."""
    exploratory_seeds: AddedSeeds = Field(default=(), validate_default=False)
    """Those of the seeds that were added after scores had been looked at."""
    methods: Annotated[dict[str, RowEntry], Field(min_length=1), BeforeValidator(_rows), _RowsSchema()]
    """The rows: names of methods, or labels with settings. `all` stands for one row per method of the project."""
    protocol: Annotated[Protocol, BeforeValidator(_nothing)] = Protocol()
    """Decisions made before looking; the reference is the first row where nothing is said."""
    training: RecipeChanges = {}
    """What differs from the encoder's recipe."""
    subset: Literal["uniform", "stratified", "balanced"] = "uniform"
    """How training examples are drawn: as they come, with the classes' shares kept, or as many of every class."""
    out_of_domain: Annotated[
        Annotated[OneOrMore[str], AfterValidator(refuse_repeated)] | None,
        BeforeValidator(lambda names: None if names == [] else names),
    ] = None
    """Further sets that finished models are scored on."""
    hyperparameters: str = PAPER
    """`paper`, `tuned`, or a file of tuned settings beside this one."""
    # An empty field must not turn a suite that chooses into one that reports.
    tuning: Annotated[Tuning | None, BeforeValidator(_nothing)] = None
    """The suite chooses settings and reports nothing."""
    footnotes: Annotated[dict[str, Text], BeforeValidator(_nothing)] = {}
    """What a reader must know of a task."""
    reuse: Annotated[OneOrMore[str], AfterValidator(refuse_repeated)] = Field(default=(), validate_default=False)
    """Suites whose finished runs count here where they are the same runs."""

    @field_validator("sizes")
    @classmethod
    def _one_mapping(cls, sizes: tuple[Any, ...]) -> tuple[Any, ...]:
        mixed = [size for size in sizes if isinstance(size, dict)]
        if mixed and len(sizes) > 1:
            raise ValueError(f"a whole number is needed where several sizes stand, found {shown(mixed[0])}")
        return sizes

    @field_validator("hyperparameters")
    @classmethod
    def _source_of_settings(cls, source: str) -> str:
        if source not in (PAPER, TUNED) and not source.endswith((".yaml", ".yml")):
            raise ValueError(f"unknown '{source}'; {nearest(source, (PAPER, TUNED))} or a .yaml file")
        return source

    @model_validator(mode="after")
    def _seeds_that_are_there(self) -> Self:
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
    """Refuse seeds added after looking that are none of the seeds that are run."""
    unknown = [seed for seed in added if seed not in seeds]
    if unknown:
        raise ValueError(f"{where}: {unknown[0]} is none of the seeds; they are {', '.join(map(str, seeds))}")


def suite_file(content: dict[str, Any], path: Path) -> SuiteFile:
    """The file's content as a SuiteFile; pydantic's ValidationError where it is none."""
    return SuiteFile.model_validate({"name": path.stem, **content})
