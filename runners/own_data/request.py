"""A checked request to `compare`: the task that one file describes, and the options of the comparison."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from amix.data.evaluate_metrics import found_from_anywhere
from amix.data.one_file import task_of_file
from amix.data.rows import load_rows
from amix.specs.data_errors import DataError, quoted
from amix.specs.task import Task, TaskError
from amix.specs.task_file import TaskFile
from amix.specs.wording import counted

USUAL_FOR_CLASSES, USUAL_FOR_NUMBERS = ("accuracy", "macro_f1"), ("spearman", "pearson", "mae")
"""The default metrics; the first one decides."""
FEWEST_ROWS = 30


class CompareError(ValueError):
    """Something about a comparison that the user has to change."""


@dataclass(frozen=True)
class Request:
    """One comparison.

    Attributes:
        source: the file of rows.
        out: folder for all output.
        encoder: alias, Hub id or folder.
        text: one text column or two; if empty, the only column besides the label.
        label: the label column.
        test: a test file; empty for cross-validation.
        encoding: encoding of text files that are not UTF-8.
        methods: rows to compare; empty for the default ones.
        metrics: metrics, of which the first decides; empty for the default ones.
        positive: the class for which f1 is computed.
        numbers: whether the label is a number even if it has few values.
        minutes: about how long it may take; None for no limit.
        folds: folds of the cross-validation.
        repeats: repeats of the cross-validation.
        max_length: tokens kept of each text; None for the encoder's recipe.
        workers: worker processes; None for one per GPU or core.
        cluster: a cluster's file or address; empty for this machine.
        row: the row to train the model with; empty for the one that the comparison chooses.
        command: the command as typed.
    """

    source: str
    out: Path
    encoder: str
    text: tuple[str, ...] = ()
    label: str = ""
    test: str = ""
    encoding: str = ""
    methods: str = ""
    metrics: tuple[str, ...] = ()
    positive: str = ""
    numbers: bool = False
    minutes: float | None = None
    folds: int = 5
    repeats: int = 2
    max_length: int | None = None
    workers: int | None = None
    cluster: str = ""
    row: str = ""
    command: str = ""

    def task(self) -> Task:
        """The task of the file.

        Raises:
            DataError: the file cannot be used.
            TaskError: the metrics do not fit its labels.
            CompareError: there are too few rows.
        """
        task = task_of_file(self.source, self.text, self.label, self.encoding, self.test)
        if self.numbers:
            task = replace(task, labels=None)
        if task.labels is not None and len(task.labels) < 2:
            only = f"every row has the label {quoted(task.labels)}" if task.labels else "no row has a label"
            raise DataError(f"{self.source}, column {task.label}: {only}; there is nothing to learn")
        task = replace(task, metrics=self._metrics(task), positive=self.positive)
        rows = len(load_rows(task, task.train))
        if rows < FEWEST_ROWS:
            raise CompareError(f"{self.source} has {counted(rows, 'row')}; a comparison needs at least {FEWEST_ROWS}")
        if self.folds < 2 or self.folds > rows // 2:
            raise CompareError(f"--folds is 2 to {rows // 2} for {rows} rows, not {self.folds}")
        return task

    def _metrics(self, task: Task) -> tuple[str, ...]:
        usual = USUAL_FOR_NUMBERS if task.labels is None else USUAL_FOR_CLASSES
        # The runs read their task in another folder, from which a user's own module would not be found.
        asked = (found_from_anywhere(metric, Path(task.folder)) for metric in self.metrics)
        chosen = list(dict.fromkeys((*asked, *usual)))
        fields = {
            "name": "data", "train": task.train, "test": "test", "text": list(task.text), "label": task.label,
            "labels": None if task.labels is None else list(task.labels), "metrics": chosen, "positive": self.positive,
        }  # fmt: skip
        try:
            return tuple(TaskFile.model_validate(fields).metrics)
        except ValidationError as error:
            message = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise TaskError(f"--metric, --positive: {message}") from error


def one_of(name: str, known: tuple[str, ...], what: str) -> str:
    """The name itself.

    Raises:
        CompareError: the name is not known; the message lists the known ones.
    """
    if name not in known:
        raise CompareError(f"{what}: '{name}' is none of {', '.join(known)}")
    return name


__all__ = ["CompareError", "DataError", "Request", "one_of"]
