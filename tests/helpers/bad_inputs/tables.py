"""Tables that cannot be used: every format with every damage, read by every command that reads tables."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from helpers.bad_inputs.case import SWEEP, TEST, TRAIN, BadInput, csv_text, on_suite, rows_of, task_with

COMPARE = (
    "compare",
    "train.csv",
    "--label",
    "label",
    "--text",
    "text",
    "-e",
    "enc",
    "--max-length",
    "16",
    "--out",
    "out",
    "-w",
    "0",
)
ANY_CLASSES = ("an unknown label", "ids and names", "an id too high")
"""Without a task's list of labels these are classes like others."""
NOT_CHECKED = ("three rows",)
"""Only what wants more rows of them refuses these."""
Rows = list[tuple[Any, Any]]


def parquet(columns: dict[str, list[Any]]) -> bytes:
    """A Parquet file's content."""
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def lines(rows: Rows) -> str:
    """The same rows as JSON lines."""
    return "".join(json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in rows)


def array(rows: Rows) -> str:
    """The same rows as one JSON array."""
    return json.dumps([{"text": text, "label": label} for text, label in rows], ensure_ascii=False)


def columns(rows: Rows) -> bytes:
    """The same rows as Parquet."""
    return parquet({"text": [text for text, _ in rows], "label": [label for _, label in rows]})


FORMATS: dict[str, Callable[[Rows], str | bytes]] = {
    "csv": csv_text,
    "tsv": lambda rows: csv_text(rows, separator="\t"),
    "jsonl": lines,
    "json": array,
    "parquet": columns,
}
"""Kinds of file, and how rows are written in each."""


def with_value(place: int, text: Any = None, label: Any = None) -> Rows:
    """The train rows with another text or label in one of them."""
    rows: Rows = list(TRAIN)
    rows[place] = (rows[place][0] if text is None else text, rows[place][1] if label is None else label)
    return rows


def table_cases() -> Iterator[BadInput]:
    """All damages, each read by two commands."""
    for number, (line, name, file, content, says) in enumerate((*_in_every_format(), *_texts(), *_json(), *_parquet())):
        files = {"train.csv": None, file: content, "toy.yaml": task_with(train=file)}
        named = (file, *says)
        if not name.startswith(NOT_CHECKED):
            yield BadInput(line, f"table, {name}, checked", ("check", "toy.yaml"), named, files)
        if number % 2 or name.startswith(ANY_CLASSES):
            yield BadInput(line, f"table, {name}, swept", on_suite(SWEEP), named, files)
        else:
            command = tuple(file if part == "train.csv" else part for part in COMPARE)
            yield BadInput(line, f"table, {name}, compared", command, (file,), files)
    yield from _as_tasks()


Case = tuple[str, str, str, str | bytes | Callable[[Path], None], tuple[str, ...]]
"""Line, name, the file, its content, what the message says beside the file."""


def _in_every_format() -> Iterator[Case]:
    """Damages of rows that every format can hold."""
    for kind, write in FORMATS.items():
        file = f"train.{kind}"
        one_class = [(text, "positive") for text, _ in TRAIN]
        yield "data that mean nothing: one class", f"one class as {kind}", file, write(one_class), ("every row",)
        yield "", f"an empty text as {kind}", file, write(with_value(3, text="")), ("an empty text",)
        yield "", f"a text of blanks as {kind}", file, write(with_value(3, text=" \u00a0 ")), ("an empty text",)
        yield "", f"only empty texts as {kind}", file, write([("", label) for _, label in TRAIN]), ("an empty text",)
        yield "", f"an unknown label as {kind}", file, write(with_value(5, label="neutral")), ("'neutral'",)
        yield "", f"an empty label as {kind}", file, write(with_value(5, label="")), ("none of the labels",)
        yield "", f"hidden labels as {kind}", file, write([(text, "-1") for text, _ in TRAIN]), ("'-1'",)
        yield "", f"no rows as {kind}", file, write([]), ("rows",)
        yield "", f"three rows as {kind}", file, write(list(TRAIN[:3])), ()
        mixed = [(text, label if row % 2 else "0") for row, (text, label) in enumerate(TRAIN)]
        yield "data that mean nothing: ids and names", f"ids and names as {kind}", file, write(mixed), ("write one",)
        yield "", f"nothing at all as {kind}", file, b"", ()
        yield "", f"zeros as {kind}", file, bytes(4096), ()
        yield "", f"noise as {kind}", file, bytes((7 * place * place + 11) % 256 for place in range(4000)), ()
        yield "", f"a picture as {kind}", file, b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, ()
        yield "", f"a folder as {kind}", file, lambda path: path.mkdir(), ()
        yield "", f"a link to nothing as {kind}", file, lambda path: path.symlink_to("gone"), ()
        yield "", f"a link to itself as {kind}", file, lambda path: path.symlink_to(path.name), ()
        whole = write(list(TRAIN))
        content = whole.encode() if isinstance(whole, str) else whole
        if kind in ("json", "parquet"):
            yield "", f"half a file as {kind}", file, content[: len(content) // 2], ()


HEADER = "text,label\n"


def _texts() -> Iterator[Case]:
    """Damages of separated files: encodings, ragged rows, quotes, headers."""
    good = csv_text(TRAIN)
    german = good.replace("fine", "sch\u00f6n").replace("awful", "gr\u00e4\u00dflich")
    comma = "".join(f"{text}, really,{label}\n" for text, label in TRAIN)
    yield "traceback: comma in every row", "a comma in every row", "train.csv", HEADER + comma, ("line 2", "quotes")
    yield "", "cp1252", "train.csv", german.encode("cp1252"), ("cp1252", "encoding")
    yield "", "latin-1 in the last row", "train.csv", good.encode() + b"gr\xfc\xdfe,positive\n", ("line 50", "encoding")
    yield "", "MacRoman", "train.csv", german.encode("mac-roman"), ("is not UTF-8",)
    yield "", "Shift-JIS", "train.csv", good.replace("fine", "\u826f\u3044").encode("shift-jis"), ("is not UTF-8",)
    yield "", "UTF-16 without its mark", "train.csv", good.encode("utf-16-le"), ("NUL", "utf-16")
    yield "", "UTF-16 cut in a letter", "train.csv", good.encode("utf-16")[:-1], ("encoding",)
    yield "", "UTF-8 cut in a letter", "train.csv", german.encode()[:-1] + b"\xc3", ("is not UTF-8",)
    yield "data that mean nothing: NUL", "a NUL in a text", "train.csv", good.replace("fine", "fi\0ne"), ("NUL",)
    yield (
        "data that mean nothing: column twice",
        "a label column twice",
        "train.csv",
        csv_text([(text, label, label) for text, label in TRAIN], ("text", "label", "label")),
        ("more than once",),
    )
    yield (
        "",
        "a text column twice",
        "train.csv",
        csv_text([(text, text, label) for text, label in TRAIN], ("text", "text ", "label")),
        ("more than once",),
    )
    yield "", "no header", "train.csv", good.removeprefix(HEADER), ("no column",)
    yield "", "other header", "train.csv", good.replace("text,label", "texts,label"), ("no column", "texts")
    yield "", "header in capitals", "train.csv", good.replace("text,label", "TEXT,LABEL"), ("no column", "TEXT")
    yield "", "no label column", "train.csv", csv_text([(text,) for text, _ in TRAIN], ("text",)), ("no column",)
    yield "", "header alone", "train.csv", HEADER, ("has no rows",)
    yield "", "blank lines alone", "train.csv", "\n\n\n", ("has no rows",)
    yield "", "a field too many in line 9", "train.csv", _changed(good, 8, lambda row: row + ",x"), ("line 9",)
    yield "", "a field too few in line 9", "train.csv", _changed(good, 8, lambda row: row.split(",")[0]), ("line 9",)
    yield "", "a comma at every end", "train.csv", good.replace("ive\n", "ive,\n"), ("line 2", "remove it")
    yield "", "an open quote", "train.csv", _changed(good, 8, lambda row: '"' + row), ("line 9", "quote")
    yield "", "a quote that goes on", "train.csv", _changed(good, 8, lambda row: '"a"b' + row), ("line 9", "quote")
    yield (
        "",
        "two open quotes",
        "train.csv",
        _changed(_changed(good, 8, lambda row: '"' + row), 12, lambda row: row.replace(",", '",')),
        ("line 9", "quote"),
    )
    yield "", "a huge text", "train.csv", _changed(good, 8, lambda row: "cat " * 50_000 + row), ("characters",)
    yield "", "semicolons and commas", "train.csv", "text;a,label;b\n" + "x;y,z;w\n" * 40, ()
    yield "", "bars", "train.csv", csv_text(TRAIN, separator="|"), ("no column",)
    yield "", "a page of the web", "train.csv", "<!DOCTYPE html>\n<html><body>404: Not Found</body></html>\n", ()
    yield (
        "",
        "a git-lfs pointer",
        "train.csv",
        "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n",
        (),
    )
    yield "", "an unknown kind", "train.dat", good, ("unknown kind",)
    yield "", "Excel's own kind", "train.xlsx", b"PK\x03\x04" + bytes(64), ("CSV UTF-8",)
    yield "", "no kind", "train", good, ("unknown kind",)
    yield "", "texts that are numbers of a header", "train.csv", csv_text(TRAIN, ("1", "2")), ("no column",)
    yield "", "tabs in a CSV that are spaces", "train.tsv", csv_text(TRAIN).replace(",", "    "), ("no column",)


def _changed(table: str, place: int, change: Callable[[str], str]) -> str:
    """The table with another line at a place, the header being at 0."""
    rows = table.splitlines()
    rows[place] = change(rows[place])
    return "\n".join(rows) + "\n"


def _json() -> Iterator[Case]:
    """Damages of JSON: what Python reads and nobody meant, and what is no JSON."""
    good = lines(list(TRAIN))
    first = json.dumps({"text": TRAIN[0][0], "label": "negative"})
    for name, object_, says, line in (
        (
            "a list as text",
            '{"text": ["a", "b"], "label": "negative"}',
            "a list",
            "data that mean nothing: list as text",
        ),
        (
            "an object as text",
            '{"text": {"a": 1}, "label": "negative"}',
            "object",
            "data that mean nothing: object as text",
        ),
        (
            "a key twice",
            '{"text": "a", "text": "b", "label": "negative"}',
            "more than once",
            "data that mean nothing: JSON key twice",
        ),
        ("a key twice but for blanks", '{"text": "a", "text ": "b", "label": "negative"}', "more than once", ""),
        ("no text", '{"label": "negative"}', "no column", ""),
        ("null as text", '{"text": null, "label": "negative"}', "an empty text", ""),
        ("null as label", '{"text": "cat", "label": null}', "none of the labels", ""),
        ("several labels", '{"text": "cat", "label": ["negative", "positive"]}', "labels are not supported", ""),
        ("an object as label", '{"text": "cat", "label": {"a": 1}}', "labels are not supported", ""),
        ("true as label", '{"text": "cat", "label": true}', "none of the labels", ""),
        ("an id too high", '{"text": "cat", "label": 2}', "none of the labels", ""),
        ("NaN", '{"text": "cat", "label": NaN}', "NaN is not JSON", ""),
        ("infinity", '{"text": Infinity, "label": "negative"}', "Infinity is not JSON", ""),
        ("half a character", '{"text": "\\ud800", "label": "negative"}', "half a character", ""),
        ("a comma too many", '{"text": "cat", "label": "negative",}', "is not JSON", ""),
        ("single quotes", "{'text': 'cat', 'label': 'negative'}", "is not JSON", ""),
        ("no object", '["cat", "negative"]', "object", ""),
        ("a bare text", '"cat"', "object", ""),
        ("two in a line", first + first, "one object per line", ""),
        ("half an object", '{"text": "cat", "la', "is not JSON", ""),
        ("a comma behind", first + ",", "one object per line", ""),
        ("deep lists", '{"text": ' + "[" * 100_000, "nested too deeply", ""),
        ("a control character", '{"text": "a\x01b", "label": "negative"}', "is not JSON", ""),
    ):
        at = good.splitlines(keepends=True)
        content = "".join([*at[:5], object_ + "\n", *at[5:]])
        yield line, f"{name} in JSON lines", "train.jsonl", content, ("line 6", says)
    for name, content, says in (
        ("an object for an array", '{"text": "cat", "label": "negative"}', "nothing to learn"),
        ("a number alone", "5", "object"),
        ("an array of texts", '["cat", "tree"]', "object"),
        ("an array of arrays", '[["cat", "negative"]]', "object"),
        ("an array that never ends", array(list(TRAIN))[:-1], "end"),
        ("something behind the array", array(list(TRAIN)) + "x", "follows the end"),
        ("no comma between", array(list(TRAIN)).replace("}, {", "} {"), "comma"),
        ("an empty array", "[]", "has no rows"),
        ("columns in place of rows", json.dumps({"text": ["cat"], "label": ["negative"]}), ""),
    ):
        yield "", f"{name} in JSON", "train.json", content, (says,)


def _parquet() -> Iterator[Case]:
    """Damages of typed columns."""
    texts, labels = [text for text, _ in TRAIN], [label for _, label in TRAIN]
    binary = [text.encode() for text in texts[:-1]]
    for name, columns_, says, line in (
        ("binary", {"text": [*binary, b"\xff\xfe\x00x"], "label": labels}, "binary", "traceback: binary Parquet"),
        ("lists as texts", {"text": [[text] for text in texts], "label": labels}, "a list", ""),
        ("objects as texts", {"text": [{"a": text} for text in texts], "label": labels}, "object", ""),
        ("null as text", {"text": [None, *texts[1:]], "label": labels}, "an empty text", ""),
        ("only nulls as texts", {"text": [None] * 48, "label": labels}, "an empty text", ""),
        ("null as label", {"text": texts, "label": [None, *labels[1:]]}, "none of the labels", ""),
        ("fractions as labels", {"text": texts, "label": [0.5] * 48}, "none of the labels", ""),
        ("lists as labels", {"text": texts, "label": [["positive"]] * 48}, "labels are not supported", ""),
        ("other columns", {"texts": texts, "label": labels}, "did you mean", ""),
        ("no label", {"text": texts, "id": labels}, "no column", ""),
        (
            "no rows",
            {"text": pyarrow.array([], pyarrow.string()), "label": pyarrow.array([], pyarrow.string())},
            "has no rows",
            "",
        ),
    ):
        yield line, f"{name} in Parquet", "train.parquet", parquet(columns_), (says,)
    yield "", "text under Parquet's name", "train.parquet", csv_text(TRAIN), ("Parquet",)
    good = columns(list(TRAIN))
    yield "", "a damaged page of Parquet", "train.parquet", good[:40] + bytes(60) + good[100:], ()


def _as_tasks() -> Iterator[BadInput]:
    """What two files together, or a file and its task, make wrong."""
    good = csv_text(TRAIN)
    numbers = csv_text([(text, row) for row, (text, _) in enumerate(TRAIN)])
    same = {"toy.yaml": task_with(test="train.csv")}
    yield BadInput(
        "data that mean nothing: train is test", "table, train is test", on_suite(SWEEP), ("train.csv",), same
    )
    yield BadInput(
        "",
        "table, train is test by another path",
        ("check", "toy.yaml"),
        ("train.csv",),
        {"toy.yaml": task_with(test="./train.csv")},
    )
    yield BadInput(
        "",
        "table, train is test by a link",
        ("check", "toy.yaml"),
        ("train.csv",),
        {"test.csv": lambda path: path.symlink_to("train.csv")},
    )
    for name, rows, says in (
        ("one class in the test file", [(text, "negative") for text, _ in TEST], "every row"),
        ("no labels in the test file", [(text, "") for text, _ in TEST], "none of the labels"),
        ("hidden labels in the test file", [(text, "-1") for text, _ in TEST], "'-1'"),
        ("another label in the test file", [*TEST, ("cat", "neutral")], "'neutral'"),
    ):
        for command in (("check", "toy.yaml"), on_suite(SWEEP)):
            yield BadInput(
                "", f"table, {name}, {command[0]}", command, ("test.csv", says), {"test.csv": csv_text(rows)}
            )
    unlabelled = {"test.csv": csv_text([(text,) for text, _ in TEST], ("text",))}
    yield BadInput(
        "", "table, a test file without labels", on_suite(SWEEP), ("test.csv", "scores need labels"), unlabelled
    )
    regression = task_with(labels=None)
    for name, content, says in (
        ("constant", csv_text([(text, 3) for text, _ in TRAIN]), "nothing to learn"),
        ("minus one", csv_text([(text, -1) for text, _ in TRAIN]), "hidden"),
        ("words", good, "is not a number"),
        ("infinite", numbers.replace(",7\n", ",inf\n"), "is not a number"),
        ("empty", numbers.replace(",7\n", ",\n"), "is not a number"),
        ("a unit", numbers.replace(",7\n", ",7 kg\n"), "is not a number"),
        ("decimal comma", numbers.replace(",7\n", ',"7,5"\n'), "is not a number"),
        ("not a number", numbers.replace(",7\n", ",nan\n"), "is not a number"),
    ):
        files = {"train.csv": content, "test.csv": numbers, "toy.yaml": regression}
        yield BadInput("", f"table, number as label: {name}", ("check", "toy.yaml"), ("train.csv", says), files)
    for name, labels, says in (
        ("too large a subset", None, "N="),
        ("a class that is one of none", ["x", "y"], "of the labels"),
    ):
        files = {"train.csv": csv_text(rows_of(10)), "toy.yaml": task_with(**({"labels": labels} if labels else {}))}
        yield BadInput("", f"table, {name}", on_suite(SWEEP), ("toy" if labels is None else "train.csv", says), files)
