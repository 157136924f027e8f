"""A suite: which tasks, sizes, seeds and methods are compared, on which encoder and by which protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from amix.specs.encoders import Encoder, EncoderError, read_encoder
from amix.specs.out_of_domain import find_set, sets_for
from amix.specs.protocol import Protocol, Tuning
from amix.specs.run_plan import Size
from amix.specs.spec_model import problem, refuse_repeated
from amix.specs.suggestions import nearest
from amix.specs.task import Task, TaskError
from amix.specs.tasks import TASKS, find_task
from amix.specs.yaml_files import YamlError, read_yaml
from runners.planning.suite_file import PAPER, TUNED, RowEntry, SuiteFile, check_added, suite_file

Value = TypeVar("Value")
FOLDER = Path(__file__).parent.parent / "suites"
EVERY_METHOD = "all"
"""Under `methods:`, stands for one row per method of the project."""
_ROWS: TypeAdapter[dict[str, RowEntry]] = TypeAdapter(SuiteFile.__annotations__["methods"], config={"strict": True})


class SuiteError(ValueError):
    """A suite that does not exist or is described wrongly; the message gives the file, the field and the remedy."""


@dataclass(frozen=True)
class Row:
    """One row of the tables: a label, its method, and the settings that differ from the method's defaults.

    Attributes:
        label: name of the row.
        method: a registered name, or path/to/file.py:ClassName for a method from outside the project.
        config: settings that differ from the method's defaults.
        training: what this row alone changes in the recipe.
        seeds: the suite's seeds that this row runs with; empty for all of them.
        trial: the row is one of the settings that a tuning tries.
        exploratory: the row was added after scores had been seen.
        exploratory_seeds: seeds of the row that were added after scores had been seen.
        grid: values for a tuning to try, for settings and the recipe, instead of the method's own grid.
    """

    label: str
    method: str
    config: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    trial: bool = False
    exploratory: bool = False
    exploratory_seeds: tuple[int, ...] = ()
    grid: dict[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """A comparison as its author wrote it down.

    Attributes:
        sizes: numbers of training examples, None for the whole train split; or one mapping with a number per task.
        training: what differs from the encoder's recipe.
        out_of_domain: additional sets that finished models are scored on.
        hyperparameters: `paper`, `tuned` or a file of tuned settings; in a suite that tunes, the file to be written.
        tuning: if given, the suite chooses settings and reports nothing.
        footnotes: what a reader must know about a task, by task.
        reuse: suites whose finished runs count here if they are the same runs.
        task_files: YAML files of the user's own tasks, by name.
        seed_sources: seeds of the sources of randomness (amix.specs.seed_sources), for seeds that stand for several.
        exploratory_seeds: seeds that were added to the suite after scores had been seen.
    """

    name: str
    encoder: str | Encoder
    tasks: tuple[Task, ...]
    sizes: tuple[Size, ...]
    seeds: tuple[int, ...]
    methods: tuple[Row, ...]
    protocol: Protocol
    title: str = ""
    note: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    subset: str = "uniform"
    out_of_domain: tuple[str, ...] = ()
    hyperparameters: str = PAPER
    tuning: Tuning | None = None
    footnotes: dict[str, str] = field(default_factory=dict)
    reuse: tuple[str, ...] = ()
    task_files: dict[str, str] = field(default_factory=dict)
    seed_sources: Mapping[int, dict[str, int]] = field(default_factory=dict)
    exploratory_seeds: tuple[int, ...] = ()

    @property
    def used_seeds(self) -> frozenset[int]:
        """Every seed that any source of randomness has in any run."""
        return frozenset(used for seed in self.seeds for used in (self.seed_sources.get(seed) or {"": seed}).values())


def suite_names() -> list[str]:
    """Names of the suites that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_suite(name: str) -> Suite:
    """The suite of this name, or the one in this file.

    Raises:
        SuiteError: it does not exist; the message gives the nearest names.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return read_suite(path)
    if name not in suite_names():
        known = nearest(name, suite_names())
        raise SuiteError(f"unknown suite '{name}'; {known} (a suite of your own is a .yaml file)")
    return read_suite(FOLDER / f"{name}.yaml")


def read_suite(path: Path) -> Suite:
    """A suite from its file (see SuiteFile).

    Raises:
        SuiteError: one line with the file, the field, its value and the nearest known names.
    """
    try:
        content = read_yaml(path)
        if not isinstance(content, dict):
            raise SuiteError("a suite file holds fields such as 'tasks:' and 'methods:'")
        return _suite(suite_file(content, path), path)
    except YamlError as error:
        raise SuiteError(str(error)) from error
    except ValidationError as error:
        raise SuiteError(f"{path}: {problem(error)}") from error
    except (SuiteError, TaskError, EncoderError) as error:
        raise SuiteError(f"{path}: {error}") from error


def _suite(file: SuiteFile, path: Path) -> Suite:
    """The suite that a file describes, with its tasks, rows and encoder resolved."""
    tasks = tuple(find_task(name, path.parent) for name in file.tasks)
    names = [task.name for task in tasks]
    _refuse_repeated("tasks", tuple(names))
    design = file.design
    seeds = design.seeds
    rows = _rows(file.methods, file.protocol.reference, seeds)
    own_files = [
        (task, path.parent / name) for task, name in zip(tasks, file.tasks, strict=True) if task.origin == "files"
    ]
    source = file.hyperparameters
    return Suite(
        name=file.name,
        encoder=read_encoder(file.encoder, path.parent, {*TASKS, *names}),
        tasks=tasks,
        sizes=_sizes(file.sizes, names),
        seeds=seeds,
        methods=rows,
        protocol=_protocol(file.protocol, rows, tasks),
        title=file.title,
        note=file.note,
        training=file.training,
        subset=file.subset,
        out_of_domain=_out_of_domain_sets(file.out_of_domain or (), tasks),
        hyperparameters=source if source in (PAPER, TUNED) else str(path.parent / source),
        tuning=file.tuning,
        footnotes=_of_tasks(file.footnotes, names, "footnotes"),
        reuse=file.reuse,
        # If the file is a link, its data are beside the link.
        task_files={task.name: str(file.parent.resolve() / file.name) for task, file in own_files},
        seed_sources=design.sources,
        exploratory_seeds=file.exploratory_seeds,
    )


def method_rows(content: Any, first: str = "", seeds: tuple[int, ...] = ()) -> tuple[Row, ...]:
    """The rows that `methods:` describes: names, or labels with settings such as {high p: {method: name, p: 0.9}}.

    Args:
        content: the field as read from the file.
        first: the method that `all` puts first.
        seeds: the suite's seeds; a row with `seeds: 3` runs with the first three of them.

    Returns:
        The rows. `all` stands for every method of the project; a row given in addition replaces the row of the same
        label.

    Raises:
        SuiteError: a row is not valid.
    """
    try:
        return _rows(_ROWS.validate_python(content), first, seeds)
    except ValidationError as error:
        raise SuiteError(f"methods: {problem(error)}") from error


def _rows(entries: Mapping[str, RowEntry], first: str, seeds: tuple[int, ...]) -> tuple[Row, ...]:
    given = [_row(label, entry, seeds) for label, entry in entries.items() if label != EVERY_METHOD]
    _refuse_repeated("methods", tuple(row.label for row in given))
    if EVERY_METHOD not in entries:
        return tuple(given)
    if entries[EVERY_METHOD].model_fields_set or entries[EVERY_METHOD].settings:
        raise SuiteError(
            f"methods: {EVERY_METHOD}: stands for every method with its own settings and takes none itself"
        )
    return tuple(({row.label: row for row in _every_method(first)} | {row.label: row for row in given}).values())


def _every_method(first: str) -> list[Row]:
    from amix.training.registry import (
        built_in_methods,  # Imports torch, which a suite that names its methods does not need.
    )

    known = built_in_methods()
    names = [name for name in known if not known[name].info.needs_language_model]
    return [Row(name, name) for name in sorted(names, key=lambda name: name != first)]


def _row(label: str, entry: RowEntry, seeds: tuple[int, ...]) -> Row:
    count = len(seeds) if entry.seeds is None else entry.seeds
    if not min(1, len(seeds)) <= count <= len(seeds):
        raise SuiteError(f"methods: {label}: seeds counts the first of the suite's {len(seeds)} seeds, not {count}")
    method = entry.method or label
    external = ".py:" in method
    try:
        check_added(entry.exploratory_seeds, seeds[:count], "exploratory_seeds")
    except ValueError as error:
        raise SuiteError(f"methods: {label}: {error}") from error
    shown = method.rpartition(":")[2] if external and label == method else label
    # A method with a rate of its own says so if it gives it up: parameter-efficient ones hardly train at the recipe's.
    at_the_recipes_rate = entry.settings.get("lr", ...) is None and "rate" not in shown
    return Row(
        label=f"{shown} at the recipe's rate" if at_the_recipes_rate else shown,
        method=method,
        config=entry.settings,
        training=entry.training,
        seeds=seeds[:count] if count < len(seeds) else (),
        exploratory=entry.exploratory,
        exploratory_seeds=entry.exploratory_seeds,
        grid=entry.grid,
    )


def _protocol(protocol: Protocol, rows: tuple[Row, ...], tasks: tuple[Task, ...]) -> Protocol:
    """The protocol; the reference defaults to the first row."""
    labels = [row.label for row in rows]
    others = [name for name in protocol.endpoints if name != "score"]
    if others and all(task.regression for task in tasks):
        raise SuiteError(
            f"protocol: endpoints: {', '.join(others)} cannot be tested, as no task of this suite has classes; "
            "regressions have the endpoint score alone"
        )
    protocol = protocol.model_copy(update={"reference": protocol.reference or labels[0]})
    paired = [("primary:", label) for pair in protocol.primary for label in pair]
    for role, label in (("reference", protocol.reference), ("focus", protocol.focus), *paired):
        if label is not None and label not in labels:
            raise SuiteError(f"protocol: {role} '{label}' is not a row of this suite; {nearest(label, labels)}")
    added = [row.label for row in rows if row.exploratory]
    for role, label in (("the reference", protocol.reference), *paired):
        if label in added:
            raise SuiteError(f"protocol: {role} '{label}' is exploratory; name a row that was planned")
    return protocol


def _out_of_domain_sets(names: tuple[str, ...], tasks: tuple[Task, ...]) -> tuple[str, ...]:
    for name in names:
        if not any(sets_for(task.name, (name,)) for task in tasks):
            fitting = ", ".join(find_set(name).tasks)
            raise SuiteError(f"out_of_domain: no task of this suite is scored on {name}; it is for {fitting}")
    return names


def _sizes(sizes: Sequence[Size | Literal["full"]], tasks: list[str]) -> tuple[Size, ...]:
    """Sizes for all tasks, or one mapping with a size for each."""
    for size in sizes:
        if isinstance(size, Mapping):
            _of_tasks(size, tasks, "sizes by task")
            missing = sorted(set(tasks) - set(size))
            if missing:
                raise SuiteError(f"sizes by task: missing {', '.join(missing)}")
    return tuple(None if isinstance(size, str) else size for size in sizes)


def _of_tasks(by_task: dict[str, Value], tasks: list[str], where: str) -> dict[str, Value]:
    """The mapping by task; SuiteError for a task that the suite does not have."""
    for name in by_task:
        if name not in tasks:
            raise SuiteError(f"{where}: unknown field '{name}'; {nearest(name, tasks)}")
    return by_task


def _refuse_repeated(where: str, names: tuple[str, ...]) -> None:
    try:
        refuse_repeated(names)
    except ValueError as error:
        raise SuiteError(f"{where}: {error}") from error
