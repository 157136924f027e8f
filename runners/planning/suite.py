"""A suite file: which tasks, sizes, seeds and methods are compared on which encoder, and by which protocol."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from amix.specs.encoders import Encoder, EncoderError, read_encoder
from amix.specs.out_of_domain import find_set, sets_for
from amix.specs.run_plan import Protocol
from amix.specs.seed_presets import PRESETS
from amix.specs.seed_sources import REST, SOURCES, combined
from amix.specs.tasks import TASKS, Task, TaskError, find_task

FOLDER = Path(__file__).parent.parent / "suites"
SELECTIONS = ("last", "best_dev")
SPLITS = ("test", "dev")
SUBSETS = ("uniform", "stratified")
PAPER, TUNED = "paper", "tuned"
CROSSED = "crossed"
LISTED = ("looks", "endpoints")
"""What a protocol holds lists of."""
EVERY_METHOD = "all"
"""Stands under `methods:` for one row per method of the project."""
Size = int | Mapping[str, int] | None


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-4 as a text; people who write a learning rate mean the number."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


class SuiteError(ValueError):
    """A suite that does not exist or is described wrongly; the message names the file, the field and what to do."""


@dataclass(frozen=True)
class Row:
    """One row of the tables: a label, the method behind it, and the settings that differ from the method's defaults.

    method is a name of the registry, or path/to/file.py:ClassName for a method from outside the project. training
    holds what this row alone changes in the recipe. seeds: those of the suite that this row runs with, empty for all of
    them. trial: the row is one of the settings that a tuning tries. exploratory: the row was added after scores had
    been looked at; exploratory_seeds: these seeds of the row were. grid: values for a tuning to try, of settings and of
    the recipe, in place of the method's own.
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
class Tuning:
    """The search of a tuning suite: budget settings of every method, the first ones of a shuffle with this seed."""

    budget: int
    shuffle: int = 0


@dataclass(frozen=True)
class Suite:
    """A comparison as its author wrote it down.

    sizes count training examples, None is the whole train split; instead, one mapping gives each task its own.
    training holds what differs from the encoder's recipe; hyperparameters: `paper`, `tuned` or a file of tuned ones;
    tuning: the suite chooses settings and reports nothing; out_of_domain names further sets that finished models
    are scored on; footnotes say per task what a reader must know; reuse names suites whose finished runs count here
    where they are the same runs; task_files are the YAML files of one's own tasks; seed_sources gives the seeds of the
    sources of randomness (amix.specs.seed_sources) of those seeds that stand for several; exploratory_seeds were added
    to the suite after scores had been looked at.
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
    subset: str = SUBSETS[0]
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
        """Every seed that some source of randomness of some run has."""
        return frozenset(used for seed in self.seeds for used in (self.seed_sources.get(seed) or {"": seed}).values())


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names that look most like this one, or all of them, as the end of an error message."""
    names = [str(one) for one in known]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"


def yaml_value(text: str) -> Any:
    """A YAML text as Python values, with 1e-4 as a number."""
    return yaml.load(text, _Loader)


def suite_names() -> list[str]:
    """Names of the suites that come with the project."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def find_suite(name: str) -> Suite:
    """The suite of this name, or the one in this file.

    Errors: SuiteError with the nearest names when there is neither.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return read_suite(path)
    if name not in suite_names():
        raise SuiteError(f"unknown suite '{name}'; {nearest(name, suite_names())} A suite of your own is a .yaml file.")
    return read_suite(FOLDER / f"{name}.yaml")


def read_suite(path: Path) -> Suite:
    """A suite from its file.

    Errors: SuiteError that names the file, the field and the nearest known names.
    """
    try:
        content = yaml_value(path.read_text())
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise SuiteError(f"{path}: is not valid YAML ({error})") from error
    if not isinstance(content, dict):
        raise SuiteError(f"{path}: a suite file holds fields such as 'tasks:' and 'methods:'")
    try:
        return _suite(content, path)
    except (SuiteError, TaskError, EncoderError) as error:
        raise SuiteError(f"{path}: {error}") from error


def _suite(content: dict[str, Any], path: Path) -> Suite:
    known = {one.name for one in fields(Suite)} - {"task_files", "seed_sources"}
    _check_fields(content, known, {"encoder", "tasks", "seeds", "methods"}, "suite")
    seed_sources = _seeds_by_source(content["seeds"])
    seeds = tuple(seed_sources) or chosen_seeds(content["seeds"])
    rows = method_rows(content["methods"], (content.get("protocol") or {}).get("reference"), seeds)
    names = [str(name) for name in _list(content["tasks"], "tasks")]
    tasks = tuple(find_task(name, path.parent) for name in names)
    _refuse_repeated("tasks", [task.name for task in tasks])
    own = [(task.name, path.parent / name) for task, name in zip(tasks, names, strict=True) if task.origin == "files"]
    return Suite(
        name=str(content.get("name", path.stem)),
        encoder=read_encoder(content["encoder"], path.parent, {*TASKS, *(task.name for task in tasks)}),
        tasks=tasks,
        sizes=_sizes(content.get("sizes", [None]), [task.name for task in tasks]),
        seeds=seeds,
        methods=rows,
        protocol=_protocol(content.get("protocol") or {}, rows, len(seeds)),
        title=str(content.get("title", "")),
        note=str(content.get("note", "")),
        training=_mapping(content.get("training"), "training"),
        subset=_one_of(content.get("subset", SUBSETS[0]), SUBSETS, "subset"),
        out_of_domain=_other_sets(content.get("out_of_domain") or [], tasks),
        hyperparameters=_hyperparameters(content.get("hyperparameters", PAPER), path.parent),
        tuning=_tuning(content["tuning"]) if "tuning" in content else None,
        footnotes=_footnotes(_mapping(content.get("footnotes"), "footnotes"), [task.name for task in tasks]),
        reuse=tuple(str(name) for name in _list(content["reuse"], "reuse")) if "reuse" in content else (),
        task_files={name: str(file.resolve()) for name, file in own},
        seed_sources=seed_sources,
        exploratory_seeds=_added_seeds(content.get("exploratory_seeds"), seeds, "exploratory_seeds"),
    )


def method_rows(content: Any, first: str | None = None, seeds: tuple[int, ...] = ()) -> tuple[Row, ...]:
    """The rows that `methods:` describes: names, or labels with settings such as {high p: {method: name, p: 0.9}}.

    seeds: the suite's; a row that says `seeds: 3` runs with the first three of them. `all` stands for every method of
    the project, the one named `first` before the others; a row given beside it takes the place of the row of the same
    label.
    """
    items = list(content.items()) if isinstance(content, dict) else []
    for item in [] if isinstance(content, dict) else _list(content, "methods"):
        items += item.items() if isinstance(item, dict) else [(item, None)]
    given = [_row(str(label), settings, seeds) for label, settings in items if label != EVERY_METHOD]
    _refuse_repeated("methods", [row.label for row in given])
    if len(given) == len(items):
        return tuple(given)
    return tuple(({row.label: row for row in _every_method(first)} | {row.label: row for row in given}).values())


def _every_method(first: str | None) -> list[Row]:
    from amix.training.registry import (
        built_in_methods,  # Imports torch, which a suite that names its methods need not wait for.
    )

    return [Row(name, name) for name in sorted(built_in_methods(), key=lambda name: name != first)]


def _row(label: str, settings: Any, seeds: tuple[int, ...]) -> Row:
    where = f"methods: {label}"
    config = _mapping(settings, where)
    count = _whole(config.pop("seeds", len(seeds)), f"{where}, seeds")
    if not min(1, len(seeds)) <= count <= len(seeds):
        raise SuiteError(f"methods: {label}: seeds counts the first of the suite's {len(seeds)} seeds, not {count}")
    method = str(config.pop("method", label))
    training = _mapping(config.pop("training", None), f"{where}, training")
    given_grid = _mapping(config.pop("grid", None), f"{where}, grid")
    exploratory = config.pop("exploratory", False)
    if not isinstance(exploratory, bool):
        raise SuiteError(f"{where}: exploratory is true or false, not {exploratory!r}")
    added = _added_seeds(config.pop("exploratory_seeds", None), seeds[:count], f"{where}, exploratory_seeds")
    outside = ".py:" in method
    name = method.rpartition(":")[2] if outside and label == method else label
    own = seeds[:count] if count < len(seeds) else ()
    grid = {name: tuple(_list(values, f"{where}, grid: {name}")) for name, values in given_grid.items()}
    return Row(name, method, config, training, own, exploratory=exploratory, exploratory_seeds=added, grid=grid)


def chosen_seeds(content: Any) -> tuple[int, ...]:
    """Seeds from a list, a preset's name, or {preset: name, first: k}."""
    if isinstance(content, str):
        content = {"preset": content}
    if not isinstance(content, dict):
        seeds = tuple(_whole(seed, "seeds") for seed in _list(content, "seeds"))
        _refuse_repeated("seeds", [str(seed) for seed in seeds])
        return seeds
    _check_fields(content, {"preset", "first"}, {"preset"}, "seeds")
    preset = str(content["preset"])
    if preset not in PRESETS:
        raise SuiteError(f"unknown preset of seeds '{preset}'; {nearest(preset, PRESETS)}")
    seeds = PRESETS[preset]
    first = _whole(content.get("first", len(seeds)), "seeds: first")
    if not 1 <= first <= len(seeds):
        raise SuiteError(f"seeds: first must lie between 1 and {len(seeds)}, the size of preset '{preset}': {first}")
    return seeds[:first]


def _seeds_by_source(content: Any) -> dict[int, dict[str, int]]:
    """What `seeds:` says of single sources: {subset: ..., rest: ...}, or {crossed: {...}} for every combination."""
    if not isinstance(content, dict) or not {CROSSED, REST, *SOURCES} & set(content):
        return {}
    if CROSSED in content:
        _check_fields(content, {CROSSED}, {CROSSED}, "seeds")
    lists = _mapping(content.get(CROSSED, content), f"seeds: {CROSSED}")
    try:
        return combined({name: chosen_seeds(seeds) for name, seeds in lists.items()}, CROSSED in content)
    except ValueError as error:
        raise SuiteError(f"seeds: {str(error).removeprefix('seeds: ')}") from error


def _hyperparameters(content: Any, folder: Path) -> str:
    """`paper`, `tuned`, or the path of a file of tuned settings, which is sought beside the suite."""
    text = str(content)
    return str(folder / text) if text.endswith(".yaml") else _one_of(text, (PAPER, TUNED), "hyperparameters")


def _tuning(content: Any) -> Tuning:
    content = _mapping(content, "tuning")
    _check_fields(content, {one.name for one in fields(Tuning)}, {"budget"}, "tuning")
    tuning = Tuning(**{name: _whole(value, f"tuning: {name}") for name, value in content.items()})
    if tuning.budget < 1:
        raise SuiteError(f"tuning: the budget is the number of settings to try, at least 1: {tuning.budget}")
    return tuning


def _added_seeds(content: Any, seeds: tuple[int, ...], where: str) -> tuple[int, ...]:
    """Seeds that were added after looking; each is one of the seeds that are run."""
    added = () if content is None else tuple(_whole(seed, where) for seed in _list(content, where))
    _refuse_repeated(where, [str(seed) for seed in added])
    unknown = [seed for seed in added if seed not in seeds]
    if unknown:
        raise SuiteError(f"{where}: {unknown[0]} is none of the seeds; they are {', '.join(map(str, seeds))}")
    return added


def _protocol(content: dict[str, Any], rows: tuple[Row, ...], seeds: int) -> Protocol:
    _check_fields(content, {one.name for one in fields(Protocol)}, set(), "protocol")
    labels = [row.label for row in rows]
    lists = {name: tuple(_list(content[name], f"protocol: {name}")) for name in LISTED if name in content}
    given: dict[str, Any] = {"reference": labels[0], **content, **lists}
    try:
        protocol = Protocol(**given)
    except ValueError as error:
        raise SuiteError(f"protocol: {error}") from error
    if protocol.looks and protocol.looks[-1] > seeds:
        raise SuiteError(f"protocol: looks end at {protocol.looks[-1]} seeds, and the suite has {seeds}")
    if protocol.reference in [row.label for row in rows if row.exploratory]:
        raise SuiteError(f"protocol: the reference '{protocol.reference}' is exploratory; name a row that was planned")
    for role, label in (("reference", protocol.reference), ("focus", protocol.focus)):
        if label is not None and label not in labels:
            raise SuiteError(f"protocol: {role} '{label}' is no row of this suite; {nearest(label, labels)}")
    _one_of(protocol.selection, SELECTIONS, "protocol: selection")
    _one_of(protocol.split, SPLITS, "protocol: split")
    for name, value, fits, range_words in (
        ("alpha", protocol.alpha, lambda x: 0 < x < 1, "a number between 0 and 1"),
        ("margin", protocol.margin, lambda x: x > 0, "a number of points above 0"),
    ):
        if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
            raise SuiteError(f"protocol: {name} is {range_words}, not {value!r}")
    return protocol


def _other_sets(content: Any, tasks: tuple[Task, ...]) -> tuple[str, ...]:
    names = tuple(str(name) for name in (content if isinstance(content, list) else [content]))
    _refuse_repeated("out_of_domain", list(names))
    for name in names:
        if not any(sets_for(task.name, (name,)) for task in tasks):
            fitting = ", ".join(find_set(name).tasks)
            raise SuiteError(f"out_of_domain: no task of this suite is scored on {name}; it is for {fitting}")
    return names


def _footnotes(content: dict[str, Any], tasks: list[str]) -> dict[str, str]:
    _check_fields(content, set(tasks), set(), "footnotes")
    return {task: str(note) for task, note in content.items()}


def _check_fields(content: dict[str, Any], known: set[str], required: set[str], where: str) -> None:
    for name in content:
        if name not in known:
            raise SuiteError(f"{where}: unknown field '{name}'; {nearest(str(name), sorted(known))}")
    missing = sorted(required - set(content))
    if missing:
        raise SuiteError(f"{where}: missing {', '.join(missing)}")


def _refuse_repeated(what: str, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise SuiteError(f"{what}: {', '.join(repeated)} stands there more than once")


def _list(content: Any, where: str) -> list[Any]:
    items = content if isinstance(content, list) else [content]
    if not items or items == [None] and where != "sizes":
        raise SuiteError(f"{where}: at least one is needed")
    return items


def _mapping(content: Any, where: str) -> dict[str, Any]:
    if content is not None and not isinstance(content, dict):
        raise SuiteError(f"{where}: expected 'name: value' pairs, found {content!r}")
    return dict(content or {})


def _one_of(value: Any, known: tuple[str, ...], where: str) -> str:
    if value not in known:
        raise SuiteError(f"{where}: unknown '{value}'; {nearest(str(value), known)}")
    return str(value)


def _sizes(content: Any, tasks: list[str]) -> tuple[Size, ...]:
    """Sizes for all tasks, or one mapping with a size for each."""
    sizes = _list(content, "sizes")
    if len(sizes) > 1 or not isinstance(sizes[0], dict):
        return tuple(_size(size) for size in sizes)
    (content,) = sizes
    _check_fields(content, set(tasks), set(tasks), "sizes by task")
    return ({task: _whole(_size(size), "sizes by task") for task, size in content.items()},)


def _size(value: Any) -> int | None:
    if value is None or value == "full":
        return None
    size = _whole(value, "sizes")
    if size < 1:
        raise SuiteError(f"sizes: a subset needs at least one example: {size}")
    return size


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SuiteError(f"{where}: a whole number is needed, found {value!r}")
    return value
