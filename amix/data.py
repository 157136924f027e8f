"""From a task to tokenised splits: loading with checks, low-resource subsets, length-bucketed batches."""

import hashlib
import os
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy
import pandas
import torch

from amix.seeds import array_generator
from amix.tasks import Task

Batch = dict[str, torch.Tensor]
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
GLUE_VARIABLE = "AMIX_GLUE"
HUB_NAME = "nyu-mll/glue"
BUCKET_BATCHES = 4
"""Batches sorted by length together: enough to save padding, few enough that small subsets are still shuffled."""


class DataError(ValueError):
    """Data that is missing or does not fit its task."""


def glue_folder(given: str | Path | None) -> Path | None:
    """The folder of GLUE files: the one given, else the variable AMIX_GLUE, else None (the Hub)."""
    folder = given or os.environ.get(GLUE_VARIABLE) or None
    if folder is None:
        return None
    if not Path(folder).is_dir():
        raise DataError(f"the GLUE folder '{folder}' does not exist (option --glue or variable {GLUE_VARIABLE})")
    return Path(folder)


def source_name(task: Task, glue: Path | None) -> str:
    """Where a task's rows come from, in one word for the record."""
    return {"embedded": "embedded", "files": "files"}.get(task.origin, "hub" if glue is None else "folder")


def load_rows(task: Task, split: str, glue: Path | None = None) -> pandas.DataFrame:
    """All rows of a split with the columns idx, the task's text columns and `label` (class id or float).

    Errors: DataError that names the file (and for your own files the line and column) and what to do.
    """
    if task.origin == "embedded":
        rows, where = _read(EMBEDDED_FOLDER / task.folder / f"{split}.csv", task), f"{task.name}/{split}.csv"
    elif task.origin == "files":
        rows, where = _read(Path(task.folder) / split, task), split
    elif glue is not None:
        rows, where = _glue_folder_rows(task, split, glue), f"{glue / task.folder}/{split}*.parquet"
    else:
        rows, where = _hub_rows(task, split), f"{HUB_NAME} {task.folder}/{split}"
    return _checked(task, rows, where)


def _glue_folder_rows(task: Task, split: str, glue: Path) -> pandas.DataFrame:
    folder = glue / task.folder
    if not folder.is_dir():
        there = ", ".join(sorted(path.name for path in glue.iterdir() if path.is_dir())) or "nothing"
        raise DataError(f"{glue} has no folder '{task.folder}' for task {task.name}; it holds: {there}")
    files = sorted(folder.glob(f"{split}*.parquet"))
    if not files:
        there = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise DataError(f"{folder} has no {split}*.parquet for task {task.name}; it holds: {there}")
    return pandas.concat([pandas.read_parquet(file) for file in files], ignore_index=True)


def _hub_rows(task: Task, split: str) -> pandas.DataFrame:
    import datasets  # Imported here because it takes a second that only this branch needs.

    try:
        loaded = datasets.load_dataset(HUB_NAME, task.folder, split=split)
    except Exception as error:
        raise DataError(
            f"task {task.name}: the Hub data set {HUB_NAME} ({task.folder}, {split}) could not be loaded: {error}. "
            f"Give a folder with --glue DIR or {GLUE_VARIABLE}=DIR (layout <task>/<split>*.parquet), "
            "or try again with a connection."
        ) from error
    frame = loaded.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    return frame


def _read(path: Path, task: Task) -> pandas.DataFrame:
    """The rows of a file; texts and labels as they are written, not as the numbers or dates they may look like."""
    words: Any = dict.fromkeys((*task.text, task.label), str)
    readers: dict[str, Any] = {
        ".csv": lambda: pandas.read_csv(path, keep_default_na=False, dtype=words),
        ".tsv": lambda: pandas.read_csv(path, sep="\t", keep_default_na=False, dtype=words),
        ".jsonl": lambda: pandas.read_json(path, lines=True, dtype=False),
        ".parquet": lambda: pandas.read_parquet(path),
    }
    if path.suffix not in readers:
        raise DataError(f"{path}: unknown kind of file; use {', '.join(readers)}")
    try:
        frame = readers[path.suffix]()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    assert isinstance(frame, pandas.DataFrame)
    return frame


def _checked(task: Task, rows: pandas.DataFrame, where: str) -> pandas.DataFrame:
    missing = [column for column in (*task.text, task.label) if column not in rows.columns]
    if missing:
        hint = f" (a task file names it: 'label: {rows.columns[-1]}')" if missing == [task.label] else ""
        there = ", ".join(map(str, rows.columns))
        raise DataError(f"{where}: no column {', '.join(missing)}; columns there: {there}{hint}")
    if rows.empty:
        raise DataError(f"{where}: has no rows")
    checked = pandas.DataFrame({"idx": rows["idx"] if "idx" in rows.columns else numpy.arange(len(rows))})
    for column in task.text:
        checked[column] = rows[column].astype(str)
        empty = rows[column].isna() | (checked[column].str.strip() == "")
        _refuse(where, column, rows[column], empty, "an empty text")
    checked["label"] = _label_values(task, rows[task.label], where)
    return checked


def _label_values(task: Task, labels: pandas.Series, where: str) -> pandas.Series:
    if task.labels is None:
        numbers = pandas.to_numeric(labels, errors="coerce").astype(float)
        _refuse(where, task.label, labels, numbers.isna() | numbers.abs().eq(numpy.inf), "no number")
        return numbers
    ids = {name: index for index, name in enumerate(task.labels)}
    # Where a name is a number, a number is a name and cannot be an index as well.
    if not any(_NUMBER.fullmatch(name) for name in task.labels):
        ids |= {str(index): index for index in range(len(task.labels))}
    values = labels.map(lambda value: ids.get(_written(value), ids.get(_whole(value))))
    _refuse(where, task.label, labels, values.isna(), f"none of the labels {', '.join(task.labels)}")
    return values.astype(int)


_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def _written(value: Any) -> str:
    """A label as a file has it; JSON's truth values are lower case there."""
    return str(value).lower() if isinstance(value, bool | numpy.bool_) else str(value)


def _whole(value: Any) -> str:
    """A whole number that was read as a float, without its point."""
    return re.sub(r"\A(-?\d+)\.0\Z", r"\1", str(value))


def _refuse(where: str, column: str, values: pandas.Series, wrong: pandas.Series, what: str) -> None:
    if wrong.any():
        row = int(numpy.flatnonzero(wrong.to_numpy())[0])
        line = {".csv": row + 2, ".tsv": row + 2}.get(Path(where).suffix, row + 1)  # Those two have a header.
        value = values.iloc[row]
        shown = value.item() if isinstance(value, numpy.generic) else value
        raise DataError(
            f"{where}, line {line}, column {column}: {shown!r} is {what} ({int(wrong.sum())} such rows in {len(wrong)})"
        )


class Tokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer."""

    pad_token_id: int

    def __call__(self, *texts: list[str], truncation: bool, max_length: int) -> Any:
        """Token ids and masks of texts, or of pairs of texts."""


@dataclass(frozen=True)
class Encoded:
    """Tokenised examples: inputs of shape [n, longest] padded on the right, lengths [n], labels [n]."""

    inputs: Batch
    lengths: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: numpy.ndarray | list[int]) -> "Encoded":
        """The examples at these positions, in this order."""
        chosen = torch.as_tensor(numpy.asarray(indices, dtype=numpy.int64))
        longest = int(self.lengths[chosen].max()) if len(chosen) else 0
        inputs = {name: tensor[chosen, :longest] for name, tensor in self.inputs.items()}
        return Encoded(inputs, self.lengths[chosen], self.labels[chosen])

    def batch(self, indices: torch.Tensor, device: torch.device | str = "cpu") -> Batch:
        """A padded batch; `labels` stands beside the model's inputs."""
        longest = int(self.lengths[indices].max())
        tensors = {name: tensor[indices, :longest] for name, tensor in self.inputs.items()}
        tensors["labels"] = self.labels[indices]
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}


def tokenize(task: Task, rows: pandas.DataFrame, tokenizer: Tokenizer, max_length: int) -> Encoded:
    """Tokenise a split once; texts longer than max_length tokens are cut."""
    encoded = tokenizer(*(rows[column].tolist() for column in task.text), truncation=True, max_length=max_length)
    lengths = torch.tensor([len(ids) for ids in encoded["input_ids"]])
    fills = {"input_ids": tokenizer.pad_token_id, "attention_mask": 0, "token_type_ids": 0}
    inputs = {name: _padded(encoded[name], int(lengths.max()), fill) for name, fill in fills.items() if name in encoded}
    dtype = torch.float32 if task.regression else torch.int64
    return Encoded(inputs, lengths, torch.tensor(rows["label"].to_numpy(copy=True), dtype=dtype))


def _padded(sequences: list[list[int]], longest: int, fill: int) -> torch.Tensor:
    return torch.tensor([sequence + [fill] * (longest - len(sequence)) for sequence in sequences])


@dataclass(frozen=True)
class Splits:
    """What a run trains, selects and reports on.

    ids_sha256 covers the ids of the train and dev examples in order; pool: how many they were drawn from.
    """

    train: Encoded
    dev: Encoded
    test: Encoded
    ids_sha256: str
    pool: int
    source: str


def subset_positions(
    labels: numpy.ndarray, n_train: int | None, seed: int, kind: str = "uniform"
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Positions of the train subset of N and of its dev set of N/6, disjoint, drawn from a train split.

    uniform: N without replacement as AGWM draws them; stratified: class shares kept, as DPS draws them. With n_train
    None the whole split trains and the dev set is empty. For one seed, a smaller subset is part of a larger one.
    Errors: DataError when N is larger than the split, or stratified is asked for a number as label.
    """
    if n_train is None:
        return numpy.arange(len(labels)), numpy.arange(0)
    n_dev = n_train // 6
    if n_train < 1 or n_train + n_dev > len(labels):
        largest = 6 * len(labels) // 7
        raise DataError(
            f"N={n_train} with a dev set of {n_dev} does not fit a train split of {len(labels)} rows; "
            f"the largest N that does is about {largest}"
        )
    order = array_generator(seed, "subset").permutation(len(labels))
    if kind == "stratified":
        order = _stratified(labels, order, seed)
    elif kind != "uniform":
        raise DataError(f"unknown kind of subset '{kind}'; known: uniform, stratified")
    return order[:n_train], order[n_train : n_train + n_dev]


def _stratified(labels: numpy.ndarray, order: numpy.ndarray, seed: int) -> numpy.ndarray:
    """An order of which every prefix has nearly the class shares of the whole split."""
    if labels.dtype.kind == "f":
        raise DataError("a stratified subset needs classes; this task's label is a number: use subset: uniform")
    place = numpy.empty(len(labels))
    jitter = array_generator(seed, "subset", "strata").random(len(labels))
    for value in numpy.unique(labels):
        members = order[labels[order] == value]
        place[members] = (numpy.arange(len(members)) + jitter[members]) / len(members)
    return numpy.argsort(place, kind="stable")


@cache
def _rows(task: Task, split: str, glue: Path | None) -> pandas.DataFrame:
    return load_rows(task, split, glue)


_TOKENIZED: dict[tuple[Task, str, Path | None, Hashable, int], Encoded] = {}
_SUBSETS: dict[tuple[Task, Path | None, Hashable, int, bytes], Encoded] = {}
MOST_SUBSETS = 16
"""Tokenised subsets that a process keeps: a sweep does all methods of one task, size and seed close together."""


def load_splits(
    task: Task,
    n_train: int | None,
    seed: int,
    tokenizer: Tokenizer,
    encoder: Hashable,
    max_length: int,
    glue: Path | None = None,
    kind: str = "uniform",
) -> Splits:
    """Train subset, dev set and test split of a run, tokenised; what was read and tokenised is kept for later runs.

    The official validation split is the test set (labels of the official test split are not public).
    """
    rows = _rows(task, task.train, glue)
    train, dev = subset_positions(rows["label"].to_numpy(), n_train, seed, kind)
    test_key = (task, task.test, glue, encoder, max_length)
    if test_key not in _TOKENIZED:
        _TOKENIZED[test_key] = tokenize(task, _rows(task, task.test, glue), tokenizer, max_length)
    chosen = numpy.concatenate([train, dev])
    subset_key = (task, glue, encoder, max_length, chosen.tobytes())
    if subset_key not in _SUBSETS:
        while len(_SUBSETS) >= MOST_SUBSETS:
            del _SUBSETS[next(iter(_SUBSETS))]
        _SUBSETS[subset_key] = tokenize(task, rows.iloc[chosen], tokenizer, max_length)
    encoded = _SUBSETS[subset_key]
    ids = ",".join(map(str, rows["idx"].to_numpy()[chosen].tolist()))
    return Splits(
        train=encoded.select(numpy.arange(len(train))),
        dev=encoded.select(numpy.arange(len(train), len(chosen))),
        test=_TOKENIZED[test_key],
        ids_sha256=hashlib.sha256(ids.encode()).hexdigest(),
        pool=len(rows),
        source=source_name(task, glue),
    )


def training_batches(data: Encoded, batch_size: int, generator: numpy.random.Generator) -> Iterator[torch.Tensor]:
    """Positions of one epoch's batches: shuffled, then sorted by length within a few batches, then shuffled again."""
    order = generator.permutation(len(data))
    lengths = data.lengths.numpy()
    bucket = BUCKET_BATCHES * batch_size
    batches: list[numpy.ndarray] = []
    for start in range(0, len(order), bucket):
        members = order[start : start + bucket]
        members = members[numpy.argsort(lengths[members], kind="stable")]
        batches += [members[first : first + batch_size] for first in range(0, len(members), batch_size)]
    for position in generator.permutation(len(batches)):
        yield torch.from_numpy(batches[position])


def evaluation_batches(data: Encoded, tokens: int = 4096) -> Iterator[torch.Tensor]:
    """Positions sorted by length, in batches of about so many tokens."""
    order = torch.argsort(data.lengths, descending=True, stable=True)
    start = 0
    while start < len(order):
        rows = max(1, tokens // int(data.lengths[order[start]]))
        yield order[start : start + rows]
        start += rows
