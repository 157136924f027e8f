"""One run asked for by its parts."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from amix.specs.protocol import SELECTIONS, Protocol
from amix.specs.suggestions import nearest
from amix.specs.tasks import find_task
from amix.specs.yaml_files import YamlError, yaml_value
from runners.planning.overrides import with_choices
from runners.planning.plan import SuitePlan, make_plan
from runners.planning.suite import Row, Suite, SuiteError, find_suite
from runners.planning.tuning_grid import expanded

SUITE = "single"
"""Where the records of runs lie that belong to no suite."""


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings from texts such as lr=1e-4; values are read as YAML."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SuiteError(f"'{pair}': settings are given as name=value")
        try:
            settings[name.strip()] = yaml_value(value)
        except YamlError as error:
            raise SuiteError(f"'{pair}': what stands after = {error}") from error
    return settings


def one_run(
    suite: str | None,
    encoder: str,
    task: str,
    method: str,
    seed: int,
    size: int | None,
    settings: dict[str, Any],
    training: dict[str, Any],
    selection: str | None = None,
) -> SuitePlan:
    """A plan of one run: a suite's run when a suite is named, else one put together here.

    selection: the rule by which the test split is scored, `last` or `best_dev`; None is the suite's, else `last`.
    Raises:
        SuiteError, TaskError, MethodError: For an unknown name, with the nearest ones.
    """
    if selection is not None and selection not in SELECTIONS:
        raise SuiteError(f"selection: unknown '{selection}'; {nearest(selection, SELECTIONS)}")
    if suite is None:
        own = {find_task(task).name: task} if task.endswith((".yaml", ".yml")) else {}
        row = Row(method.rpartition(":")[2], method, settings)
        chosen = Suite(
            SUITE, encoder, (find_task(task),), (size,), (seed,), (row,),
            _protocol(row.label, "test", selection or SELECTIONS[0]), training=training,
            task_files={name: str(Path(file).resolve()) for name, file in own.items()},
        )  # fmt: skip
        return make_plan(chosen)
    chosen = with_choices(expanded(find_suite(suite)), f"+{method}")
    tasks = {one.name: one for one in chosen.tasks}
    if task not in tasks:
        raise SuiteError(f"suite {suite} has no task '{task}'; {nearest(task, tasks)}")
    row = next(row for row in chosen.methods if method in (row.label, row.method))
    row = dataclasses.replace(row, config=row.config | settings)
    sizes = (size,) if size is not None else chosen.sizes[:1]
    return make_plan(
        dataclasses.replace(
            chosen,
            tasks=(tasks[task],),
            sizes=sizes,
            seeds=(seed,),
            methods=(row,),
            protocol=_protocol(row.label, chosen.protocol.split, selection or chosen.protocol.selection),
            tuning=None,
            training=chosen.training | training,
        )
    )


def _protocol(label: str, split: str, selection: str) -> Protocol:
    """That of a single run: it is compared with nothing but itself."""
    return Protocol.model_validate({"reference": label, "split": split, "selection": selection})
