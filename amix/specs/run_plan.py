"""A suite's plan: the runs, and the protocol that was fixed before anyone saw a score.

One class for the sweep that writes plans and for the tables and figures that read them; reading validates. Imports no
torch.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, model_validator
from typing_extensions import override

from amix.specs.protocol import Protocol, Tuning
from amix.specs.seed_sources import Seeds, share_seeds
from amix.specs.spec_model import ItemsOf, SpecModel, problem

SCHEMA = 1
FULL = "full"
"""The size of a run on the whole train split (n_train null)."""
Size = int | dict[str, int] | None
"""Number of training examples: one for all tasks, one for each task, or None for the whole train split."""


class PlanError(ValueError):
    """A suite has no plan, or one that cannot be used; the message says what to do."""


def _absent(value: object) -> bool:
    """Whether a value is empty, so that the plan is written without its field."""
    return value is None or value is False or value in ((), {}, "")


def _second(class_id: int) -> bool:
    return class_id == 1


class PlannedTask(SpecModel):
    """A column of the tables."""

    name: str = Field(exclude=True)
    n_train: int | None = Field(default=None, exclude=True)
    """Its number of training examples, in a suite whose sizes differ by task."""
    metric: str
    """The primary metric."""
    metrics: ItemsOf[str] = ()
    """All metrics, the primary one first."""
    plain_title: str = Field(default="", alias="title")
    footnote: str = ""
    """What readers must know about it."""
    official_rows: Annotated[tuple[int, int], BeforeValidator(tuple)] | None = Field(default=None, exclude_if=_absent)
    """Numbers of examples in the official train and test split; None if there are no official ones."""
    positive: str = Field(default="", exclude_if=_absent)
    """Name of the class that F1 is computed for, if users' own data name one."""
    positive_class: int = Field(default=1, exclude_if=_second)
    """Id of that class."""
    higher_is_better: Literal[True] = True

    @property
    def title(self) -> str:
        """The heading of its column, with its number of training examples if sizes differ by task."""
        title = self.plain_title or self.name
        return title if self.n_train is None else f"{title} (N = {self.n_train})"


class PlannedSet(SpecModel):
    """An out-of-domain set: its title, its primary metric, and the tasks whose models are scored on it."""

    name: str
    title: str
    metric: str
    tasks: ItemsOf[str]


class PlannedRow(SpecModel):
    """A row of the tables: its label, its method, and what the registry says about the method."""

    label: str
    method: str
    paper: str = ""
    year: int | None = None
    kind: str = ""
    passes: float | None = None
    exploratory: bool = Field(default=False, exclude_if=_absent)
    """Whether the row was added after scores had been seen."""
    exploratory_seeds: ItemsOf[int] = Field(default=(), exclude_if=_absent)
    """Seeds of the row that were added after scores had been seen."""


class PlannedRun(SpecModel):
    """One run of the suite; seed pairs it with the runs of other rows."""

    key: str
    label: str
    task: str
    n_train: int | None = None
    seed: int
    seed_sources: dict[str, int] = Field(default_factory=dict, repr=False, exclude_if=_absent)
    """Seeds of the sources of randomness that differ from seed."""
    size: str = Field(default="", exclude=True)
    """Its size as text (see size_name); that of the suite if sizes differ by task."""

    @property
    def seeds(self) -> Seeds:
        """The seeds of all sources of randomness."""
        return Seeds.of(self.seed, self.seed_sources)

    @override
    def __hash__(self) -> int:
        return hash(self.key)


def size_name(size: int | None | Mapping[str, int]) -> str:
    """Return the size of a subset as text; if sizes differ by task, the smallest and the largest: '100-300'."""
    if isinstance(size, Mapping):
        return "-".join(str(n_train) for n_train in dict.fromkeys((min(size.values()), max(size.values()))))
    return FULL if size is None else str(size)


def _by_key(runs: Any) -> Any:
    """Turn the file's list of runs into a mapping by their keys."""
    if not isinstance(runs, list | tuple) or not all(isinstance(run, PlannedRun | Mapping) for run in runs):
        return runs
    return {str(run.key if isinstance(run, PlannedRun) else run.get("key")): run for run in runs}


Runs = Annotated[dict[str, PlannedRun], BeforeValidator(_by_key), PlainSerializer(lambda runs: list(runs.values()))]


class RunPlan(SpecModel):
    """All runs of a suite, in the order task, size, seed, row, and everything else that tables and figures need."""

    tuning: Tuning | None = Field(default=None, exclude_if=_absent, repr=False)
    """How settings are tried, in a suite that tunes; its rows are these settings."""
    out_of_domain: ItemsOf[PlannedSet] = Field(default=(), exclude_if=_absent)
    version: Literal[1] = Field(default=1, alias="schema")
    suite: str
    plain_title: str = Field(default="", alias="title")
    note: str = ""
    """How the numbers must not be understood."""
    command: str = ""
    """The command line that ran the suite."""
    protocol: Protocol
    tasks: dict[str, PlannedTask]
    methods: ItemsOf[PlannedRow]
    encoder: str = ""
    all_sizes: ItemsOf[Size] = Field(alias="sizes")
    seeds: ItemsOf[int]
    exploratory_seeds: ItemsOf[int] = Field(default=(), exclude_if=_absent)
    """Seeds that were added after scores had been seen."""
    runs: Runs = Field(repr=False)

    @model_validator(mode="before")
    @classmethod
    def _with_places(cls, content: Any) -> Any:
        """Add name and size to each task, and the size to each run; the file gives them only once."""
        if not isinstance(content, Mapping) or not isinstance(content.get("sizes"), list | tuple):
            return content
        by_task = next((size for size in content["sizes"] if isinstance(size, Mapping)), None)
        n_train: Mapping[str, int] = by_task or {}
        tasks, runs = content.get("tasks"), content.get("runs")
        completed: dict[str, Any] = {}
        if isinstance(tasks, Mapping):
            completed["tasks"] = {
                name: {**task, "name": name, "n_train": n_train.get(name)} if isinstance(task, Mapping) else task
                for name, task in tasks.items()
            }
        if isinstance(runs, list | tuple):
            completed["runs"] = [
                {**run, "size": size_name(by_task or run.get("n_train"))} if isinstance(run, Mapping) else run
                for run in runs
            ]
        return {**content, **completed}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        reference = self.protocol.reference
        if reference not in self.labels:
            raise ValueError(f"the reference {reference!r} is none of {', '.join(self.labels)}")
        # A row that was not run, or would be compared with itself, cannot be the focus.
        protocol = self.protocol.among(self.labels)
        if protocol.focus == reference:
            protocol = protocol.model_copy(update={"focus": None})
        if protocol != self.protocol:
            object.__setattr__(self, "protocol", protocol)
        for run in self.runs.values():
            if run.task not in self.tasks:
                raise ValueError(f"the run {run.key} is of task {run.task!r}, which is none of {', '.join(self.tasks)}")
        return self

    @property
    def title(self) -> str:
        """The suite's title, or its name if it has none."""
        return self.plain_title or self.suite

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the rows, in order."""
        return tuple(row.label for row in self.methods)

    @property
    def sizes(self) -> tuple[str, ...]:
        """The sizes as text (see size_name)."""
        return tuple(size_name(size) for size in self.all_sizes)

    @property
    def tuning_budget(self) -> int | None:
        """The number of settings tried for each method, in a suite that tunes."""
        return None if self.tuning is None else self.tuning.budget

    @property
    def runs_share_seeds(self) -> bool:
        """Whether runs of a row share seeds of single sources, so that no test over runs holds."""
        return share_seeds(list({run.seed: run.seeds for run in self.runs.values()}.values()))

    def selecting(self, rule: str) -> Self:
        """Return the plan with another selection rule."""
        return self.model_copy(update={"protocol": self.protocol.model_copy(update={"selection": rule})})

    def as_json(self, indent: int | None = None) -> str:
        """Return the plan as JSON, as in plan.json and archives."""
        return json.dumps(self.model_dump(mode="json"), indent=indent)


def read_plan(content: Any, suite: str) -> RunPlan:
    """Read the plan of a suite from the JSON values of its plan.json or its archive.

    Raises:
        PlanError: The plan cannot be used; the message says why and what to do.
    """
    remedy = "write it again with: python -m runners sweep"
    if isinstance(content, Mapping) and content.get("schema") != SCHEMA:
        raise PlanError(
            f"the plan of suite {suite!r} has schema {content.get('schema')!r}; this version reads {SCHEMA}"
        )
    try:
        plan = RunPlan.model_validate(content)
    except ValidationError as error:
        raise PlanError(f"the plan of suite {suite!r} cannot be used: {problem(error)}; {remedy}") from error
    if plan.suite != suite:
        raise PlanError(f"the plan in the folder of suite {suite!r} belongs to suite {plan.suite!r}")
    return plan
