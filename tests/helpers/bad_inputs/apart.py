"""Bad inputs that are done in processes of their own: as a person types them, with no test's state around.

The one with a limit is done by a new process, the others by one that is forked with the imports done; of the sweep with
a worker, the worker is.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from helpers.bad_inputs.case import ENCODER, RUN, SUITE, SWEEP, TRAIN, BadInput, as_yaml, on_suite, suite_with
from helpers.bad_inputs.encoders import weights_that_touch
from helpers.bad_inputs.plugins import ENDS_IN_LOSS, GOOD, METHODS


def apart_cases() -> Iterator[BadInput]:
    """One of most kinds, and what needs a limit or a worker of its own."""
    suite = on_suite(SWEEP)
    line = "traceback: disk full"
    yield BadInput(line, "apart, a full disk", suite, ("File too large: ", "out"), apart=True, limits="-f 1", runs=True)
    twice = {"own.yaml": as_yaml(SUITE) + "seeds: [2]\n"}
    yield BadInput("", "apart, a key twice", suite, ("own.yaml, line", "'seeds' appears twice"), twice, apart=True)
    ends = {"own.py": "import sys\nsys.exit(0)\n", "own.yaml": suite_with(methods=METHODS)}
    yield BadInput("", "apart, a plugin that ends Python", suite, ("own.py, line 2",), ends, apart=True)
    env = {"WORLD_SIZE": "0"}
    yield BadInput("", "apart, no processes", RUN, ("WORLD_SIZE",), env=env, apart=True)
    commas = {"train.csv": "text,label\n" + "".join(f"{text}, so,{label}\n" for text, label in TRAIN)}
    yield BadInput("", "apart, a comma in every row", ("check", "toy.yaml"), ("line 2",), commas, apart=True)
    foreign = tuple("elsewhere" if part == "enc" else part for part in RUN)
    files = {"elsewhere/config.json": '{"model_type": "bert"}'}
    yield BadInput("", "apart, no weights", foreign, ("elsewhere has no weights",), files, apart=True)
    weights = {"elsewhere": unsafe_weights}
    yield BadInput("", "apart, weights that would run code", foreign, ("elsewhere",), weights, apart=True)
    pipe = {"train.csv": os.mkfifo}
    yield BadInput("", "apart, rows that never end", ("check", "toy.yaml"), ("train.csv", "pipe"), pipe, apart=True)
    compare = ("compare", "train.csv", "-e", ENCODER, "--out", "out")
    excel = {"train.csv": "text;label\nschön;positive\nnicht schön;negative\n".encode("cp1252")}
    yield BadInput("", "apart, an encoding to compare", compare, ("line 2", "--encoding cp1252"), excel, apart=True)
    predict = ("predict", ENCODER, "train.csv", "--out", "predictions.csv")
    yield BadInput("", "apart, an encoder to predict with", predict, ("prediction.json", "compare"), apart=True)
    plugin = {"own.py": GOOD + ENDS_IN_LOSS, "own.yaml": suite_with(methods=METHODS)}
    workers = on_suite(("sweep", "-w", "1"))
    yield BadInput("", "apart, exit in a worker", workers, ("SystemExit",), plugin, runs=True)


def unsafe_weights(path: Path) -> None:
    """The encoder beside it with weights that write a file when they are unpickled."""
    shutil.copytree((path.parent / ENCODER).resolve(), path)
    weights_that_touch(path)
