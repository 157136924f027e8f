"""What somebody asks of `compare`, checked: the task that one file describes, and how much may be done about it."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from amix.data.evaluate_metrics import found_from_anywhere
from amix.data.one_file import task_of_file
from amix.data.rows import load_rows
from amix.specs.data_errors import DataError, quoted
from amix.specs.task_file import TaskFile
from amix.specs.tasks import Task, TaskError

USUAL_FOR_CLASSES, USUAL_FOR_NUMBERS = ("accuracy", "macro_f1"), ("spearman", "pearson", "mae")
"""What is scored where nobody says anything else; the first one counts."""
FEWEST_ROWS = 30


class CompareError(ValueError):
    """Something about a comparison that its owner has to change."""


@dataclass(frozen=True)
class Request:
    """One comparison.

    Attributes:
        source: the file of rows.
        out: folder of everything that is made.
        encoder: alias, Hub id or folder.
        text: one text column or two; where empty, the only one beside the label.
        label: the label column.
        test: a test file, empty for cross-validation.
        encoding: of text files that are not UTF-8.
        methods: rows to compare, empty for the default ones.
        metrics: the first one counts; empty for the usual ones.
        positive: the class that f1 is of.
        numbers: the label is a number even where it has few values.
        minutes: about how long it may take; None for as long as it takes.
        folds: of the cross-validation.
        repeats: of the cross-validation.
        max_length: tokens that are kept of a text; None for the encoder's recipe.
        workers: processes; None for one per GPU or core.
        row: the row to train the model with; empty for the one that the comparison finds.
        command: what was typed.
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
    row: str = ""
    command: str = ""

    def task(self) -> Task:
        """The task of the file.

        Raises:
            DataError: If the file cannot be used.
            TaskError: If the metrics do not fit its labels.
            CompareError: If there is too little to compare on.
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
            raise CompareError(f"{self.source} has {rows} rows; a comparison needs {FEWEST_ROWS} or more")
        if self.folds < 2 or self.folds > rows // 2:
            raise CompareError(f"--folds is 2 to {rows // 2} for {rows} rows, not {self.folds}")
        return task

    def _metrics(self, task: Task) -> tuple[str, ...]:
        usual = USUAL_FOR_NUMBERS if task.labels is None else USUAL_FOR_CLASSES
        # The runs read their task in another folder, from which a module of one's own would not be found.
        asked = (found_from_anywhere(metric, Path(task.folder)) for metric in self.metrics)
        chosen = list(dict.fromkeys((*asked, *usual)))
        fields = {
            "name": "data", "train": task.train, "test": "test", "text": list(task.text), "label": task.label,
            "labels": None if task.labels is None else list(task.labels), "metrics": chosen, "positive": self.positive,
        }  # fmt: skip
        try:
            return tuple(TaskFile.model_validate(fields).metrics)
        except ValidationError as error:
            said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise TaskError(f"--metric, --positive: {said}") from error


def one_of(name: str, known: tuple[str, ...], what: str) -> str:
    """The name; CompareError with the known ones where it is none of them."""
    if name not in known:
        raise CompareError(f"{what}: '{name}' is none of {', '.join(known)}")
    return name


__all__ = ["CompareError", "DataError", "Request", "one_of"]
