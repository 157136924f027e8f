"""Write the CSV files of the embedded tasks: `python -m amix.data.embedded.generator.generate`.

The files are committed so that they can be read; this command reproduces them byte for byte.
"""

import csv
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

from amix.data.embedded.generator import acceptability, entailment, paraphrase, similarity
from amix.data.embedded.generator.lexicon import Split

FOLDER = Path(__file__).parent.parent
SIZES: dict[Split, int] = {"train": 600, "validation": 300}
SHARE_OF_ONES = {"mini-cola": 0.63, "mini-rte": 0.5, "mini-mrpc": 0.6}
TASKS = (*SHARE_OF_ONES, "mini-stsb")
_SENTENCES: dict[str, Callable[[Random, Split, int], tuple[str, ...]]] = {
    "mini-cola": acceptability.sentences,
    "mini-rte": entailment.sentences,
    "mini-mrpc": paraphrase.sentences,
}
Example = tuple[tuple[str, ...], float]


def examples(task: str, split: Split) -> list[Example]:
    """Generate all examples of a split as (one or two sentences, label); no pair is repeated, in either order.

    Raises:
        KeyError: The task is unknown.
    """
    rng = Random(f"{task}/{split}")
    size = SIZES[split]
    if task == "mini-stsb":
        return _distinct(size, lambda place: similarity.scored_pair(rng, split))
    ones = round(size * SHARE_OF_ONES[task])
    labels = [1] * ones + [0] * (size - ones)
    rng.shuffle(labels)
    return _distinct(size, lambda place: (_SENTENCES[task](rng, split, labels[place]), labels[place]))


def _distinct(size: int, draw: Callable[[int], Example]) -> list[Example]:
    distinct: dict[frozenset[str], Example] = {}
    while len(distinct) < size:
        texts, label = draw(len(distinct))
        if len(set(texts)) == len(texts):
            distinct.setdefault(frozenset(texts), (texts, label))
    return list(distinct.values())


def write(folder: Path) -> None:
    """Write <folder>/<task>/<split>.csv for all tasks and splits."""
    for task in TASKS:
        columns = ["sentence"] if task == "mini-cola" else ["sentence1", "sentence2"]
        (folder / task).mkdir(parents=True, exist_ok=True)
        for split in SIZES:
            with (folder / task / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["idx", *columns, "label"])
                writer.writerows([place, *texts, label] for place, (texts, label) in enumerate(examples(task, split)))


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
