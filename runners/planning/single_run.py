"""The plan of a single run, given by task, method, seed and settings."""

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
"""Name under which the records of runs without a suite are stored."""


def settings_of(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings from texts such as lr=1e-4; values are parsed as YAML.

    Raises:
        SuiteError: a text that is not name=value.
    """
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SuiteError(f"'{pair}': settings are given as name=value")
        try:
            settings[name.strip()] = yaml_value(value)
        except YamlError as error:
            raise SuiteError(f"'{pair}': the value after = {error}") from error
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
    """The plan of one run: a suite's run if a suite is named, otherwise one composed here.

    Args:
        suite: name or file of a suite, or None.
        encoder: alias, Hub id or folder; ignored if a suite is named.
        task: name of a task, or the YAML file of one.
        method: name of a method, label in the suite, or path/to/file.py:ClassName.
        seed: of all sources of randomness.
        size: training examples; None for the suite's first size, or else all.
        settings: settings of the method.
        training: changes to the recipe.
        selection: the rule by which the test split is scored, `last` or `best_dev`; None for the suite's, or else
            `last`.

    Raises:
        SuiteError, TaskError, MethodError: a name is unknown; the message gives the nearest ones.
    """
    if selection is not None and selection not in SELECTIONS:
        raise SuiteError(f"selection: unknown '{selection}'; {nearest(selection, SELECTIONS)}")
    if suite is None:
        own_tasks = {find_task(task).name: task} if task.endswith((".yaml", ".yml")) else {}
        row = Row(method.rpartition(":")[2], method, settings)
        chosen = Suite(
            SUITE, encoder, (find_task(task),), (size,), (seed,), (row,),
            _protocol(row.label, "test", selection or SELECTIONS[0]), training=training,
            task_files={name: str(Path(file).parent.resolve() / Path(file).name) for name, file in own_tasks.items()},
        )  # fmt: skip
        return make_plan(chosen)
    chosen = with_choices(expanded(find_suite(suite)), f"+{method}")
    by_name = {suite_task.name: suite_task for suite_task in chosen.tasks}
    if task not in by_name:
        raise SuiteError(f"suite {suite} has no task '{task}'; {nearest(task, by_name)}")
    row = next(row for row in chosen.methods if method in (row.label, row.method))
    row = dataclasses.replace(row, config=row.config | settings)
    sizes = (size,) if size is not None else chosen.sizes[:1]
    return make_plan(
        dataclasses.replace(
            chosen,
            tasks=(by_name[task],),
            sizes=sizes,
            seeds=(seed,),
            methods=(row,),
            protocol=_protocol(row.label, chosen.protocol.split, selection or chosen.protocol.selection),
            tuning=None,
            training=chosen.training | training,
        )
    )


def _protocol(label: str, split: str, selection: str) -> Protocol:
    """The protocol of a single run, which is its own reference."""
    return Protocol.model_validate({"reference": label, "split": split, "selection": selection})
