"""Bad inputs that are done in processes of their own: as a person types them, with no test's state around."""

from collections.abc import Iterator

from helpers.bad_inputs.case import (
    RUN,
    SUITE,
    SWEEP,
    TRAIN,
    BadInput,
    as_yaml,
    csv_text,
    on_suite,
    suite_with,
    task_with,
)
from helpers.bad_inputs.plugins import GOOD, METHODS


def apart_cases() -> Iterator[BadInput]:
    """One or two of each kind, and what needs limits that hold for a whole process."""
    suite, twice = on_suite(SWEEP), as_yaml(SUITE) + "seeds: [2]\n"
    ends = {"own.py": "import sys\nsys.exit(0)\n", "own.yaml": suite_with(methods=METHODS)}
    given: tuple[tuple[str, str, tuple[str, ...], str, dict[str, str | bytes], dict[str, str], str], ...] = (
        ("traceback: disk full", "a full disk", suite, "out", {}, {}, "-f 1"),
        ("", "a full disk, one run", RUN, "out", {}, {}, "-f 1"),
        ("", "a key twice", suite, "'seeds' appears twice", {"own.yaml": twice}, {}, ""),
        ("", "a suite that is not UTF-8", suite, "own.yaml, line", {"own.yaml": twice.encode() + b"# \xff"}, {}, ""),
        ("", "a plugin that ends Python", suite, "own.py, line 2", ends, {}, ""),
        (
            "",
            "a plugin without end brackets",
            ("methods", "--methods", "own.py:Own"),
            "own.py",
            {"own.py": "x = ("},
            {},
            "",
        ),
        ("", "a text where a number belongs", suite, "lr", {"own.yaml": suite_with(training={"lr": "fast"})}, {}, ""),
        ("", "two processes of none", RUN, "WORLD_SIZE", {}, {"WORLD_SIZE": "0"}, ""),
        (
            "",
            "a comma in every row",
            ("check", "toy.yaml"),
            "train.csv, line 2",
            {"train.csv": "text,label\n" + "".join(f"{text}, so,{label}\n" for text, label in TRAIN)},
            {},
            "",
        ),
        ("", "train is test", ("check", "toy.yaml"), "train.csv", {"toy.yaml": task_with(test="train.csv")}, {}, ""),
        (
            "",
            "one class",
            ("compare", "train.csv", "-e", "enc", "--out", "out"),
            "nothing to learn",
            {"train.csv": csv_text([(text, "x") for text, _ in TRAIN])},
            {},
            "",
        ),
        ("", "an unknown command", ("swep",), "swep", {}, {}, ""),
        ("", "GLUE a file", ("run", "-t", "rte", *RUN[3:]), "AMIX_GLUE", {}, {"AMIX_GLUE": "toy.yaml"}, ""),
        ("", "no tokenizer", RUN, "no tokenizer", {"own": b""}, {}, ""),
    )
    for line, name, command, says, files, env, limits in given:
        if name == "no tokenizer":
            command = tuple("elsewhere" if part == "enc" else part for part in command)
            files, says = {"elsewhere/config.json": '{"model_type": "bert"}'}, "elsewhere"
        yield BadInput(line, f"apart, {name}", command, (says,), files, env, True, limits, runs=bool(limits))
    plugin = {
        "own.py": GOOD + "\n    def loss(self, model, batch, fit):\n        exit()\n",
        "own.yaml": suite_with(methods=METHODS),
    }
    workers = on_suite(("sweep", "-w", "1"))
    yield BadInput("", "apart, exit in a worker", workers, ("SystemExit",), plugin, {}, True, "", True)
