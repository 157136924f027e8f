"""How difficult the embedded tasks are: `python -m runners bench embedded` prints the table of their README.md.

Plain finetuning of MiniLM and of its first four layers, three seeds for each task: about five minutes on one idle core.
"""

import statistics

from rich.progress import track

from amix.runs.context import RunContext
from amix.runs.execute import execute
from amix.runs.scoring import Record
from amix.specs.encoders import find_encoder
from amix.specs.run_spec import RunSpec
from amix.specs.task import Task
from amix.specs.tasks import EMBEDDED
from baselines.vanilla import Vanilla
from runners.benchmarks.embedded_ngrams import ngram_score

MINILM = ("minilm-l4", "minilm-l6")
SEEDS = (0, 1, 2)
N_TRAIN = 100


def finetuned(task: Task, encoder: str, seed: int) -> Record:
    """The record of plain finetuning on a subset of N_TRAIN rows.

    Raises:
        RuntimeError: the run failed.
    """
    training = find_encoder(encoder).recipe.as_dict()
    record, _ = execute(RunSpec(task.name, N_TRAIN, seed, Vanilla.name, encoder, training=training), RunContext())
    if record["status"] != "ok":
        raise RuntimeError(f"{task.name}, {encoder}, seed {seed}: {record['error']}")
    return record


def row(task: Task) -> str:
    """One line of the table: metric, majority, n-grams, then mean ± standard deviation for each encoder."""
    metric = task.metrics[0]
    cells = []
    for encoder in MINILM:
        records = [finetuned(task, encoder, seed) for seed in track(SEEDS, f"{task.name}, {encoder}")]
        scores = [record["scores"]["last"]["test"][metric] for record in records]
        cells.append(f"{statistics.mean(scores):.2f} ± {statistics.stdev(scores):.2f}")
    majority = records[0]["data"]["majority"][metric]
    return " | ".join([f"| {task.name}", metric, f"{majority:.2f}", f"{ngram_score(task):.2f}", *cells]) + " |"


def table() -> str:
    """The whole table as Markdown, with the recipe that it was measured with."""
    recipe = find_encoder(MINILM[-1]).recipe
    heads = ["task", "metric", "majority", "n-grams, 600 rows", *(f"{name}, {N_TRAIN} rows" for name in MINILM)]
    lines = ["| " + " | ".join(heads) + " |", "|---|---" + "|---:" * (len(heads) - 2) + "|", *map(row, EMBEDDED)]
    note = (
        f"Validation scores after the last epoch; mean ± standard deviation over {len(SEEDS)} seeds. "
        f"Finetuning: lr {recipe.lr:g}, {recipe.epochs} epochs, batch {recipe.batch_size}."
    )
    return "\n".join([*lines, "", note])
