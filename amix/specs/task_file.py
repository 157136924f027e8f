"""A user's own task from a YAML file, checked field by field."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from amix.specs.data_errors import quoted, shown
from amix.specs.safe_names import safe_name
from amix.specs.spec_model import Listed, SpecModel, problem, refuse_repeated
from amix.specs.suggestions import nearest
from amix.specs.task import (
    CLASS_METRICS,
    EVALUATE,
    LESS_IS_BETTER,
    METRICS,
    NUMBER_METRICS,
    POSITIVE_METRICS,
    Task,
    TaskError,
)
from amix.specs.yaml_files import YamlError, read_yaml

Words = Annotated[Listed[str], AfterValidator(refuse_repeated)]


def _no_labels(value: Any) -> Any:
    """Map YAML's notations for null to None; labels are texts, so YAML itself does not convert them."""
    return None if value in ("", "null", "~", []) else value


class TaskFile(SpecModel):
    """Your own task, as its YAML file describes it. All values are taken literally, as texts."""

    name: Annotated[str, AfterValidator(safe_name)]
    """The task's name in suites, records and tables; becomes part of file names."""
    train: Annotated[str, Field(min_length=1)]
    """The file of training rows, relative to the task file; or a folder, or hub:owner/name:split."""
    test: Annotated[str, Field(min_length=1)]
    """The rows for the test scores, in the same forms."""
    text: Words
    """The column with the text, or the two columns of a pair."""
    title: str = ""
    """Heading of the task's column in tables; by default the name."""
    label: str = "label"
    """The column with the label."""
    labels: Annotated[Words | None, BeforeValidator(_no_labels)] = None
    """Names of the classes in the order of their ids; omit it for regression, where the label is a number."""
    metrics: Words = ()
    """Scores, the primary one first; by default those usual for the label. evaluate:NAME is one of the library
    evaluate: a name from its collection, or your own folder or .py file next to the task file."""
    validation: str = ""
    """Your own dev file; without it, dev rows are taken from the train file."""
    positive: str = ""
    """The class that F1 and average precision are computed for; by default the second."""
    encoding: str = ""
    """Encoding of text files that are not UTF-8 and have no byte order mark."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 1 <= len(self.text) <= 2:
            raise ValueError(f"text names one column, or two for pairs: {quoted(self.text) or 'none'}")
        if not all(name.strip() for name in (*self.text, self.label)):
            raise ValueError("text and label name columns of the file; one of them is empty")
        if self.label in self.text:
            raise ValueError(f"the column {shown(self.label)} cannot be text and label at once")
        if self.labels is not None:
            if len(self.labels) < 2:
                raise ValueError(f"labels names two classes or more, not only {quoted(self.labels)}")
            if not all(name and name == name.strip() for name in self.labels):
                raise ValueError("labels: a name is empty or has blanks around it")
        if self.positive and self.positive not in (self.labels or ()):
            raise ValueError(f"positive: {shown(self.positive)} is none of the labels {quoted(self.labels or ())}")
        _check_metrics(self.metrics, self.labels, self.positive)
        return self

    def task(self, folder: Path) -> Task:
        """Return the task, whose files are in this folder."""
        return Task(
            name=self.name,
            title=self.title or self.name,
            text=self.text,
            labels=self.labels,
            metrics=self.metrics or (("spearman", "pearson") if self.labels is None else ("accuracy",)),
            origin="files",
            folder=str(folder.resolve()),
            train=self.train,
            test=self.test,
            label=self.label,
            validation=self.validation,
            positive=self.positive,
            encoding=self.encoding,
        )


def read_task_file(path: Path) -> Task:
    """Read a task from its file.

    Raises:
        TaskError: One line with the file, the field, its value and what to do.
    """
    try:
        content = read_yaml(path, texts_only=True)
    except YamlError as error:
        raise TaskError(str(error)) from error
    if not isinstance(content, dict):
        raise TaskError(f"{path}: a task file needs fields such as 'name:' and 'train:'")
    try:
        return TaskFile.model_validate(content).task(path.parent)
    except ValidationError as error:
        raise TaskError(f"{path}: {problem(error)}") from error


def _check_metrics(metrics: tuple[str, ...], labels: tuple[str, ...] | None, positive: str) -> None:
    """Refuse metrics that are undefined for this kind of label, and an error measure as the primary metric."""
    for metric in metrics:
        if metric not in METRICS and not (metric.startswith(EVALUATE) and metric != EVALUATE):
            hint = f"({EVALUATE}NAME is one of the library evaluate)"
            raise ValueError(f"metrics: unknown metric {shown(metric)}; {nearest(metric, METRICS)} {hint}")
    if labels is None:
        kind, fitting = "regression", NUMBER_METRICS
    else:
        kind = f"{len(labels)} labels"
        fitting = (*CLASS_METRICS, *(POSITIVE_METRICS if len(labels) == 2 or positive else ()))
    unfit = [metric for metric in metrics if metric in METRICS and metric not in fitting]
    if unfit:
        of_one = labels is not None and set(unfit) & set(POSITIVE_METRICS)
        hint = "; with 'positive: NAME' f1 is that of one class" if of_one else ""
        raise ValueError(f"metrics: {', '.join(unfit)} is not defined for {kind}; use {', '.join(fitting)}{hint}")
    if metrics and metrics[0] in LESS_IS_BETTER:
        better = fitting[0]
        raise ValueError(f"metrics: the first one must be better when higher: put {better} before {metrics[0]}")
