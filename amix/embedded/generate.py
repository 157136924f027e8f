"""Write the CSV files of the embedded tasks: `python -m amix.embedded.generate`.

The files are committed; this makes them again, byte for byte.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from amix.embedded import acceptability, entailment, paraphrase, similarity
from amix.embedded.lexicon import Split

FOLDER = Path(__file__).parent
SIZES: dict[Split, int] = {"train": 600, "validation": 300}
POSITIVE_SHARE = {"mini-cola": 0.63, "mini-rte": 0.5, "mini-mrpc": 0.6}
TASKS = ("mini-cola", "mini-rte", "mini-mrpc", "mini-stsb")
_FRAMES = {"mini-cola": acceptability.row, "mini-rte": entailment.row, "mini-mrpc": paraphrase.row}


def drawer(task: str, split: Split) -> Iterator:
    rng = Random(f"{task}/{split}")
    size = SIZES[split]
    if task == "mini-stsb":
        while True:
            s, y = similarity.row(rng, split)
            yield "x", s, y
    labels = [1] * round(size * POSITIVE_SHARE[task])
    labels += [0] * (size - len(labels))
    rng.shuffle(labels)
    for y in labels:
        seen = set()
        f, s = _FRAMES[task](rng, split, y)
        yield f, s, y


def main() -> None:
    for task in TASKS:
        for split in SIZES:
            rng = Random(f"{task}/{split}")
            size = SIZES[split]
            labels = None
            if task != "mini-stsb":
                labels = [1] * round(size * POSITIVE_SHARE[task])
                labels += [0] * (size - len(labels))
                rng.shuffle(labels)
            seen: set = set()
            rows: list = []
            frames = []
            while len(rows) < size:
                if labels:
                    y = labels[len(rows)]
                    f, s = _FRAMES[task](rng, split, y)
                else:
                    s, y = similarity.row(rng, split)
                    f = "x"
                if frozenset(s) in seen:
                    continue
                seen.add(frozenset(s))
                rows.append([len(rows), *s, y])
                frames.append(f)
            (FOLDER / task).mkdir(exist_ok=True)
            names = ["sentence"] if task == "mini-cola" else ["sentence1", "sentence2"]
            with (FOLDER / task / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
                w = csv.writer(file, lineterminator="\n")
                w.writerow(["idx", *names, "label"])
                w.writerows(rows)
            if split == "validation":
                Path(f"/tmp/emb/{task}.frames").write_text("\n".join(frames))


if __name__ == "__main__":
    main()
