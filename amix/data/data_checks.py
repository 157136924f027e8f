"""People's own data looked at as data: what would make a score worthless, or a reader misunderstand it.

Every finding has a severity: an `error` stops everything before it trains, a `warning` is shown wherever the score is
shown, a `note` only where somebody asks.
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
from amix.specs.tasks import CORRELATIONS, Task

ERROR, WARNING, NOTE = "error", "warning", "note"
RARE_SHARE, RARE_ROWS = 0.2, 10
"""A class below this share of the train rows, or with fewer of them, is rare."""
FEW_TEST_ROWS = 50
FEW_NUMBERS, MANY_ROWS = 10, 50
"""Numbers that take at most so many different whole values in at least so many rows may be classes."""
MANY_NUMBERS = 6
"""Classes whose names are at least so many numbers may be a quantity."""
FAR = 10.0
"""A head begins with outputs around 0, of about 1; labels this far off or this wide are far from its scale."""
LISTED = 8


@dataclass(frozen=True)
class Finding:
    """What was seen in a task's data.

    Attributes:
        severity: error, warning or note.
        about: the kind of finding, one word or two, the same for every file.
        said: one sentence for the person whose data it is, with what to do where there is something to do.
    """

    severity: str
    about: str
    said: str

    def as_dict(self) -> dict[str, str]:
        """The finding as plain JSON types."""
        return asdict(self)


Rows = Mapping[str, pandas.DataFrame]
"""The rows of `train`, and of `test` and `dev` where these are files, as amix.data.rows.load_rows gives them."""


def look_at(task: Task, rows: Rows) -> list[Finding]:
    """All that can be seen before a subset is drawn and anything is tokenised.

    Args:
        task: the task, with the names of its files.
        rows: its rows.

    Returns:
        Findings, the most severe first.
    """
    notes = [said for one in rows.values() for said in one.attrs.get("notes", [])]
    found = [Finding(WARNING if QUOTES_AS_TEXT in said else NOTE, "reading", said) for said in notes]
    for split, one in rows.items():
        found += _number_findings(task, split, one) if task.regression else _class_findings(task, split, one)
        found += [Finding(*parts) for parts in text_findings(file_of(task, split), one, task)]
    if "test" in rows:
        found += _overlaps(task, rows)
        count = len(rows["test"])
        if count < FEW_TEST_ROWS:
            step = "" if task.regression else f" (one row more or less is {100 / count:.1f} points of accuracy)"
            said = f"{file_of(task, 'test')} has {count} rows: scores on so few are uncertain{step}"
            found.append(Finding(WARNING, "few test rows", said))
    return by_severity(dict.fromkeys(found))


def by_severity(findings: Any) -> list[Finding]:
    """Errors first, then warnings, then notes; in their order within each."""
    return sorted(findings, key=lambda one: (ERROR, WARNING, NOTE).index(one.severity))


def refuse_errors(task: Task, findings: list[Finding]) -> None:
    """Stop before anything trains.

    Raises:
        DataError: with all findings that are errors.
    """
    errors = [one.said for one in findings if one.severity == ERROR]
    if errors:
        raise DataError(f"task {task.name}: {'; '.join(errors)}")


def file_of(task: Task, split: str) -> str:
    """The name of a split's file, for messages."""
    name = {"train": task.train, "test": task.test, "dev": task.validation}[split]
    return Path(name).name if Path(name).is_absolute() else name


def subset_findings(task: Task, labels: numpy.ndarray, seed: int, split: str = "train") -> list[Finding]:
    """What a drawn subset lacks.

    Args:
        task: the task.
        labels: shape [n], class ids or numbers of the rows drawn.
        seed: which drew them.
        split: train or dev.

    Returns:
        Warnings that name the seed.
    """
    if len(labels) == 0:
        return []
    subset = f"seed {seed}: the {split} subset of {len(labels)} rows"
    advice = "; 'subset: stratified' in the suite keeps the classes' shares"
    if task.labels is None:
        constant = len(labels) > 1 and numpy.ptp(labels) == 0
        return [Finding(WARNING, "constant subset", f"{subset} has one number only")] if constant else []
    missing = [name for place, name in enumerate(task.labels) if not (labels == place).any()]
    if not missing:
        return []
    if split == "train" and len(missing) == len(task.labels) - 1:
        said = f"{subset} has no example of {_some(missing)} and is all of one class{advice}"
        return [Finding(WARNING, "one class", said)]
    # A small dev set of many classes cannot hold all of them.
    severity = WARNING if split == "train" else NOTE
    return [Finding(severity, "class missing", f"{subset} has no example of {_some(missing)}{advice}")]


def cut_finding(task: Task, lengths: numpy.ndarray, max_length: int) -> list[Finding]:
    """How many texts are longer than what the encoder is given.

    Args:
        task: the task.
        lengths: shape [n], tokens of each text before it is cut, special tokens included.
        max_length: tokens that are kept.

    Returns:
        At most one finding; a warning from one text in twenty on.
    """
    cut = int((lengths > max_length).sum())
    if not cut:
        return []
    share = cut / len(lengths)
    said = (
        f"{cut} of {len(lengths)} texts ({share:.0%}) are longer than {max_length} tokens and cut there; the longest "
        f"has {int(lengths.max())}: 'training: {{max_length: …}}' in the suite"
    )
    return [Finding(WARNING if share >= 0.05 else NOTE, "texts cut", said)]


def _class_findings(task: Task, split: str, rows: pandas.DataFrame) -> list[Finding]:
    assert task.labels is not None
    file, labels = file_of(task, split), rows["label"].to_numpy()
    counts = numpy.bincount(labels, minlength=len(task.labels))
    named = [f"{name} {count}" for name, count in zip(task.labels, counts, strict=True)]
    if len(named) > LISTED:
        named = [f"{len(named)} classes of {counts.min()} to {counts.max()}"]
    found = [Finding(NOTE, "rows", f"{file}: {len(rows)} rows ({', '.join(named)})")]
    present, missing = int((counts > 0).sum()), [task.labels[place] for place in numpy.flatnonzero(counts == 0)]
    if present == 1:
        only = shown(task.labels[int(counts.argmax())])
        words = "there is nothing to learn" if split == "train" else "hidden labels? No score means anything here"
        severity = NOTE if split == "dev" else ERROR
        return [*found, Finding(severity, "one class", f"{file}: every row has the label {only}; {words}")]
    if missing:
        words = "which no model can learn" if split == "train" else "of which the scores say nothing"
        found.append(Finding(WARNING, "class missing", f"{file}: has no row of {_some(missing)}, {words}"))
    if split == "train":
        found += _rare(task, file, counts)
        if "f1" in task.metrics and not task.positive and counts[1] > counts[0]:
            said = f"F1 is that of {shown(task.labels[1])}, the frequent class"
            advice = f"; 'positive: {task.labels[0]}' in the task file chooses the other"
            found.append(Finding(WARNING, "positive class", said + advice))
        if len(task.labels) >= MANY_NUMBERS and all(re.fullmatch(r"-?\d+([.,]\d+)?", name) for name in task.labels):
            said = f"the {len(task.labels)} labels are numbers; where they are a quantity, leave 'labels' out"
            found.append(Finding(NOTE, "numbers as classes", said))
    return found


def _rare(task: Task, file: str, counts: numpy.ndarray) -> list[Finding]:
    assert task.labels is not None
    limit = min(RARE_SHARE, 0.5 / len(counts)) * counts.sum()
    rare = [
        task.labels[place] for place, count in enumerate(counts) if 0 < count < max(limit, min(RARE_ROWS, limit * 2))
    ]
    if not rare:
        return []
    said = (
        f"{file}: {_some(rare)} {'is' if len(rare) == 1 else 'are'} rare; 'subset: stratified' and 'training: "
        "{class_weights: balanced}' in the suite and 'metrics: [macro_f1]' in the task file are made for that"
    )
    by_accuracy = task.metrics[0] == "accuracy" and counts.max() > 0.8 * counts.sum()
    largest = f"; always {shown(task.labels[int(counts.argmax())])} is right in {counts.max() / counts.sum():.0%}"
    return [Finding(WARNING if by_accuracy else NOTE, "rare class", said + (largest if by_accuracy else ""))]


def _number_findings(task: Task, split: str, rows: pandas.DataFrame) -> list[Finding]:
    file, labels = file_of(task, split), rows["label"].to_numpy()
    low, high, values = labels.min(), labels.max(), numpy.unique(labels)
    found = [Finding(NOTE, "rows", f"{file}: {len(rows)} rows, {task.label} from {low:g} to {high:g}")]
    if len(values) == 1:
        hidden = "hidden labels? " if low == -1 else ""
        words = f"{file}: every {task.label} is {low:g}; {hidden}"
        if split == "train":
            return [*found, Finding(ERROR, "constant label", f"{words}there is nothing to learn")]
        undefined = split == "test" and task.metrics[0] in CORRELATIONS
        words += f"{task.metrics[0]} is not defined there" if undefined else "scores say little there"
        return [*found, Finding(ERROR if undefined else WARNING, "constant label", words)]
    if split != "train":
        return found
    if len(values) <= FEW_NUMBERS and len(rows) >= MANY_ROWS and (values == values.round()).all():
        listed = ", ".join(f"{value:g}" for value in values)
        said = f"{task.label} takes only the values {listed}: where these are classes, write 'labels: [{listed}]'"
        found.append(Finding(WARNING if len(values) == 2 else NOTE, "classes as numbers", said))
    spread = labels.std()
    if abs(labels.mean()) > FAR or spread > FAR or spread < 1 / FAR:
        said = (
            f"{task.label} is {labels.mean():.4g} ± {spread:.4g}, far from the scale of a new head: it is standardised "
            "for training, and predictions are on its own scale"
        )
        found.append(Finding(NOTE, "scale of the label", said))
    return found


def _overlaps(task: Task, rows: Rows) -> list[Finding]:
    """Test (and dev) texts that stand in the train file too, to the letter or nearly so."""
    found = []
    if (Path(task.folder) / task.train).resolve() == (Path(task.folder) / task.test).resolve():
        said = f"{task.train} is the train and the test file: a score on rows that were trained on means nothing"
        return [Finding(ERROR, "test is train", said)]
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
            said = (
                f"{sum(exact)} of {of} are in {task.train} too{f', {other} of them with another label' * bool(other)}"
            )
            found.append(Finding(severity, f"{split} in train", said + higher))
        if near:
            said = f"{near} of {of} are in {task.train} but for case, blanks or punctuation"
            found.append(Finding(severity, f"nearly {split} in train", said + higher))
    return found


def _texts(task: Task, rows: pandas.DataFrame) -> list[tuple[str, ...]]:
    return list(rows[list(task.text)].itertuples(index=False, name=None))


def normalised(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Texts without differences of case, blanks, punctuation and ways to write a letter."""
    plain = (unicodedata.normalize("NFKC", text).casefold() for text in texts)
    return tuple(" ".join(re.sub(r"[^\w\s]|_", " ", text).split()) or text for text in plain)


def _some(names: list[str]) -> str:
    listed = quoted(names[:LISTED])
    return listed if len(names) <= LISTED else f"{listed} and {len(names) - LISTED} more"
