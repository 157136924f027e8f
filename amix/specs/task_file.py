"""A task of one's own from a YAML file: what may stand there, checked field by field."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator, model_validator

from amix.specs.data_errors import quoted, shown
from amix.specs.safe_names import safe_name
from amix.specs.spec_model import Listed, SpecModel, problem, refuse_repeated
from amix.specs.suggestions import nearest
from amix.specs.tasks import (
    CLASS_METRICS,
    EVALUATE,
    LESS_IS_BETTER,
    METRICS,
    NUMBER_METRICS,
    POSITIVE_METRICS,
    TASKS,
    Task,
    TaskError,
)
from amix.specs.yaml_files import YamlError, read_yaml

Words = Annotated[Listed[str], AfterValidator(refuse_repeated)]


def _no_labels(value: Any) -> Any:
    """The words that YAML has for nothing; labels are texts, so that no other value is looked for."""
    return None if value in ("", "null", "~", []) else value


class TaskFile(SpecModel):
    """A task of your own, as its YAML file describes it. Every value is the text that stands there."""

    name: Annotated[str, AfterValidator(safe_name)]
    """What suites, records and tables call it; becomes part of file names."""
    train: Annotated[str, Field(min_length=1)]
    """The file of training rows, relative to the task file; or a folder, or hub:owner/name:split."""
    test: Annotated[str, Field(min_length=1)]
    """The rows that scores are made on, in the same forms."""
    text: Words
    """The column with the text, or the two columns of a pair."""
    title: str = ""
    """Head of the task's column in tables; the name where there is none."""
    label: str = "label"
    """The column with the label."""
    labels: Annotated[Words | None, BeforeValidator(_no_labels)] = None
    """Names of the classes in the order of their ids; left out where the label is a number to be predicted."""
    metrics: Words = ()
    """Scores, the first one counts; those that are usual for the label where nothing is said. evaluate:NAME is one of
    the library evaluate: a name of its collection, or a folder or .py file of one's own beside the task file."""
    validation: str = ""
    """A dev file of one's own; without it, dev rows come out of the train file."""
    positive: str = ""
    """The class whose F1 and average precision are meant; the second where nothing is said."""
    encoding: str = ""
    """Of text files that are neither UTF-8 nor begin with a mark."""

    @field_validator("name")
    @classmethod
    def _own_name(cls, name: str) -> str:
        if name in TASKS:
            raise ValueError(f"{shown(name)} is a task of this project; choose another name")
        return name

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
        """The task, its files being in this folder."""
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
    """A task from its file.

    Raises:
        TaskError: one line with the file, the field, what stands there and what to do.
    """
    try:
        content = read_yaml(path, texts_only=True)
    except YamlError as error:
        raise TaskError(str(error)) from error
    if not isinstance(content, dict):
        raise TaskError(f"{path}: a task file holds fields such as 'name:' and 'train:'")
    try:
        return TaskFile.model_validate(content).task(path.parent)
    except ValidationError as error:
        raise TaskError(f"{path}: {problem(error)}") from error


def _check_metrics(metrics: tuple[str, ...], labels: tuple[str, ...] | None, positive: str) -> None:
    """Refuse metrics that this kind of label does not have, or one first of which less is better."""
    for metric in metrics:
        if metric not in METRICS and not (metric.startswith(EVALUATE) and metric != EVALUATE):
            hint = f"({EVALUATE}NAME is one of the library evaluate)"
            raise ValueError(f"metrics: unknown metric {shown(metric)}; {nearest(metric, METRICS)} {hint}")
    if labels is None:
        kind, fitting = "a number as label", NUMBER_METRICS
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
        raise ValueError(f"metrics: the first metric counts, and more must be better: put {better} before {metrics[0]}")
