"""From a suite to the runs it asks for, and to the plan.json from which tables are made without torch."""

import dataclasses
import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amix.data.task_source import task_source
from amix.specs import encoder_files
from amix.specs.encoder_files import public_name
from amix.specs.encoders import find_encoder
from amix.specs.out_of_domain import find_set
from amix.specs.recipe import Recipe
from amix.specs.run_plan import SCHEMA, Protocol
from amix.specs.run_spec import OUT_OF_DOMAIN, RunSpec
from amix.specs.seed_sources import SOURCES, Seeds
from amix.specs.store import write_atomically
from amix.specs.tasks import OFFICIAL_ROWS, Task
from amix.training.method import Method
from amix.training.registry import source_hash
from amix.training.settings import full_settings
from results.loading.layout import Layout
from runners.planning.planned_run import PlannedRun
from runners.planning.suite import Row, Size, Suite, SuiteError
from runners.planning.tuned_settings import with_tuned
from runners.planning.tuning_grid import EXTERNAL, check_seeds, expanded, method_of, recipe_of

EMBEDDED_NOTE = "embedded tasks: for trying the suite, not evidence"
SHARED_SEEDS_NOTE = (
    "runs share seeds of single sources of randomness and depend on each other: for the share of each source in the "
    "spread; tests and intervals over runs do not hold"
)
EXAMPLES_OF_A_FULL_SPLIT, EXAMPLES_OF_A_TEST_SPLIT = 10_000, 600
"""Stand in for the sizes of splits, which are not known before data is read; estimates only."""
EVALUATIONS, FORWARD_SHARE = {"last": 1, "best_dev": 2}, 1 / 3
"""A test split is scored with the last weights and, where the protocol asks, the best-dev ones; forward passes only."""


@dataclass(frozen=True)
class Plan:
    """All runs of a suite, in the order task, size, seed, row; methods are the classes behind the suite's rows."""

    suite: Suite
    runs: tuple[PlannedRun, ...]
    methods: tuple[type[Method], ...]

    @property
    def external(self) -> tuple[str, ...]:
        """The rows' methods from outside the project, as path/to/file.py:ClassName."""
        return tuple(dict.fromkeys(row.method for row in self.suite.methods if EXTERNAL in row.method))

    def as_dict(self, command: str) -> dict[str, Any]:
        """The plan as plain JSON types, with the command that asked for it."""
        suite = self.suite
        tuning = {"tuning": dataclasses.asdict(suite.tuning)} if suite.tuning else {}
        others = {OUT_OF_DOMAIN: _other_sets(suite)} if suite.out_of_domain else {}
        added = [seed for seed in suite.exploratory_seeds if seed in suite.seeds]
        more = tuning | others | ({"exploratory_seeds": added} if added else {})
        return more | {
            "schema": SCHEMA,
            "suite": suite.name,
            "title": suite.title,
            "note": _note(suite),
            "command": command,
            "protocol": _protocol_entry(suite.protocol),
            "tasks": {task.name: _task_entry(task, suite) for task in suite.tasks},
            "methods": [
                _row_entry(row, method, suite) for row, method in zip(suite.methods, self.methods, strict=True)
            ],
            "encoder": public_name(suite.encoder),
            "sizes": [dict(size) if isinstance(size, Mapping) else size for size in suite.sizes],
            "seeds": list(suite.seeds),
            "runs": [
                {
                    "key": run.spec.key,
                    "label": run.label,
                    "task": run.spec.task,
                    "n_train": run.spec.n_train,
                    "seed": run.spec.seed,
                    **({"seed_sources": run.spec.seed_sources} if run.spec.seed_sources else {}),
                }
                for run in self.runs
            ],
        }

    def write(self, layout: Layout, command: str) -> None:
        """Write plan.json beside the suite's records."""
        content = json.dumps(self.as_dict(command), indent=1)
        write_atomically(layout.plan(self.suite.name), content.encode())


def examples_of(task: Task, size: Size) -> int | None:
    """Training examples of a task at one of a suite's sizes; None is the whole train split."""
    return size[task.name] if isinstance(size, Mapping) else size


def make_plan(suite: Suite) -> Plan:
    """All runs that the suite asks for, a row's seeds among the suite's.

    A method that is not defined for regression has none on such a task.

    Errors: SuiteError for an unknown method, setting or training option, for two rows that are the same run, for seeds
    that are both tuned on and reported, and for tuned settings that nobody has sought yet.
    """
    check_seeds(suite)
    suite = expanded(suite)
    rows = with_tuned(suite)
    recipes = [recipe_of(suite, row) for row in rows]
    encoder_source = encoder_files.source_hash(suite.encoder)
    methods = tuple(method_of(row) for row in rows)
    settings = [_settings(row, method) for row, method in zip(rows, methods, strict=True)]
    runs = tuple(
        _planned(suite, row.label, method, configuration, recipe, task, examples_of(task, size), seed, encoder_source)
        for task in suite.tasks
        for size in suite.sizes
        for seed in suite.seeds
        for row, method, configuration, recipe in zip(suite.methods, methods, settings, recipes, strict=True)
        if (method.info.regression or not task.regression) and (not row.seeds or seed in row.seeds)
    )
    _refuse_same_runs(runs)
    return Plan(suite, runs, methods)


def _planned(
    suite: Suite,
    label: str,
    method: type[Method],
    settings: dict[str, Any],
    recipe: Recipe,
    task: Task,
    size: int | None,
    seed: int,
    encoder_source: str,
) -> PlannedRun:
    spec = RunSpec(
        task=task.name,
        n_train=size,
        seed=seed,
        method=method.name,
        encoder=public_name(suite.encoder),
        method_config=settings,
        method_source=source_hash(method),
        task_source=task_source(task),
        encoder_source=encoder_source,
        training=recipe.as_dict(),
        subset=suite.subset,
        seed_sources=suite.seed_sources.get(seed, {}),
    )
    if recipe.class_weights and task.regression:
        raise SuiteError(f"training: class_weights needs classes, and the label of task {task.name} is a number")
    examples = EXAMPLES_OF_A_FULL_SPLIT if size is None else size
    passes = method(method.Config(**settings)).relative_passes(examples, recipe)
    tested = OFFICIAL_ROWS[task.name][1] if task.name in OFFICIAL_ROWS else EXAMPLES_OF_A_TEST_SPLIT
    evaluated = 0.0 if suite.protocol.split == "dev" else EVALUATIONS[suite.protocol.selection] * FORWARD_SHARE * tested
    return PlannedRun(label, spec, passes * recipe.total_steps(examples) * recipe.batch_size + evaluated)


def _settings(row: Row, method: type[Method]) -> dict[str, Any]:
    try:
        return full_settings(method, row.config)
    except (TypeError, ValueError) as error:
        raise SuiteError(f"methods, {row.label}: {error}") from error


def _refuse_same_runs(runs: Sequence[PlannedRun]) -> None:
    labels: dict[str, str] = {}
    for run in runs:
        other = labels.setdefault(run.spec.key, run.label)
        if other != run.label:
            raise SuiteError(f"methods: rows '{other}' and '{run.label}' have the same settings; keep one of them")


def with_recorded(plan: Plan, suite: Suite, recorded: Container[str]) -> Plan:
    """The plan with those rows and seeds of the whole suite that have records: what tables should show.

    So that a sweep of some rows or seeds (--methods, --seeds) adds to the tables and takes nothing from them.
    """
    suite = expanded(suite)
    chosen = {row.label: row for row in plan.suite.methods}
    rows = {row.label: row for row in suite.methods} | chosen
    seeds = tuple(dict.fromkeys((*suite.seeds, *plan.suite.seeds)))
    whole = make_plan(dataclasses.replace(suite, methods=tuple(rows.values()), seeds=seeds))
    there = [run for run in whole.runs if run.spec.key in recorded]
    labels = {run.label for run in there} | set(chosen)
    if suite.tuning:  # A method whose search has begun stands there with all its settings: the rest is missing.
        begun = {row.method for label, row in rows.items() if label in labels}
        labels |= {label for label, row in rows.items() if row.method in begun}
    numbers = {run.spec.seed for run in there} | set(plan.suite.seeds)
    protocol = suite.protocol if suite.protocol.focus in labels else plan.suite.protocol
    return make_plan(
        dataclasses.replace(
            suite,
            methods=tuple(row for label, row in rows.items() if label in labels),
            seeds=tuple(seed for seed in seeds if seed in numbers),
            protocol=protocol,
        )
    )


def _note(suite: Suite) -> str:
    """What the numbers must not be taken for; embedded tasks say it of themselves."""
    embedded = any(task.origin == "embedded" for task in suite.tasks)
    shared = SHARED_SEEDS_NOTE if _share_seeds(suite) else ""
    return "; ".join(part for part in (EMBEDDED_NOTE if embedded else "", shared, suite.note) if part)


def _share_seeds(suite: Suite) -> bool:
    """Whether two runs of one row have the same seed of some source, so that their scores depend on each other."""
    seeds = [Seeds.of(seed, suite.seed_sources.get(seed)) for seed in suite.seeds]
    return any(len({getattr(one, source) for one in seeds}) < len(seeds) for source in SOURCES)


def _task_entry(task: Task, suite: Suite) -> dict[str, Any]:
    seen = dict(find_encoder(suite.encoder).seen).get(task.name)
    notes = [suite.footnotes.get(task.name), f"seen by the encoder in its own training: {seen}" if seen else None]
    return {
        "metric": task.metrics[0],
        "metrics": list(task.metrics),
        "title": task.title,
        "footnote": "; ".join(note for note in notes if note),
        **({"official_rows": list(OFFICIAL_ROWS[task.name])} if task.name in OFFICIAL_ROWS else {}),
        **_positive(task),
        "higher_is_better": True,
    }


def _positive(task: Task) -> dict[str, Any]:
    """The class that F1 is of, where readers cannot know it."""
    if task.origin != "files" or "f1" not in task.metrics or task.labels is None:
        return {}
    return {"positive": task.labels[task.positive_class], "positive_class": task.positive_class}


def _other_sets(suite: Suite) -> list[dict[str, Any]]:
    found = [find_set(name) for name in suite.out_of_domain]
    return [
        {
            "name": one.name,
            "title": one.data.title,
            "metric": one.data.metrics[0],
            "tasks": [task.name for task in suite.tasks if task.name in one.tasks],
        }
        for one in found
    ]


def _protocol_entry(protocol: Protocol) -> dict[str, Any]:
    # What a suite does not say stays out, so that plans written before it could be said are written the same.
    unsaid = {name for name in ("looks", "endpoints") if getattr(protocol, name) == getattr(Protocol, name)}
    return {name: value for name, value in dataclasses.asdict(protocol).items() if name not in unsaid}


def _row_entry(row: Row, method: type[Method], suite: Suite) -> dict[str, Any]:
    added: dict[str, Any] = {"exploratory": True} if row.exploratory else {}
    if seeds := [seed for seed in row.exploratory_seeds if seed in suite.seeds]:
        added["exploratory_seeds"] = seeds
    return {
        "label": row.label,
        "method": method.name,
        "paper": method.info.paper,
        "year": method.info.year,
        "kind": method.info.kind,
        "passes": method.info.passes,
        **added,
    }
