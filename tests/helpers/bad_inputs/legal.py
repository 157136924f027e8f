"""Inputs that look wrong and are not: they must be read as they are meant."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow

from helpers.bad_inputs.case import (
    LABELS,
    RUN,
    SUITE,
    SWEEP,
    TEST,
    TRAIN,
    Content,
    as_yaml,
    csv_text,
    on_suite,
    suite_with,
    task_with,
)
from helpers.bad_inputs.encoders import copied
from helpers.bad_inputs.plugins import GOOD, METHODS
from helpers.bad_inputs.tables import array, lines, parquet

CHECK = ("check", "toy.yaml")


@dataclass(frozen=True)
class LegalInput:
    """One input that must be accepted.

    Attributes:
        name: its own name.
        command: what is typed after `python -m runners`.
        says: what must be printed.
        files: what lies in the folder beside the good files, or in their place.
        line: which known fault it was.
    """

    name: str
    command: tuple[str, ...]
    says: tuple[str, ...]
    files: Mapping[str, Content] = field(default_factory=dict)
    line: str = ""


def legal_inputs(encoder: Path) -> Iterator[LegalInput]:
    """All of them; encoders among them are copies of this one."""
    for name, file, content, task in (*_separated(), *_json(), *_parquet()):
        files: dict[str, Content] = {"train.csv": None, file: content, "toy.yaml": task_with(**{"train": file, **task})}
        yield LegalInput(name, CHECK, ("48 rows", "0 errors"), files)
    yield from _tasks()
    yield from _suites(encoder)
    yield from _options()


Table = tuple[str, str, Content, dict[str, Any]]
"""Name, file, content, what the task says of it."""
ODD = (
    "1e5",
    "None",
    "NA",
    "01",
    "true",
    "nan",
    "-",
    "0x1F",
    "NULL",
    "1,5",
    '"',
    "''",
    "a;b",
    "=1+1",
    "#",
    "\\N",
    "inf",
)
"""Texts that other readers make numbers, gaps or something else of."""


def _separated() -> Iterator[Table]:
    good = csv_text(TRAIN)
    german = good.replace("fine", "sch\u00f6n")
    for name, encoding in (("UTF-8 with its mark", "utf-8-sig"), ("UTF-16", "utf-16"), ("UTF-32", "utf-32")):
        yield name, "train.csv", german.encode(encoding), {}
    yield "UTF-16, high byte first", "train.csv", b"\xfe\xff" + german.encode("utf-16-be"), {}
    yield "cp1252 that is named", "train.csv", german.encode("cp1252"), {"encoding": "cp1252"}
    yield "Windows' line ends", "train.csv", good.replace("\n", "\r\n"), {}
    yield "old Mac's line ends", "train.csv", good.replace("\n", "\r"), {}
    yield "no line end at the end", "train.csv", good.rstrip("\n"), {}
    yield "blank lines", "train.csv", good.replace("\n", "\n\n"), {}
    for kind, separator in (("semicolons", ";"), ("tabs", "\t")):
        yield f"{kind} in a CSV", "train.csv", csv_text(TRAIN, separator=separator), {}
    yield "commas in a TSV", "train.tsv", good, {}
    yield "Excel's line of the separator", "train.csv", "sep=;\n" + csv_text(TRAIN, separator=";"), {}
    yield "a suffix in capitals", "TRAIN.CSV", good, {}
    yield "a name with blanks and letters", "meine Texte (neu) \u00fc.csv", good, {}
    yield "a folder below", "data/train.csv", good, {}
    yield "a link", "linked.csv", lambda path: path.symlink_to(_beside(path, good)), {}
    rows = list(TRAIN)
    odd = [(text, rows[place][1]) if place < len(ODD) else rows[place] for place, text in enumerate((*ODD, *"x" * 31))]
    yield "texts that look like numbers and gaps", "train.csv", csv_text(odd), {}
    yield "texts of several lines", "train.csv", csv_text([(f"{text}\nand\r\nmore", label) for text, label in rows]), {}
    yield "quotes in texts", "train.csv", csv_text([(f'"{text}", she said', label) for text, label in rows]), {}
    yield (
        "emoji and other scripts",
        "train.csv",
        csv_text([(f"{text} \U0001f600 \u0645\u0631\u062d\u0628\u0627 \u6f22\u5b57", label) for text, label in rows]),
        {},
    )
    yield "a long text", "train.csv", csv_text([("cat " * 20_000, "positive"), *rows[1:]]), {}
    yield (
        "a column more",
        "train.csv",
        csv_text([(*row, place) for place, row in enumerate(rows)], ("text", "label", "id")),
        {},
    )
    yield (
        "a column without a name",
        "train.csv",
        csv_text([(place, *row) for place, row in enumerate(rows)], ("", "text", "label")),
        {},
    )
    yield "a header with blanks", "train.csv", csv_text(rows, (" text ", "label ")), {}
    yield "labels with blanks", "train.csv", csv_text([(text, f" {label} ") for text, label in rows]), {}
    yield "labels as ids", "train.csv", csv_text([(text, LABELS.index(label)) for text, label in rows]), {}
    yield "labels as fractions", "train.csv", csv_text([(text, float(LABELS.index(label))) for text, label in rows]), {}


def _beside(path: Path, content: str) -> str:
    (path.parent / "elsewhere").mkdir()
    (path.parent / "elsewhere" / "t.csv").write_text(content, encoding="utf-8")
    return "elsewhere/t.csv"


def _json() -> Iterator[Table]:
    rows = list(TRAIN)
    yield "JSON lines with Windows' line ends", "train.jsonl", lines(rows).replace("\n", "\r\n"), {}
    yield "JSON lines with a mark", "train.jsonl", lines(rows).encode("utf-8-sig"), {}
    yield "blank JSON lines", "train.jsonl", lines(rows).replace("\n", "\n\n  \n"), {}
    yield "JSON lines under another name", "train.ndjson", lines(rows), {}
    yield "an indented array", "train.json", json.dumps(json.loads(array(rows)), indent=4), {}
    yield "JSON lines named as an array", "train.json", lines(rows), {}
    yield "an array named as JSON lines", "train.jsonl", array(rows), {}
    numbers = [{"text": place * 1.5, "label": label} for place, (_, label) in enumerate(rows)]
    yield "numbers as texts", "train.jsonl", "".join(json.dumps(one) + "\n" for one in numbers), {}
    ids = [{"text": text, "label": LABELS.index(label)} for text, label in rows]
    yield "numbers as labels", "train.jsonl", "".join(json.dumps(one) + "\n" for one in ids), {}
    more = [{"id": place, "label": label, "text": text, "list": [1]} for place, (text, label) in enumerate(rows)]
    yield (
        "fields in another order, and more of them",
        "train.jsonl",
        "".join(json.dumps(one) + "\n" for one in more),
        {},
    )


def _parquet() -> Iterator[Table]:
    texts, labels = [text for text, _ in TRAIN], [label for _, label in TRAIN]
    yield (
        "texts stored as bytes",
        "train.parquet",
        parquet({"text": [text.encode() for text in texts], "label": labels}),
        {},
    )
    for name, kind in (
        ("long texts", pyarrow.large_string()),
        ("a dictionary", pyarrow.dictionary(pyarrow.int8(), pyarrow.string())),
    ):
        column: Any = pyarrow.array(texts, pyarrow.string()).cast(kind)
        yield f"texts as {name}", "train.parquet", parquet({"text": column, "label": labels}), {}
    yield (
        "small numbers as labels",
        "train.parquet",
        parquet({"text": texts, "label": pyarrow.array([LABELS.index(one) for one in labels], pyarrow.int8())}),
        {},
    )
    yield (
        "fractions as labels",
        "train.parquet",
        parquet({"text": texts, "label": [float(LABELS.index(one)) for one in labels]}),
        {},
    )


def _tasks() -> Iterator[LegalInput]:
    good = task_with()
    named = {LABELS[0]: "no", LABELS[1]: "yes"}
    other = {
        "train.csv": csv_text([(text, named[label]) for text, label in TRAIN]),
        "test.csv": csv_text([(text, named[label]) for text, label in TEST]),
    }
    greek = {
        "train.csv": csv_text([(text, f"\u03b1{label}") for text, label in TRAIN]),
        "test.csv": csv_text([(text, f"\u03b1{label}") for text, label in TEST]),
    }
    for name, content, files in (
        ("a task with Windows' line ends", good.replace("\n", "\r\n"), {}),
        ("a task with a mark", good.encode("utf-8-sig"), {}),
        ("a task in UTF-16", good.encode("utf-16"), {}),
        ("labels yes and no", good.replace("- negative\n- positive", "- no\n- yes"), other),
        (
            "labels of letters of another script",
            as_yaml(
                {
                    "name": "toy",
                    "train": "train.csv",
                    "test": "test.csv",
                    "text": "text",
                    "labels": [f"\u03b1{label}" for label in LABELS],
                }
            ),
            greek,
        ),
        (
            "an anchor in a task",
            "l: &l [negative, positive]\n".replace("l: ", "labels: ") + good.split("labels:")[0],
            {},
        ),
        ("fields that say nothing", good + "title:\nvalidation:\npositive:\nencoding:\n", {}),
        (
            "two columns of text",
            task_with(text=["text", "id"]),
            {
                "train.csv": csv_text(
                    [(text, f"no. {place}", label) for place, (text, label) in enumerate(TRAIN)],
                    ("text", "id", "label"),
                ),
                "test.csv": csv_text(
                    [(text, f"no. {place}", label) for place, (text, label) in enumerate(TEST)], ("text", "id", "label")
                ),
            },
        ),
        ("a dev file", task_with(validation="dev.csv"), {"dev.csv": csv_text(TEST[:20])}),
        ("a test file that holds the train texts", task_with(test="copy.csv"), {"copy.csv": csv_text(TRAIN)}),
    ):
        yield LegalInput(name, CHECK, ("0 errors",), {"toy.yaml": content, **files})


def _suites(encoder: Path) -> Iterator[LegalInput]:
    good, planned = as_yaml(SUITE), on_suite(("plan",))
    for name, content in (
        ("a suite in UTF-16", good.encode("utf-16")),
        ("a suite with Windows' line ends", good.replace("\n", "\r\n")),
        ("an anchor", suite_with(training=None).replace("training: null", "training: &t {epochs: 1}")),
        (
            "a merged mapping",
            suite_with(methods=None).replace(
                "methods: null", "methods:\n  vanilla: &v {training: {epochs: 2}}\n  mixout:\n    <<: *v\n    p: 0.5"
            ),
        ),
        ("numbers as people write them", suite_with(training={"lr": "LR"}).replace("LR", "1e-4")),
        ("one value in place of lists", suite_with(tasks="toy.yaml", sizes=12, seeds=1, methods="vanilla")),
        ("comments and a document's start", "---\n# mine\n" + good + "# end\n"),
        ("keys in quotes", good.replace("seeds:", '"seeds":')),
        ("JSON", json.dumps(SUITE)),
        ("an infinite clip norm", suite_with(training={"clip_norm": float("inf")})),
        ("negative seeds", suite_with(seeds=[-1, 0])),
        (
            "a grid that a suite without tuning does not try",
            suite_with(methods={"mixout": {"grid": {"p": [0.1, 0.9]}}}),
        ),
        ("a name of other letters", suite_with(name="\u00dcbung 1")),
        ("sizes for each task", suite_with(sizes=[{"toy": 12}])),
        ("a row named like a number in quotes", suite_with(methods={"5": {"method": "vanilla"}})),
    ):
        yield LegalInput(name, planned, ("runs", "to do"), {"own.yaml": content})
    plugin = suite_with(methods=METHODS)
    for name, code in (
        ("a plugin", GOOD),
        ("a plugin that prints", GOOD + "\nprint('hello')\n"),
        ("a plugin with other letters", GOOD.replace("another name", "anderem Namen \u00fc")),
        ("a plugin with Windows' line ends", GOOD.replace("\n", "\r\n")),
        ("a plugin with a mark", "\ufeff" + GOOD),
        ("a plugin whose main part ends Python", GOOD + "\nif __name__ == '__main__':\n    raise SystemExit(0)\n"),
    ):
        yield LegalInput(name, planned, ("own",), {"own.yaml": plugin, "own.py": code})
    for name, damage in (
        ("further files in the encoder's folder", _further),
        ("an encoder without its line ends", _stripped),
    ):
        line = "traceback: folder named json" if damage is _further else ""
        yield LegalInput(name, on_suite(SWEEP), ("1 ok",), {"enc": copied(encoder, damage)}, line)


def _further(path: Path) -> None:
    (path / "README.md").write_text("# mine", encoding="utf-8")
    (path / "onnx").mkdir()
    (path / "runs.json").mkdir()
    (path / "training_args.json").write_text("{}", encoding="utf-8")


def _stripped(path: Path) -> None:
    (path / "config.json").write_text((path / "config.json").read_text(encoding="utf-8").strip(), encoding="utf-8")


def _options() -> Iterator[LegalInput]:
    one = (*RUN, "--training", "epochs=1")
    yield LegalInput("seeds as a preset", on_suite(("plan",), "--seeds", "agwm:2"), ("2 runs",))
    yield LegalInput("seeds with blanks", on_suite(("plan",), "--seeds", " 3, 4 ,"), ("2 runs",))
    yield LegalInput("rows of nothing", on_suite(("plan",), "--methods", ""), ("1 run,",))
    yield LegalInput("a row more", on_suite(("plan",), "--methods", "+mixout"), ("2 runs",))
    yield LegalInput("a setting in YAML", (*one, "-m", "mixout", "--set", "p=5e-1"), ("ok",))
    there = {"lora": {"targets": ["query"]}, "peft": {"options": ["layers_to_transform=[0]"]}, "lnsr": {"layer": 1}}
    yield LegalInput("layers that are there", on_suite(SWEEP), ("3 ok",), {"own.yaml": suite_with(methods=there)})
    yield LegalInput("one row", (*one, "-n", "1"), ("ok",))
    yield LegalInput("an absolute suite", ("plan", "--suite", "./own.yaml", "--out", "./out/../out"), ("1 run,",))
