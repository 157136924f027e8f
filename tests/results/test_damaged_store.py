"""Whatever the damage to a record or its arrays, every command reports it, does not use it, and ends normally."""

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest

from amix.specs.run_plan import PlanError
from amix.specs.store import digest, pack_arrays
from helpers import synthetic_records
from paper_figures.make import make
from paper_figures.page.report import write
from results.loading.frame import load
from results.loading.layout import Layout
from results.tabulating.collect import collect

SUITE = synthetic_records.Suite(
    tasks=("rte", "sst2"), seeds=(*range(1, 41),), predictions=True, logits=("test",), searching=("agwm",)
)
Damage = Callable[[Path], None]
HUGE = 10**400


def signed(**content: Any) -> Damage:
    """Change fields and sign the record, so that its digest is valid."""

    def damage(path: Path) -> None:
        record = json.loads(path.read_text()) | content
        path.write_text(json.dumps(record | {"digest": digest(record)}))

    return damage


def within(*places: str | int, value: Any) -> Damage:
    """Change one nested field of a record and sign it."""

    def damage(path: Path) -> None:
        record = json.loads(path.read_text())
        content = record
        for place in places[:-1]:
            content = content[place]
        content[places[-1]] = value
        path.write_text(json.dumps(record | {"digest": digest(record)}))

    return damage


def content(data: bytes | str) -> Damage:
    return lambda path: path.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)


def in_place(make_it: Damage, suffix: str = ".json") -> Damage:
    """Replace a file by something that is not a file."""

    def damage(path: Path) -> None:
        path.with_suffix(suffix).unlink()
        make_it(path.with_suffix(suffix))

    return damage


def surrogate(path: Path) -> None:
    record = json.loads(path.read_text())
    record["error"] = {"type": "E", "message": "\ud800", "traceback": ""}
    path.write_text(json.dumps(record | {"digest": digest(record)}))


def odd_name(path: Path) -> None:
    path.rename(os.fsdecode(os.fsencode(path.parent) + b"/\xff\xfe\x1b.json"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edited(path: Path) -> None:
    path.write_text(path.read_text().replace('"seconds"', '"second"').replace('"label"', '"lable"'))


WRONG: tuple[Any, ...] = (5, [1], "text", True)
RECORDS: dict[str, Damage] = {
    "empty": content(""), "cut": cut, "edited": edited, "not UTF-8": content(b"\xff\xfe\x00"), "NUL": content("\0" * 9),
    "deep": content("[" * 100_000), "deep object": content('{"a":' * 50_000), "list": content("[1]"),
    "null": content("null"), "number": content("1" * 5000), "NaN": content("NaN"), "lone surrogate": surrogate,
    "raw surrogate": content('"\ud800"'), "odd name": odd_name,
    "folder": in_place(Path.mkdir), "pipe": in_place(lambda path: os.mkfifo(path)),
    "dangling link": in_place(lambda path: path.symlink_to("nowhere")),
    "endless": in_place(lambda path: path.symlink_to("/dev/zero")),
    "schema true": signed(schema=True), "schema 1.0": signed(schema=1.0), "schema": signed(schema=HUGE),
    "schema list": signed(schema=[1]), "status list": signed(status=["ok"]), "status": signed(status="splendid"),
    "suite": signed(suite={"a": 1}), "spec": signed(spec=[1]), "key": signed(key=["k"]), "no scores": signed(scores={}),
    "scores without last": within("scores", value={"best_dev": {"test": {"accuracy": 0.5}}}),
    "score huge": within("scores", "last", "test", "accuracy", value=HUGE),
    "score NaN": within("scores", "last", "test", "accuracy", value=float("nan")),
    "score infinite": within("scores", "last", "test", "accuracy", value=float("inf")),
    "other score": within("scores", "last", "test", value={"accuracy": 0.5, "f1": [1]}),
    "other rule": within("scores", "best_dev", value=7), "epoch": within("scores", "best_dev", "epoch", value="last"),
    "majority": within("data", "majority", "accuracy", value=HUGE), "majorities": within("data", "majority", value=3),
    "cost huge": within("cost", "train_seconds", value=HUGE), "cost below 0": within("cost", "flops", value=-1),
    "cost text": within("cost", "total_seconds", value="long"), "cost true": within("cost", "flops", value=True),
    "ids list": within("data", "ids_sha256", value=["a"]), "ids object": within("data", "ids_sha256", value={"a": 1}),
    "n_test text": within("data", "n_test", value="300"), "n_test huge": within("data", "n_test", value=HUGE),
    "n_test below 0": within("data", "n_test", value=-300), "n_train": within("data", "n_train", value=1.5),
    "label_counts": within("data", "label_counts", value=[1, 2]), "label_names": within("data", "label_names", value=5),
    "label name": within("data", "label_names", value=[{"a": 1}]), "curve object": signed(curve={"a": 1}),
    "curve numbers": signed(curve=[1, 2]), "curve step": within("curve", 0, "step", value=[1]),
    "curve epoch": within("curve", 0, "epoch", value="first"), "curve stage": within("curve", 0, "stage", value=["a"]),
    "curve dev": within("curve", 0, "dev", value=[0.5]),
    "curve huge": within("curve", 0, "dev", value={"accuracy": HUGE}),
    "loss": within("curve", 0, "train_loss", value="a"),
    "device": within("environment", "device", value=["cpu"]), "threads": within("environment", "threads", value="one"),
    "packages": within("environment", "packages", value=[1]), "dirty": within("environment", "git_dirty", value="no"),
    "package": within("environment", "packages", value={"torch": [2]}), "time": within("environment", "time", value=5),
    "error message": signed(error={"type": "E", "message": [1]}), "traceback": signed(error={"traceback": {"a": 1}}),
    **{f"{name} {wrong!r}": signed(**{name: wrong}) for name in ("scores", "data", "cost", "curve", "environment")
       for wrong in WRONG},
    **{f"label {str(wrong)[:9]}": signed(label=wrong) for wrong in (5, None, ["a"], {"a": 1}, HUGE)},
}  # fmt: skip


def npz(**arrays: Any) -> bytes:
    return pack_arrays({name.replace("__", "/"): numpy.asarray(values) for name, values in arrays.items()})


def objects() -> bytes:
    buffer = io.BytesIO()
    numpy.savez(buffer, test_predictions=numpy.asarray([{"a": 1}], dtype=object))
    return buffer.getvalue()


def single_array() -> bytes:
    buffer = io.BytesIO()
    numpy.save(buffer, numpy.zeros(300))
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members.items():
            opened.writestr(f"{name}.npy", data)
    return buffer.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@cache
def bomb() -> bytes:
    return zipped(test_predictions=header(f"({50_000_000},)") + bytes(400_000_000))


def spoilt(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[200:260] = bytes(60)
    path.write_bytes(data)


NAMES = ["bert.encoder.layer.0.a", "bert.encoder.layer.1.a"]


def search(**changes: Any) -> bytes:
    result: dict[str, Any] = {"modules": NAMES, "lower_loss": numpy.zeros((2, 3)), "task_share": numpy.zeros((2, 1, 2))}
    result |= changes
    return npy_search({name: values for name, values in result.items() if values is not None})


def npy_search(result: dict[str, Any]) -> bytes:
    return npz(**{f"diagnostics__search__{name}": values for name, values in result.items()})


SIDE_FILES: dict[str, Damage] = {
    "empty": content(b""), "text": content("nothing"), "cut": cut, "spoilt": spoilt, "npy": content(single_array()),
    "objects": content(objects()), "pickle": content(pickle.dumps({"a": 1})), "no npy": content(zipped(a=b"abc")),
    "huge header": content(zipped(test_predictions=header("(10**12,)"), test_labels=header("(1,)"))),
    "huge shape": content(zipped(test_predictions=header("(1000000000000,)"))),
    "negative": content(zipped(test_predictions=header("(-1,)"))),
    "bomb": lambda path: path.write_bytes(bomb()),
    "folder": in_place(Path.mkdir, ".npz"), "pipe": in_place(lambda path: os.mkfifo(path), ".npz"),
    "dangling link": in_place(lambda path: path.symlink_to("nowhere"), ".npz"),
    "endless": in_place(lambda path: path.symlink_to("/dev/zero"), ".npz"),
    "short": content(npz(test_predictions=[1, 0], test_labels=[1, 0])),
    "unequal": content(npz(test_predictions=[1] * 300, test_labels=[1, 0])),
    "two axes": content(npz(test_predictions=[[1] * 300], test_labels=[[1] * 300])),
    "texts": content(npz(test_predictions=["a"] * 300, test_labels=["b"] * 300)),
    "no axis": content(npz(test_predictions=1)), "logits": content(npz(test_logits=[0.5] * 300)),
    "search (3,)": content(search(lower_loss=numpy.zeros(3))), "no loss": content(search(lower_loss=None)),
    "share (3,)": content(search(task_share=numpy.zeros(3))), "names": content(search(modules=[1, 2])),
    "other modules": content(search(task_share=numpy.zeros((2, 1, 5)))), "one name": content(search(modules="a")),
    "deciles": content(search(attention_deciles=numpy.zeros((2, 3)))),
    "no split": content(search(lower_loss=numpy.zeros((0, 3)))),
}  # fmt: skip


def places(layout: Layout) -> list[Path]:
    return sorted((layout.records / SUITE.name).glob("?" * 64 + ".json"))


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    return synthetic_records.write(SUITE, tmp_path_factory.mktemp("whole"))


def test_every_kind_of_damage_found_by_hand_is_tested() -> None:
    assert len(RECORDS) + len(SIDE_FILES) >= 115


def damaged(path: Path, damage: Damage, side: bool) -> str:
    """Damage a record or its arrays; return the beginning of the name under which it must be reported."""
    damage(path.with_suffix(".npz") if side else path)
    return "\\udcff" if not side and not (path.exists() or path.is_symlink()) else path.stem


@pytest.mark.parametrize("name", [*RECORDS, *(f"npz {name}" for name in SIDE_FILES)])
def test_a_damaged_file_is_reported_and_not_used(name: str, tmp_path: Path) -> None:
    suite = synthetic_records.Suite(tasks=("rte",), methods=("vanilla", "agwm"), seeds=(1, 2), predictions=True)
    layout = synthetic_records.write(suite, tmp_path)
    path, side = places_of(layout)[0], name.startswith("npz ")
    named = damaged(path, SIDE_FILES[name[4:]] if side else RECORDS[name], side)
    results = load(suite.name, layout)
    (problem,) = results.problems
    assert problem.source.startswith(named)
    assert "\x1b" not in str(problem)
    str(problem).encode()
    assert path.stem not in results.predictions
    assert (path.stem in results.records) == side, "the scores are in the record, which is intact"
    assert len(results.predictions) == 3


def places_of(layout: Layout) -> list[Path]:
    return sorted((layout.records / "toy").glob("?" * 64 + ".json"))


def test_all_damage_together_stops_no_command(tmp_path: Path) -> None:
    layout = synthetic_records.write(SUITE, tmp_path)
    paths = places(layout)
    todo = [(damage, False) for damage in RECORDS.values()] + [(damage, True) for damage in SIDE_FILES.values()]
    named = {damaged(path, *one) for path, one in zip(paths, todo, strict=False)}
    problems = collect(SUITE.name, layout).problems
    assert len(problems) == len(todo)
    assert all(any(problem.source.startswith(name) for problem in problems) for name in named)
    assert make(SUITE.name, layout)
    page = write(SUITE.name, layout).read_text()
    assert all(problem.source.split(".")[0] in page for problem in problems if "udc" not in problem.source)


def test_an_unknown_selection_rule_is_refused(layout: Layout) -> None:
    with pytest.raises(PlanError, match="'bogus' is none of last, best_dev"):
        load(SUITE.name, layout, "bogus")
