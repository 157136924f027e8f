"""A suite's plan as the results side reads it: what was to be run, and the protocol fixed before anyone looked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from amix.specs.seed_sources import Seeds

SCHEMA = 1
FULL = "full"
"""The size of a run on the whole train split (n_train null)."""
SPLITS = ("test", "dev")
"""What a protocol can score."""
ENDPOINTS = ("score", "log_loss", "brier", "ece")
"""What a protocol can declare to be judged: the task's own score, and what is said of the probabilities."""


class PlanError(ValueError):
    """The suite has no plan, or one that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Protocol:
    """Decisions made before looking: reference and focus method, level, selection rule, margin in points.

    split is what is scored: `test`, or `dev` in a suite that chooses settings and must leave the test split alone.
    looks: after how many seeds results are looked at and may be decided, empty for once, at the end. endpoints: what is
    judged, the primary one first (see ENDPOINTS).
    """

    reference: str
    focus: str | None = None
    alpha: float = 0.05
    selection: str = "last"
    margin: float = 1.0
    split: str = "test"
    looks: tuple[int, ...] = field(default=(), repr=False)
    endpoints: tuple[str, ...] = field(default=ENDPOINTS[:1], repr=False)

    def __post_init__(self) -> None:
        whole = all(isinstance(look, int) and not isinstance(look, bool) and look > 0 for look in self.looks)
        if not whole or any(later <= earlier for earlier, later in pairwise(self.looks)):
            raise ValueError(f"looks are rising numbers of seeds such as [6, 8, 10], not {list(self.looks)}")
        unknown = [name for name in self.endpoints if name not in ENDPOINTS]
        if unknown or not self.endpoints or len(set(self.endpoints)) < len(self.endpoints):
            raise ValueError(f"endpoints are some of {', '.join(ENDPOINTS)}, each once, not {list(self.endpoints)}")


@dataclass(frozen=True)
class Task:
    """A column of the tables: the task's title, its metrics (the primary one apart) and a footnote for readers.

    official_rows: how many examples the official train and test splits have, None where there is no such thing.
    positive, positive_class: name and id of the class that F1 is of, where people's own data name one.
    """

    name: str
    metric: str
    title: str
    metrics: tuple[str, ...] = ()
    footnote: str = ""
    official_rows: tuple[int, int] | None = None
    positive: str = ""
    positive_class: int = 1


@dataclass(frozen=True)
class OtherSet:
    """An out-of-domain set: its title, its primary metric, and the tasks whose models are scored on it."""

    name: str
    title: str
    metric: str
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class MethodRow:
    """A row of the tables: its label, the method behind it, and what the registry says of that.

    exploratory: the row was added after looking; exploratory_seeds: these of its seeds were.
    """

    label: str
    method: str
    paper: str = ""
    kind: str = ""
    exploratory: bool = field(default=False, repr=False)
    exploratory_seeds: tuple[int, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class PlannedRun:
    """One run that the suite asks for: its size (see size_name) and its own number of training examples.

    seed pairs it with the runs of other rows; seed_sources has the seeds of the sources that differ from it.
    """

    key: str
    label: str
    task: str
    size: str
    seed: int
    n_train: int | None = None
    seed_sources: dict[str, int] = field(default_factory=dict, repr=False, hash=False)

    @property
    def seeds(self) -> Seeds:
        """The seed of every source of randomness."""
        return Seeds.of(self.seed, self.seed_sources)


@dataclass(frozen=True)
class Plan:
    """A suite: its title, note for readers, protocol, tasks, methods (in row order) and planned runs.

    tuning_budget: of a suite that chooses settings, how many it tries of each method; its rows are these settings.
    exploratory_seeds: those of the seeds that were added after looking.
    """

    suite: str
    title: str
    note: str
    command: str
    encoder: str
    protocol: Protocol
    tasks: dict[str, Task]
    methods: tuple[MethodRow, ...]
    sizes: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: dict[str, PlannedRun] = field(repr=False)
    out_of_domain: tuple[OtherSet, ...] = ()
    tuning_budget: int | None = field(default=None, repr=False)
    exploratory_seeds: tuple[int, ...] = field(default=(), repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the methods, in row order."""
        return tuple(row.label for row in self.methods)


def size_name(size: int | None | Mapping[str, int]) -> str:
    """The size of a subset as text; of sizes that differ by task the smallest and the largest: '100-300'."""
    if isinstance(size, Mapping):
        return "-".join(str(n_train) for n_train in dict.fromkeys((min(size.values()), max(size.values()))))
    return FULL if size is None else str(size)


def read_plan(content: Any, suite: str) -> Plan:
    """The plan in a plan.json; PlanError names what is wrong with it."""
    try:
        if content["schema"] != SCHEMA:
            raise PlanError(
                f"the plan of suite {suite!r} has schema {content['schema']!r}; this version reads {SCHEMA}"
            )
        plan = _plan(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, PlanError):
            raise
        what = f"misses {error}" if isinstance(error, KeyError) else f"cannot be used ({error})"
        raise PlanError(f"the plan of suite {suite!r} {what}; write it again with: python -m runners sweep") from error
    if plan.suite != suite:
        raise PlanError(f"the plan in the folder of suite {suite!r} belongs to suite {plan.suite!r}")
    if plan.protocol.reference not in plan.labels:
        raise PlanError(
            f"suite {suite!r}: the reference {plan.protocol.reference!r} is none of {', '.join(plan.labels)}"
        )
    return plan


def _plan(content: dict[str, Any]) -> Plan:
    protocol = content["protocol"]
    by_task = next((size for size in content["sizes"] if isinstance(size, dict)), None)
    runs = [
        PlannedRun(
            key=run["key"],
            label=run["label"],
            task=run["task"],
            size=size_name(run["n_train"] if by_task is None else by_task),
            seed=int(run["seed"]),
            n_train=run["n_train"],
            seed_sources={source: int(seed) for source, seed in run.get("seed_sources", {}).items()},
        )
        for run in content["runs"]
    ]
    focus = protocol.get("focus")
    labels = [row["label"] for row in content["methods"]]
    return Plan(
        suite=content["suite"],
        title=content.get("title") or content["suite"],
        note=content.get("note") or "",
        command=content.get("command") or "",
        encoder=content.get("encoder") or "",
        protocol=Protocol(
            reference=protocol["reference"],
            focus=focus if focus in labels and focus != protocol["reference"] else None,
            alpha=float(protocol.get("alpha", Protocol.alpha)),
            selection=protocol.get("selection", Protocol.selection),
            margin=float(protocol.get("margin", Protocol.margin)),
            split=_split(protocol.get("split", Protocol.split)),
            looks=tuple(protocol.get("looks", Protocol.looks)),
            endpoints=tuple(protocol.get("endpoints", Protocol.endpoints)),
        ),
        tasks={name: _sized(_task(name, task), by_task) for name, task in content["tasks"].items()},
        methods=tuple(_method_row(row) for row in content["methods"]),
        sizes=tuple(size_name(size) for size in content["sizes"]),
        seeds=tuple(int(seed) for seed in content["seeds"]),
        runs={run.key: run for run in runs},
        out_of_domain=tuple(
            OtherSet(one["name"], one["title"], one["metric"], tuple(one["tasks"]))
            for one in content.get("out_of_domain", [])
        ),
        tuning_budget=int(content["tuning"]["budget"]) if "tuning" in content else None,
        exploratory_seeds=_whole_numbers(content.get("exploratory_seeds", ())),
    )


def _method_row(row: dict[str, Any]) -> MethodRow:
    return MethodRow(
        label=row["label"],
        method=row["method"],
        paper=row.get("paper") or "",
        kind=row.get("kind") or "",
        exploratory=bool(row.get("exploratory", False)),
        exploratory_seeds=_whole_numbers(row.get("exploratory_seeds", ())),
    )


def _whole_numbers(content: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in content)


def _split(split: Any) -> str:
    if split not in SPLITS:
        raise ValueError(f"protocol: the split {split!r} is none of {', '.join(SPLITS)}")
    return str(split)


def _rows(content: Any) -> tuple[int, int]:
    train, test = content
    return int(train), int(test)


def _sized(task: Task, by_task: dict[str, int] | None) -> Task:
    """The task with its number of training examples in its title where that differs by task."""
    return task if by_task is None else replace(task, title=f"{task.title} (N = {by_task[task.name]})")


def _task(name: str, content: dict[str, Any]) -> Task:
    return Task(
        name=name,
        metric=content["metric"],
        title=content.get("title") or name,
        metrics=tuple(content.get("metrics") or [content["metric"]]),
        footnote=content.get("footnote") or "",
        official_rows=_rows(content["official_rows"]) if "official_rows" in content else None,
        positive=str(content.get("positive") or ""),
        positive_class=int(content.get("positive_class", 1)),
    )
