"""Checks of users' own data for anything that would make a score worthless or misleading.

Every finding has a severity: an `error` stops everything before training, a `warning` is shown wherever the score is
shown, a `note` only on request.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas

from amix.data.delimited import QUOTES_AS_TEXT
from amix.data.text_checks import text_findings
from amix.specs.data_errors import DataError, quoted, shown
from amix.specs.task import CORRELATIONS, Task
from amix.specs.wording import counted

ERROR, WARNING, NOTE = "error", "warning", "note"
RARE_SHARE, RARE_ROWS = 0.2, 10
"""A class with a smaller share of the train rows, or with fewer rows, is rare."""
FEW_TEST_ROWS = 50
FEW_NUMBERS, MANY_ROWS = 10, 50
"""Numbers that take at most FEW_NUMBERS different whole values in at least MANY_ROWS rows may be classes."""
MANY_NUMBERS = 6
"""At least this many classes whose names are numbers may be a quantity."""
FAR = 10.0
"""A new head's outputs have a mean near 0 and a spread near 1; labels that differ this much get a note."""
LISTED = 8


@dataclass(frozen=True)
class Finding:
    """One finding about a task's data.

    Attributes:
        severity: error, warning or note.
        about: The kind of finding in a few words, the same for every file.
        said: One sentence for the person whose data it is, with what to do if anything can be done.
    """

    severity: str
    about: str
    said: str

    def as_dict(self) -> dict[str, str]:
        """Return the finding as plain JSON types."""
        return asdict(self)


Rows = Mapping[str, pandas.DataFrame]
"""The rows of `train`, and of `test` and `dev` if these are files, as returned by amix.data.rows.load_rows."""


def look_at(task: Task, rows: Rows) -> list[Finding]:
    """Run all checks that need neither a subset nor a tokenizer.

    Args:
        task: The task, with the names of its files.
        rows: The rows of its splits.

    Returns:
        Findings, the most severe first.
    """
    notes = [note for frame in rows.values() for note in frame.attrs.get("notes", [])]
    findings = [Finding(WARNING if QUOTES_AS_TEXT in note else NOTE, "reading", note) for note in notes]
    for split, frame in rows.items():
        findings += _number_findings(task, split, frame) if task.regression else _class_findings(task, split, frame)
        findings += [Finding(*parts) for parts in text_findings(file_of(task, split), frame, task)]
    if "test" in rows:
        findings += _overlaps(task, rows)
        count = len(rows["test"])
        if count < FEW_TEST_ROWS:
            step = "" if task.regression else f" (one row more or less is {100 / count:.1f} points of accuracy)"
            message = f"{file_of(task, 'test')} has {counted(count, 'row')}: scores on so few are uncertain{step}"
            findings.append(Finding(WARNING, "few test rows", message))
    return by_severity(dict.fromkeys(findings))


def by_severity(findings: Any) -> list[Finding]:
    """Sort findings: errors, then warnings, then notes; the order within each stays."""
    return sorted(findings, key=lambda finding: (ERROR, WARNING, NOTE).index(finding.severity))


def refuse_errors(task: Task, findings: list[Finding]) -> None:
    """Stop before training if there are errors.

    Raises:
        DataError: Some findings are errors; the message lists them.
    """
    errors = [finding.said for finding in findings if finding.severity == ERROR]
    if errors:
        raise DataError(f"task {task.name}: {'; '.join(errors)}")


def file_of(task: Task, split: str) -> str:
    """Return the name of a split's file, for messages."""
    name = {"train": task.train, "test": task.test, "dev": task.validation}[split]
    return Path(name).name if Path(name).is_absolute() else name


def subset_findings(task: Task, labels: numpy.ndarray, seed: int, split: str = "train") -> list[Finding]:
    """Check which classes are missing from a subset, or whether its labels are constant.

    Args:
        task: The task.
        labels: Class ids or numbers of the subset, shape [n].
        seed: The seed that drew it.
        split: train or dev.

    Returns:
        Findings that name the seed.
    """
    if len(labels) == 0:
        return []
    subset = f"seed {seed}: the {split} subset of {counted(len(labels), 'row')}"
    advice = "; 'subset: stratified' in the suite keeps the classes' shares"
    if task.labels is None:
        constant = len(labels) > 1 and numpy.ptp(labels) == 0
        return [Finding(WARNING, "constant subset", f"{subset} has only one number")] if constant else []
    missing = [name for place, name in enumerate(task.labels) if not (labels == place).any()]
    if not missing:
        return []
    if split == "train" and len(missing) == len(task.labels) - 1:
        message = f"{subset} has no example of {_some(missing)} and is all of one class{advice}"
        return [Finding(WARNING, "one class", message)]
    # A small dev set cannot contain examples of many classes.
    severity = WARNING if split == "train" else NOTE
    return [Finding(severity, "class missing", f"{subset} has no example of {_some(missing)}{advice}")]


def cut_finding(task: Task, lengths: numpy.ndarray, max_length: int) -> list[Finding]:
    """Check how many texts are too long for the encoder's input.

    Args:
        task: The task.
        lengths: Tokens of each text before truncation, including special tokens, shape [n].
        max_length: Tokens that are kept.

    Returns:
        At most one finding; a warning if at least one text in twenty is cut.
    """
    cut = int((lengths > max_length).sum())
    if not cut:
        return []
    share = cut / len(lengths)
    message = (
        f"{cut} of {len(lengths)} texts ({share:.0%}) are longer than {max_length} tokens and cut there; the longest "
        f"has {int(lengths.max())}: 'training: {{max_length: …}}' in the suite, or --max-length"
    )
    return [Finding(WARNING if share >= 0.05 else NOTE, "texts cut", message)]


def _class_findings(task: Task, split: str, rows: pandas.DataFrame) -> list[Finding]:
    assert task.labels is not None
    file, labels = file_of(task, split), rows["label"].to_numpy()
    counts = numpy.bincount(labels, minlength=len(task.labels))
    named = [f"{name} {count}" for name, count in zip(task.labels, counts, strict=True)]
    if len(named) > LISTED:
        named = [f"{len(named)} classes of {counts.min()} to {counts.max()}"]
    findings = [Finding(NOTE, "rows", f"{file}: {counted(len(rows), 'row')} ({', '.join(named)})")]
    present, missing = int((counts > 0).sum()), [task.labels[place] for place in numpy.flatnonzero(counts == 0)]
    if present == 1:
        only = shown(task.labels[int(counts.argmax())])
        words = "there is nothing to learn" if split == "train" else "hidden labels? No score means anything here"
        severity = NOTE if split == "dev" else ERROR
        return [*findings, Finding(severity, "one class", f"{file}: every row has the label {only}; {words}")]
    if missing:
        words = "which no model can learn" if split == "train" else "about which the scores say nothing"
        findings.append(Finding(WARNING, "class missing", f"{file}: has no row of {_some(missing)}, {words}"))
    if split == "train":
        findings += [*_alike(task), *_rare(task, file, counts)]
        single = [task.labels[place] for place in numpy.flatnonzero(counts == 1)]
        if single and not task.test:
            message = f"{file}: {_some(single)} {'has' if len(single) == 1 else 'have'} one row only, which cannot be"
            message += " learnt from and tested on; add rows, or join classes"
            findings.append(Finding(WARNING, "single row", message))
        if "f1" in task.metrics and not task.positive and counts[1] > counts[0]:
            message = f"F1 is that of {shown(task.labels[1])}, the frequent class"
            advice = f"; 'positive: {task.labels[0]}' in the task file (--positive {task.labels[0]}) chooses the other"
            findings.append(Finding(WARNING, "positive class", message + advice))
        if len(task.labels) >= MANY_NUMBERS and all(re.fullmatch(r"-?\d+([.,]\d+)?", name) for name in task.labels):
            message = (
                f"the {len(task.labels)} labels are numbers; if they are a quantity, leave 'labels' out (--numbers)"
            )
            findings.append(Finding(NOTE, "numbers as classes", message))
    return findings


def _alike(task: Task) -> list[Finding]:
    """Find classes that may be one class written in several ways."""
    ways: dict[str, list[str]] = {}
    for name in task.labels or ():
        ways.setdefault("".join(unicodedata.normalize("NFKC", name).casefold().split()), []).append(name)
    return [
        Finding(
            WARNING, "classes alike", f"{quoted(names)} are different classes; if they are one, write it in one way"
        )
        for names in ways.values()
        if len(names) > 1
    ]


def _rare(task: Task, file: str, counts: numpy.ndarray) -> list[Finding]:
    assert task.labels is not None
    limit = min(RARE_SHARE, 0.5 / len(counts)) * counts.sum()
    rare = [
        task.labels[place] for place, count in enumerate(counts) if 0 < count < max(limit, min(RARE_ROWS, limit * 2))
    ]
    if not rare:
        return []
    message = (
        f"{file}: {_some(rare)} {'is' if len(rare) == 1 else 'are'} rare; consider macro_f1 as the metric and, in a "
        "suite, 'subset: stratified' and 'training: {class_weights: balanced}'"
    )
    by_accuracy = task.metrics[0] == "accuracy" and counts.max() > 0.8 * counts.sum()
    largest = f"; always {shown(task.labels[int(counts.argmax())])} is right in {counts.max() / counts.sum():.0%}"
    return [Finding(WARNING if by_accuracy else NOTE, "rare class", message + (largest if by_accuracy else ""))]


def _number_findings(task: Task, split: str, rows: pandas.DataFrame) -> list[Finding]:
    file, labels = file_of(task, split), rows["label"].to_numpy()
    low, high, values = labels.min(), labels.max(), numpy.unique(labels)
    findings = [Finding(NOTE, "rows", f"{file}: {counted(len(rows), 'row')}, {task.label} from {low:g} to {high:g}")]
    if len(values) == 1:
        hidden = "hidden labels? " if low == -1 else ""
        words = f"{file}: every {task.label} is {low:g}; {hidden}"
        if split == "train":
            return [*findings, Finding(ERROR, "constant label", f"{words}there is nothing to learn")]
        undefined = split == "test" and task.metrics[0] in CORRELATIONS
        words += f"{task.metrics[0]} is not defined there" if undefined else "scores say little there"
        return [*findings, Finding(ERROR if undefined else WARNING, "constant label", words)]
    if split != "train":
        return findings
    if len(values) <= FEW_NUMBERS and len(rows) >= MANY_ROWS and (values == values.round()).all():
        listed = ", ".join(f"{value:g}" for value in values)
        message = f"{task.label} takes only the values {listed}: if these are classes, write 'labels: [{listed}]'"
        findings.append(Finding(WARNING if len(values) == 2 else NOTE, "classes as numbers", message))
    spread = labels.std()
    if abs(labels.mean()) > FAR or spread > FAR or spread < 1 / FAR:
        message = (
            f"{task.label} is {labels.mean():.4g} ± {spread:.4g}, far from the scale of a new head: it is standardised "
            "for training, and predictions are on its own scale"
        )
        findings.append(Finding(NOTE, "scale of the label", message))
    return findings


def _overlaps(task: Task, rows: Rows) -> list[Finding]:
    """Find test (and dev) texts that are also in the train file, literally or nearly."""
    findings = []
    if (Path(task.folder) / task.train).resolve() == (Path(task.folder) / task.test).resolve():
        message = f"{task.train} is the train and the test file: a score on training rows means nothing"
        return [Finding(ERROR, "test is train", message)]
    trained = dict(zip(_texts(task, rows["train"]), rows["train"]["label"], strict=True))
    alike = {normalised(key) for key in trained}
    for split in ("test", "dev"):
        if split not in rows:
            continue
        texts, labels = _texts(task, rows[split]), rows[split]["label"].tolist()
        exact = [text in trained for text in texts]
        near = sum(normalised(text) in alike for text in texts) - sum(exact)
        pairs = zip(exact, texts, labels, strict=True)
        other = 0 if task.regression else sum(here and trained[text] != label for here, text, label in pairs)
        severity, of = WARNING if split == "test" else NOTE, f"{len(texts)} texts of {file_of(task, split)}"
        higher = f"; scores can be higher than on new texts{' or, with other labels, lower' * bool(other)}"
        if sum(exact):
            message = (
                f"{sum(exact)} of {of} are in {task.train} too{f', {other} of them with another label' * bool(other)}"
            )
            findings.append(Finding(severity, f"{split} in train", message + higher))
        if near:
            message = f"{near} of {of} are in {task.train} except for case, blanks or punctuation"
            findings.append(Finding(severity, f"nearly {split} in train", message + higher))
    return findings


def _texts(task: Task, rows: pandas.DataFrame) -> list[tuple[str, ...]]:
    return list(rows[list(task.text)].itertuples(index=False, name=None))


def normalised(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Normalise case, blanks, punctuation and Unicode forms of texts."""
    plain = (unicodedata.normalize("NFKC", text).casefold() for text in texts)
    return tuple(" ".join(re.sub(r"[^\w\s]|_", " ", text).split()) or text for text in plain)


def _some(names: list[str]) -> str:
    listed = quoted(names[:LISTED])
    return listed if len(names) <= LISTED else f"{listed} and {len(names) - LISTED} more"
