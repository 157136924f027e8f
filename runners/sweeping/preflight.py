"""What is checked before anything trains, so that a missing file costs a second and not an evening."""

from pathlib import Path

from amix.data.rows import DataError, glue_folder, load_rows
from amix.data.splits import subset_positions
from amix.models.loading import load_tokenizer
from amix.runs.out_of_domain_scores import out_of_domain_folder, set_rows
from amix.specs.encoder_files import locate
from amix.specs.encoders import find_encoder
from amix.specs.out_of_domain import sets_for
from runners.planning.job import Job
from runners.planning.plan import SuitePlan, examples_of


def check_inputs(plan: SuitePlan, runs: tuple[Job, ...], glue: Path | None, out_of_domain: Path | None = None) -> None:
    """Find the encoder (its hash is checked) and read every split and out-of-domain set that these runs need.

    Errors: EncoderError or DataError, which name the alias, folder, file or line and what to do.
    """
    if not runs:
        return
    locate(find_encoder(plan.suite.encoder))
    load_tokenizer(plan.suite.encoder)
    needed = {run.spec.task for run in runs}
    folder = glue_folder(glue) if any(task.origin == "glue" for task in plan.suite.tasks) else None
    for task in plan.suite.tasks:
        if task.name not in needed:
            continue
        labels = load_rows(task, task.train, folder)["label"].to_numpy()
        load_rows(task, task.test, folder)
        for size in plan.suite.sizes:
            try:
                subset_positions(labels, examples_of(task, size), plan.suite.seeds[0], plan.suite.subset)
            except DataError as error:
                raise DataError(f"task {task.name}: {error}") from error
        for one in () if plan.suite.protocol.split == "dev" else sets_for(task.name, plan.suite.out_of_domain):
            set_rows(one, glue_folder(glue), out_of_domain_folder(out_of_domain))
