"""Checks before anything trains, so that a missing file costs a second and not an evening."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amix.data.data_checks import WARNING, Finding, refuse_errors
from amix.data.rows import DataError, glue_folder, load_rows
from amix.data.splits import drawn_findings, own_findings, subset_positions
from amix.models.architecture import ArchitectureError
from amix.models.loading import empty_classifier, load_tokenizer
from amix.runs.out_of_domain_scores import out_of_domain_folder, set_rows
from amix.specs.encoder_files import locate
from amix.specs.encoders import Encoder, find_encoder
from amix.specs.out_of_domain import sets_for
from amix.specs.recipe import Recipe
from amix.specs.task import Task
from amix.training.foreign_code import of_method
from amix.training.method import Method
from amix.training.settings import make_config
from runners.planning.job import Job
from runners.planning.plan import SuitePlan, examples_of
from runners.planning.suite import SuiteError
from runners.planning.tuning_grid import methods_in
from runners.sweeping.proof_process import Proof, prove

PROVEN_ON = 200
"""Texts of a task that the encoder is tried on."""


def check_inputs(
    plan: SuitePlan, runs: tuple[Job, ...], glue: Path | None, out_of_domain: Path | None = None, apart: bool = False
) -> dict[str, list[Finding]]:
    """Try the encoder on each task's texts and with each row's settings, and read everything that the runs need.

    Args:
        plan: the plan.
        runs: the runs to be done.
        glue: folder of GLUE files.
        out_of_domain: folder of the out-of-domain sets.
        apart: whether an encoder of the user's own is tried in a process of its own.

    Returns:
        Warnings about people's own data, by task.

    Raises:
        EncoderError: the encoder is missing or does not work; the message says what to do.
        SuiteError: a row's settings do not suit the encoder.
        DataError: a file cannot be used, or training on it would be meaningless.
    """
    warnings: dict[str, list[Finding]] = {}
    if not runs:
        return warnings
    locate(find_encoder(plan.suite.encoder))
    needed = {run.spec.task for run in runs}
    folder = glue_folder(glue) if any(task.origin == "glue" for task in plan.suite.tasks) else None
    tasks = [task for task in plan.suite.tasks if task.name in needed]
    prove(plan.suite.encoder, [_proof(task, runs, folder) for task in tasks], apart)
    for task in tasks:
        labels = load_rows(task, task.train, folder)["label"].to_numpy()
        longest = _longest(task, runs)
        check_rows(plan.suite.encoder, task, looking(plan, task, runs), methods_in(plan.suite))
        load_rows(task, task.test, folder)
        if task.origin == "files":
            sizes = [examples_of(task, size) for size in plan.suite.sizes]
            if own := own_warnings(task, plan.suite.seeds, sizes, plan.suite.subset, plan.suite.encoder, longest):
                warnings[task.name] = own
        for size in plan.suite.sizes:
            try:
                subset_positions(
                    labels, examples_of(task, size), plan.suite.seeds[0], plan.suite.subset, bool(task.validation)
                )
            except DataError as error:
                raise DataError(f"task {task.name}: {error}") from error
        for data_set in () if plan.suite.protocol.split == "dev" else sets_for(task.name, plan.suite.out_of_domain):
            set_rows(data_set, glue_folder(glue), out_of_domain_folder(out_of_domain))
    return warnings


def _longest(task: Task, runs: tuple[Job, ...]) -> int:
    return max(int(run.spec.training["max_length"]) for run in runs if run.spec.task == task.name)


def _proof(task: Task, runs: tuple[Job, ...], folder: Path | None) -> Proof:
    rows = load_rows(task, task.train, folder)[list(task.text)].iloc[:PROVEN_ON]
    return Proof(task, _longest(task, runs), list(rows.itertuples(index=False, name=None)))


Looking = Mapping[str, tuple[type[Method], Mapping[str, Any], Recipe]]
"""By label the method, settings and recipe of rows that are to look at an encoder."""


def looking(plan: SuitePlan, task: Task, runs: tuple[Job, ...]) -> Looking:
    """The rows that have runs of this task."""
    classes = {row.label: method for row, method in zip(plan.suite.methods, plan.methods, strict=True)}
    first = {run.label: run.spec for run in reversed(runs) if run.spec.task == task.name}
    return {
        label: (classes[label], spec.method_config, Recipe().with_changes(spec.training))
        for label, spec in first.items()
    }


def check_rows(encoder: str | Encoder, task: Task, rows: Looking, where: str) -> None:
    """Let the method of every row look at the encoder.

    Args:
        encoder: the encoder.
        task: the task that it classifies.
        rows: the rows.
        where: what stands before a message: the suite and `methods`, or an option.

    Raises:
        SuiteError: a row names a layer that the encoder does not have, or cannot use it at all.
    """
    checked = {label: row for label, row in rows.items() if row[0].check_encoder is not Method.check_encoder}
    if not checked:
        return
    model = empty_classifier(encoder, task)
    for label, (method, settings, recipe) in checked.items():
        try:
            with of_method(method):
                method(make_config(method, settings)).check_encoder(copy.deepcopy(model), task, recipe)
        except (ArchitectureError, ValueError) as error:
            raise SuiteError(f"{where}: {label}: {error}") from error


def own_warnings(
    task: Task, seeds: Sequence[int], sizes: Sequence[int | None], subset: str, encoder: str | Encoder, max_length: int
) -> list[Finding]:
    """Warnings about the files of a user's own task, and about the subsets that these seeds will draw.

    Args:
        task: the task.
        seeds: the seeds.
        sizes: numbers of training examples; None for all.
        subset: how subsets are drawn.
        encoder: whose tokenizer tells which texts are cut.
        max_length: the most tokens that any run keeps of a text.

    Raises:
        DataError: training on these data would be meaningless.
    """
    findings = own_findings(task, load_tokenizer(encoder), encoder, max_length)
    refuse_errors(task, findings)
    try:
        drawn = [one for size in sizes for seed in seeds for one in drawn_findings(task, size, seed, subset)]
    except DataError as error:  # More rows than there are.
        raise DataError(f"task {task.name} ({task.train}): {error}") from error
    return [one for one in (*findings, *drawn) if one.severity == WARNING]
