"""The plan that is written next to a suite's records: what tables and figures need to know about the suite."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from amix.specs.encoder_files import public_name
from amix.specs.encoders import find_encoder
from amix.specs.out_of_domain import find_set
from amix.specs.run_plan import PlannedRow, PlannedRun, PlannedSet, PlannedTask, RunPlan, size_name
from amix.specs.seed_sources import Seeds, share_seeds
from amix.specs.spec_model import problem
from amix.specs.task import Task
from amix.specs.tasks import OFFICIAL_ROWS
from runners.planning.job import Job
from runners.planning.suite import Row, Suite, SuiteError

if TYPE_CHECKING:
    from amix.training.method import Method

EMBEDDED_NOTE = "embedded tasks: for trying the suite, not evidence"
SHARED_SEEDS_NOTE = (
    "runs share seeds of single sources of randomness and depend on each other: for the share of each source in the "
    "spread; tests and intervals over runs do not hold"
)


def described(suite: Suite, methods: Sequence["type[Method]"], runs: Sequence[Job]) -> RunPlan:
    """The plan of these runs; methods are the classes of the suite's rows.

    Raises:
        SuiteError: the info of a method from outside the project does not fit into tables.
    """
    seeds = set(suite.seeds)
    by_task = next((size for size in suite.sizes if isinstance(size, dict)), None)
    return RunPlan(
        tuning=suite.tuning,
        out_of_domain=tuple(_set(name, suite) for name in suite.out_of_domain),
        suite=suite.name,
        title=suite.title,
        note=_note(suite),
        protocol=suite.protocol,
        tasks={task.name: _task(task, suite, (by_task or {}).get(task.name)) for task in suite.tasks},
        methods=tuple(_row(row, method, seeds) for row, method in zip(suite.methods, methods, strict=True)),
        encoder=public_name(suite.encoder),
        sizes=suite.sizes,
        seeds=suite.seeds,
        exploratory_seeds=tuple(seed for seed in suite.exploratory_seeds if seed in seeds),
        runs={run.spec.key: _run(run, size_name(by_task or run.spec.n_train)) for run in runs},
    )


def _note(suite: Suite) -> str:
    """What readers must know about the numbers; for embedded tasks the note is added automatically."""
    embedded = any(task.origin == "embedded" for task in suite.tasks)
    seeds = [Seeds.of(seed, suite.seed_sources.get(seed)) for seed in suite.seeds]
    shared = SHARED_SEEDS_NOTE if share_seeds(seeds) else ""
    return "; ".join(part for part in (EMBEDDED_NOTE if embedded else "", shared, suite.note) if part)


def _task(task: Task, suite: Suite, n_train: int | None) -> PlannedTask:
    seen_in_training = dict(find_encoder(suite.encoder).seen).get(task.name)
    notes = [
        suite.footnotes.get(task.name),
        f"seen by the encoder in its own training: {seen_in_training}" if seen_in_training else None,
    ]
    return PlannedTask(
        **_positive(task),
        name=task.name,
        n_train=n_train,
        metric=task.metrics[0],
        metrics=task.metrics,
        title=task.title,
        footnote="; ".join(note for note in notes if note),
        official_rows=OFFICIAL_ROWS.get(task.name),
    )


def _positive(task: Task) -> dict[str, Any]:
    """The class for which F1 is computed, if readers cannot know it."""
    if task.origin != "files" or "f1" not in task.metrics or task.labels is None:
        return {}
    return {"positive": task.labels[task.positive_class], "positive_class": task.positive_class}


def _set(name: str, suite: Suite) -> PlannedSet:
    data_set = find_set(name)
    return PlannedSet(
        name=data_set.name,
        title=data_set.data.title,
        metric=data_set.data.metrics[0],
        tasks=tuple(task.name for task in suite.tasks if task.name in data_set.tasks),
    )


def _row(row: Row, method: "type[Method]", seeds: set[int]) -> PlannedRow:
    try:
        return PlannedRow(
            label=row.label,
            method=method.name,
            paper=method.info.paper,
            year=method.info.year,
            kind=method.info.kind,
            passes=method.info.passes,
            exploratory=row.exploratory,
            exploratory_seeds=tuple(seed for seed in row.exploratory_seeds if seed in seeds),
        )
    except ValidationError as error:  # The info of a method from outside the project can be anything.
        raise SuiteError(f"methods: {row.label}: the class {method.__name__} says {problem(error)}") from error


def _run(run: Job, size: str) -> PlannedRun:
    return PlannedRun(
        key=run.spec.key,
        label=run.label,
        task=run.spec.task,
        n_train=run.spec.n_train,
        seed=run.spec.seed,
        seed_sources=run.spec.seed_sources,
        size=size,
    )
