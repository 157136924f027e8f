"""Low-resource subsets: the tokenised splits that a run trains, selects and reports on."""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy
import pandas

from amix.data.data_checks import Finding, by_severity, cut_finding, look_at, subset_findings
from amix.data.encoded import Encoded, Tokenizer, tokenize
from amix.data.evaluate_metrics import check_evaluate_metrics
from amix.data.rows import load_rows, source_name
from amix.random_streams import array_generator
from amix.specs.data_errors import DataError
from amix.specs.task import Task


@dataclass(frozen=True)
class Splits:
    """The tokenised splits of a run.

    Attributes:
        train: The training subset.
        dev: The dev set.
        test: The test set.
        ids_sha256: sha256 over the ids of the train and dev examples, in order.
        pool: Number of examples that they were drawn from.
        source: Where the rows come from, see amix.data.rows.source_name.
        findings: Findings about users' own data (amix.data.data_checks.Finding.as_dict).
    """

    train: Encoded
    dev: Encoded
    test: Encoded
    ids_sha256: str
    pool: int
    source: str
    findings: tuple[dict[str, str], ...] = ()


def subset_positions(
    labels: numpy.ndarray, n_train: int | None, seed: int, kind: str = "uniform", own_dev: bool = False
) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Draw the positions of a training subset of N and a disjoint dev set of N/6 from a train split.

    With the same seed, smaller subsets are contained in larger ones.

    Args:
        labels: Class ids or numbers of the train split, shape [rows].
        n_train: N; None: the whole split trains, and the dev set is empty.
        seed: Seed of the subset.
        kind: `uniform`: without replacement, as AGWM draws subsets; `stratified`: with the split's class shares, as
            DPS does; `balanced`: equally many rows of every class, with a dev set that is as even as
            possible.
        own_dev: Whether the task has its own dev file, so that no dev set is drawn.

    Returns:
        Positions of the training subset and of the dev set.

    Raises:
        DataError: N is larger than the split or does not fit the classes, the kind is unknown, or a kind that needs
            classes is asked of a regression.
    """
    if n_train is None and kind != "balanced":
        return numpy.arange(len(labels)), numpy.arange(0)
    if n_train is None:
        raise DataError("a balanced subset needs a size, and N is the whole split: give one, or use subset: uniform")
    n_dev = 0 if own_dev else n_train // 6
    if n_train < 1 or n_train + n_dev > len(labels):
        largest = len(labels) if own_dev else 6 * len(labels) // 7
        raise DataError(
            f"N={n_train} with a dev set of {n_dev} does not fit a train split of {len(labels)} rows; "
            f"the largest possible N is about {largest}"
        )
    order = array_generator(seed, "subset").permutation(len(labels))
    if kind == "stratified":
        order = _stratified(labels, order, seed)
    elif kind == "balanced":
        order = _balanced(labels, order, n_train)
    elif kind != "uniform":
        raise DataError(f"unknown kind of subset '{kind}'; known: uniform, stratified, balanced")
    return order[:n_train], order[n_train : n_train + n_dev]


def _stratified(labels: numpy.ndarray, order: numpy.ndarray, seed: int) -> numpy.ndarray:
    """Return an order whose every prefix has nearly the class shares of the whole split."""
    _refuse_numbers(labels, "stratified")
    place = numpy.empty(len(labels))
    jitter = array_generator(seed, "subset", "strata").random(len(labels))
    for value in numpy.unique(labels):
        members = order[labels[order] == value]
        place[members] = (numpy.arange(len(members)) + jitter[members]) / len(members)
    return numpy.argsort(place, kind="stable")


def _balanced(labels: numpy.ndarray, order: numpy.ndarray, n_train: int) -> numpy.ndarray:
    """An order that takes one of every class in turn, as long as it has some left."""
    _refuse_numbers(labels, "balanced")
    classes, counts = numpy.unique(labels, return_counts=True)
    each, rest = divmod(n_train, len(classes))
    if rest:
        raise DataError(
            f"N={n_train} cannot be balanced over {len(classes)} classes: give a multiple of {len(classes)} such as "
            f"{len(classes) * max(each, 1)}, or use subset: stratified"
        )
    if each > counts.min():
        raise DataError(
            f"N={n_train} needs {each} rows of each of {len(classes)} classes, and the rarest has {counts.min()}: "
            f"the largest balanced N is {len(classes) * counts.min()}"
        )
    turn = numpy.empty(len(labels), dtype=int)
    for value, count in zip(classes, counts, strict=True):
        turn[labels[order] == value] = numpy.arange(count)
    return order[numpy.argsort(turn, kind="stable")]


def _refuse_numbers(labels: numpy.ndarray, kind: str) -> None:
    if labels.dtype.kind == "f":
        raise DataError(f"a {kind} subset needs classes; this task's label is a number: use subset: uniform")


MOST_SPLITS = 16
"""Splits that a process keeps, as rows and tokenised: every fold of own data is a task with splits of its own."""


@lru_cache(maxsize=MOST_SPLITS)
def _rows(task: Task, split: str, glue: Path | None) -> pandas.DataFrame:
    return load_rows(task, split, glue)


_SPLITS: dict[tuple[Task, str, Path | None, Hashable, int], Encoded] = {}
_SUBSETS: dict[tuple[Task, Path | None, Hashable, int, bytes], Encoded] = {}
MOST_SUBSETS = 16
"""Tokenised subsets that a process caches; a sweep runs all methods with one task, size and seed close together."""


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
    """Return the tokenised training subset, dev set and test set of a run; cached for later runs.

    The test set is the official validation split, because labels of the official test split are not public.

    Args:
        task: The task.
        n_train: Number of training examples; None: the whole train split.
        seed: Seed of the subset.
        tokenizer: The encoder's tokenizer.
        encoder: What identifies the encoder in the cache.
        max_length: Most tokens of an example.
        glue: Folder of GLUE files; None: the Hub.
        kind: How the subset is drawn, see subset_positions.

    Raises:
        DataError: A file cannot be used, or the train split is too small.
    """
    rows = _rows(task, task.train, glue)
    train, dev = subset_positions(rows["label"].to_numpy(), n_train, seed, kind, bool(task.validation))

    def whole(split: str) -> Encoded:
        key = (task, split, glue, encoder, max_length)
        if key not in _SPLITS:
            _make_room(_SPLITS, MOST_SPLITS)
            _SPLITS[key] = tokenize(task, _rows(task, split, glue), tokenizer, max_length)
        return _SPLITS[key]

    chosen = numpy.concatenate([train, dev])
    subset_key = (task, glue, encoder, max_length, chosen.tobytes())
    if subset_key not in _SUBSETS:
        _make_room(_SUBSETS, MOST_SUBSETS)
        _SUBSETS[subset_key] = tokenize(task, rows.iloc[chosen], tokenizer, max_length)
    encoded = _SUBSETS[subset_key]
    ids = ",".join(map(str, rows["idx"].to_numpy()[chosen].tolist()))
    splits = Splits(
        train=encoded.select(numpy.arange(len(train))),
        dev=whole(task.validation) if task.validation else encoded.select(numpy.arange(len(train), len(chosen))),
        test=whole(task.test),
        ids_sha256=hashlib.sha256(ids.encode()).hexdigest(),
        pool=len(rows),
        source=source_name(task, glue),
    )
    if task.origin != "files":
        return splits
    findings = [*own_findings(task, tokenizer, encoder, max_length), *drawn_findings(task, n_train, seed, kind)]
    as_dicts = tuple(finding.as_dict() for finding in by_severity(findings))
    return replace(_standardised(task, splits), findings=as_dicts)


def _make_room(cache: dict[Any, Any], most: int) -> None:
    """Remove the oldest entries until one more fits."""
    while len(cache) >= most:
        del cache[next(iter(cache))]


_FINDINGS: dict[tuple[Task, Hashable, int], list[Finding]] = {}
MOST_LOOKED_AT = 5000
"""Number of texts that are checked for truncation."""


def own_findings(
    task: Task, tokenizer: Tokenizer | None = None, encoder: Hashable = "", max_length: int = 0
) -> list[Finding]:
    """Run the checks on the files of a user's own task; with a tokenizer also count the texts that are cut."""
    if (task, encoder, max_length) not in _FINDINGS:
        check_evaluate_metrics(task)
        files = {"train": task.train, "test": task.test, "dev": task.validation}
        rows = {split: _rows(task, file, None) for split, file in files.items() if file}
        findings = look_at(task, rows)
        if tokenizer is not None:
            some = rows["train"].iloc[:MOST_LOOKED_AT]
            findings += cut_finding(task, tokenize(task, some, tokenizer, UNCUT).lengths.numpy(), max_length)
        _FINDINGS[task, encoder, max_length] = by_severity(findings)
    return _FINDINGS[task, encoder, max_length]


UNCUT = 1 << 20
"""More tokens than any text has."""


def drawn_findings(task: Task, n_train: int | None, seed: int, kind: str = "uniform") -> list[Finding]:
    """Run the checks on the training subset of a seed, and on the dev set if it is drawn."""
    labels = _rows(task, task.train, None)["label"].to_numpy()
    if n_train is None:
        return []
    train, dev = subset_positions(labels, n_train, seed, kind, bool(task.validation))
    return subset_findings(task, labels[train], seed) + subset_findings(task, labels[dev], seed, "dev")


def _standardised(task: Task, splits: Splits) -> Splits:
    """Standardise regression labels for a new head: mean 0 and standard deviation 1 on the training subset."""
    if not task.regression:
        return splits
    labels = splits.train.labels.double()
    center, spread = float(labels.mean()), float(labels.std(correction=0)) or 1.0
    scaled = {name: replace(getattr(splits, name), center=center, spread=spread) for name in ("train", "dev", "test")}
    return replace(splits, **scaled)
