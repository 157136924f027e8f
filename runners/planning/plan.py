"""From a suite to the runs that it asks for, and to the plan that is written next to their records."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from amix.data.task_source import task_source
from amix.specs import encoder_files
from amix.specs.data_errors import shown
from amix.specs.encoder_files import public_name
from amix.specs.recipe import Recipe
from amix.specs.run_plan import RunPlan, Size
from amix.specs.run_spec import RunSpec
from amix.specs.store import write_atomically
from amix.specs.task import Task
from amix.specs.tasks import OFFICIAL_ROWS
from results.loading.layout import Layout
from runners.planning.described import described
from runners.planning.job import Job
from runners.planning.suite import Row, Suite, SuiteError
from runners.planning.tuned_settings import with_tuned
from runners.planning.tuning_grid import EXTERNAL, check_grid, check_seeds, expanded, method_of, methods_in, recipe_of

if TYPE_CHECKING:
    from amix.training.method import Method

EXAMPLES_OF_A_FULL_SPLIT, EXAMPLES_OF_A_TEST_SPLIT = 10_000, 600
"""Assumed sizes of splits, which are not known before data is read; used for time estimates only."""
EVALUATIONS, FORWARD_SHARE = {"last": 1, "best_dev": 2}, 1 / 3
"""The test split is scored with the last weights and, if the protocol asks, the best-dev ones; forward passes only."""


@dataclass(frozen=True)
class SuitePlan:
    """What a suite asks for: its runs, and what tables and figures need to know about them."""

    suite: Suite
    runs: tuple[Job, ...]
    """In the order task, size, seed, row."""
    methods: tuple["type[Method]", ...]
    """The classes of the suite's rows, in the same order."""

    @property
    def external(self) -> tuple[str, ...]:
        """The rows' methods from outside the project, as path/to/file.py:ClassName."""
        return tuple(dict.fromkeys(row.method for row in self.suite.methods if EXTERNAL in row.method))

    @cached_property
    def run_plan(self) -> RunPlan:
        """The plan as tables and figures read it."""
        return described(self.suite, self.methods, self.runs)

    def write(self, layout: Layout, command: str) -> None:
        """Write plan.json next to the suite's records, with the command that asked for it."""
        content = self.run_plan.model_copy(update={"command": command}).as_json(indent=1)
        write_atomically(layout.plan(self.suite.name), content.encode())

    def restricted(self, suite: Suite) -> "SuitePlan":
        """The part of this plan that a suite of some of its rows and seeds asks for, without planning again."""
        places = {(run.spec.task, run.spec.n_train, run.spec.seed, run.label): run for run in self.runs}
        asked = (
            (task.name, examples_of(task, size), seed, row.label)
            for task in suite.tasks
            for size in suite.sizes
            for seed in suite.seeds
            for row in suite.methods
        )
        methods = {row.label: method for row, method in zip(self.suite.methods, self.methods, strict=True)}
        return SuitePlan(
            suite,
            tuple(places[place] for place in asked if place in places),
            tuple(methods[row.label] for row in suite.methods),
        )


def examples_of(task: Task, size: Size) -> int | None:
    """Training examples of a task at one of a suite's sizes; None for the whole train split."""
    return size[task.name] if isinstance(size, Mapping) else size


def make_plan(suite: Suite) -> SuitePlan:
    """All runs that the suite asks for.

    A row that states its own seeds runs with those only; a method that is not defined for regression has no runs on
    such a task.

    Raises:
        SuiteError: an unknown method, setting or training option, two rows with the same runs, seeds that are used
            both for tuning and for reported scores, or missing tuned settings.
    """
    check_seeds(suite)
    suite = expanded(suite)
    rows = with_tuned(suite)
    methods = tuple(method_of(row, methods_in(suite)) for row in rows)
    for row, method in zip(rows, methods, strict=True):
        check_grid(suite, row, method)
    recipes = [recipe_of(suite, row) for row in rows]
    _refuse_micro_batches(suite, methods, recipes)
    encoder_source = encoder_files.source_hash(suite.encoder)
    settings = [_settings(suite, row, method) for row, method in zip(rows, methods, strict=True)]
    sources = {task.name: task_source(task) for task in suite.tasks}
    runs = tuple(
        _job(
            suite,
            row.label,
            method,
            configuration,
            recipe,
            task,
            examples_of(task, size),
            seed,
            (sources[task.name], encoder_source),
        )  # fmt: skip
        for task, size, seed in _places(suite)
        for row, method, configuration, recipe in zip(suite.methods, methods, settings, recipes, strict=True)
        if _asked(row, method, task, seed)
    )
    _refuse_same_runs(suite, runs)
    return SuitePlan(suite, runs, methods)


def count_runs(suite: Suite) -> int:
    """How many runs the suite asks for, also if their settings have not been chosen yet.

    Raises:
        SuiteError: a method is unknown.
    """
    suite = expanded(suite)
    rows = [(row, method_of(row, methods_in(suite))) for row in suite.methods]
    return sum(_asked(row, method, task, seed) for task, _, seed in _places(suite) for row, method in rows)


def _places(suite: Suite) -> Iterator[tuple[Task, Size, int]]:
    return itertools.product(suite.tasks, suite.sizes, suite.seeds)


def _asked(row: Row, method: "type[Method]", task: Task, seed: int) -> bool:
    """Whether a row has a run on a task with a seed."""
    return (method.info.regression or not task.regression) and (not row.seeds or seed in row.seeds)


def _job(
    suite: Suite,
    label: str,
    method: "type[Method]",
    settings: dict[str, Any],
    recipe: Recipe,
    task: Task,
    size: int | None,
    seed: int,
    sources: tuple[str, str],
) -> Job:
    from amix.training.foreign_code import ForeignCodeError, of_method
    from amix.training.registry import source_hash

    task_hash, encoder_hash = sources
    spec = RunSpec(
        task=task.name,
        n_train=size,
        seed=seed,
        method=method.name,
        encoder=public_name(suite.encoder),
        method_config=settings,
        method_source=source_hash(method),
        task_source=task_hash,
        encoder_source=encoder_hash,
        training=recipe.as_dict(),
        subset=suite.subset,
        seed_sources=suite.seed_sources.get(seed, {}),
    )
    if recipe.class_weights and task.regression:
        raise SuiteError(
            f"suite {suite.name}, training: class_weights needs classes, but the label of task {task.name} is a number"
        )
    examples = EXAMPLES_OF_A_FULL_SPLIT if size is None else size
    try:
        with of_method(method):
            passes = method(method.Config(**settings)).relative_passes(examples, recipe)
            if not isinstance(passes, int | float):
                raise ForeignCodeError(f"a number is needed, found {shown(passes)}")
    except ForeignCodeError as error:
        raise SuiteError(f"{methods_in(suite)}: {label}: relative_passes: {error}") from error
    tested = OFFICIAL_ROWS[task.name][1] if task.name in OFFICIAL_ROWS else EXAMPLES_OF_A_TEST_SPLIT
    evaluated = 0.0 if suite.protocol.split == "dev" else EVALUATIONS[suite.protocol.selection] * FORWARD_SHARE * tested
    return Job(label, spec, passes * recipe.total_steps(examples) * recipe.batch_size + evaluated)


def _settings(suite: Suite, row: Row, method: "type[Method]") -> dict[str, Any]:
    from amix.training.foreign_code import of_method
    from amix.training.settings import full_settings

    try:
        with of_method(method):
            return full_settings(method, row.config)
    except (TypeError, ValueError) as error:
        raise SuiteError(f"{methods_in(suite)}: {row.label}: {error}") from error


def _refuse_micro_batches(suite: Suite, methods: Sequence["type[Method]"], recipes: Sequence[Recipe]) -> None:
    from amix.training.method import whole_batches

    asked = zip(suite.methods, methods, recipes, strict=True)
    whole = [row.label for row, method, recipe in asked if recipe.micro_batch is not None and whole_batches(method)]
    if whole:
        raise SuiteError(
            f"{methods_in(suite)}: training: micro_batch: {', '.join(whole)} needs whole batches; "
            "leave it out, or give such rows training: {micro_batch: null}"
        )


def _refuse_same_runs(suite: Suite, runs: Sequence[Job]) -> None:
    labels: dict[str, str] = {}
    for run in runs:
        other = labels.setdefault(run.spec.key, run.label)
        if other != run.label:
            raise SuiteError(
                f"{methods_in(suite)}: rows '{other}' and '{run.label}' have the same settings; keep one of them"
            )
