"""Bad inputs that are done in processes of their own: as a person types them, with no test's state around.

The one with a limit is done by a new process, the others by one that is forked with the imports done; of the sweep with
a worker, the worker is.
"""

from collections.abc import Iterator

from helpers.bad_inputs.case import RUN, SUITE, SWEEP, TRAIN, BadInput, as_yaml, on_suite, suite_with
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
    plugin = {"own.py": GOOD + ENDS_IN_LOSS, "own.yaml": suite_with(methods=METHODS)}
    workers = on_suite(("sweep", "-w", "1"))
    yield BadInput("", "apart, exit in a worker", workers, ("SystemExit",), plugin, runs=True)
