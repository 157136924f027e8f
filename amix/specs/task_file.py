"""A task of one's own from a YAML file: what may stand there, checked field by field."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from amix.specs.data_errors import DataError, quoted, shown
from amix.specs.tasks import CLASS_METRICS, ERRORS, METRICS, NUMBER_METRICS, POSITIVE_METRICS, TASKS, Task, TaskError
from amix.specs.yaml_files import YamlError, is_safe_name, read_yaml


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Words = Annotated[list[str], BeforeValidator(_as_list)]


class TaskFile(BaseModel):
    """The fields of a task file, all of them texts as they are written.

    Attributes:
        name: letters, digits and . _ + - only; it becomes part of file names.
        train: the file of training rows, relative to the task file; or a folder, or hub:owner/name:split.
        test: the file of rows that scores are made on.
        validation: a dev file of one's own; without it, dev rows come out of the train file.
        text: one column, or two for pairs.
        label: the column of labels.
        labels: names of the classes in the order of their ids; left out for a regression.
        metrics: scores, the first one counts.
        positive: the class whose F1 and average precision are meant; the second where it is left out.
        encoding: of text files that are neither UTF-8 nor begin with a mark.
        title: the name for readers.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    train: str = Field(min_length=1)
    test: str = Field(min_length=1)
    text: Words
    title: str = ""
    label: str = "label"
    labels: Words | None = None
    metrics: Words = Field(default_factory=list)
    validation: str = ""
    positive: str = ""
    encoding: str = ""

    @field_validator("labels", mode="before")
    @classmethod
    def _no_labels(cls, value: Any) -> Any:
        return None if value in ("", "null", "~", []) else value

    @field_validator("name")
    @classmethod
    def _usable_name(cls, value: str) -> str:
        if not is_safe_name(value):
            raise ValueError(f"{shown(value)} becomes part of file names: use letters, digits, blanks and . _ + -")
        if value in TASKS:
            raise ValueError(f"{shown(value)} is a task of this project; choose another name")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 1 <= len(self.text) <= 2:
            raise ValueError(f"text names one column, or two for pairs: {quoted(self.text) or 'none'}")
        _refuse_repeated("text", self.text)
        if self.label in self.text:
            raise ValueError(f"the column {shown(self.label)} cannot be text and label at once")
        if self.labels is not None:
            _refuse_repeated("labels", self.labels)
            if len(self.labels) < 2:
                raise ValueError(f"labels names two classes or more, not only {quoted(self.labels)}")
            if not all(name and name == name.strip() for name in self.labels):
                raise ValueError("labels: a name is empty or has blanks around it")
        if self.positive and self.positive not in (self.labels or []):
            raise ValueError(f"positive: {shown(self.positive)} is none of the labels {quoted(self.labels or [])}")
        self.metrics = _fitting_metrics(self.metrics, self.labels, self.positive)
        return self


def read_task_file(path: Path) -> Task:
    """A task from its file.

    Raises:
        TaskError: one line with the file, the field, what stands there and what to do.
    """
    try:
        content = read_yaml(path, yaml.BaseLoader)
    except (YamlError, DataError) as error:
        raise TaskError(str(error)) from error
    if not isinstance(content, dict):
        raise TaskError(f"{path}: a task file holds fields such as 'name:' and 'train:'")
    names = [str(name) for name in content]
    required = {name for name, one in TaskFile.model_fields.items() if one.is_required()}
    parts = _listed("missing", sorted(required - set(names)))
    parts += _listed("unknown", sorted(set(names) - set(TaskFile.model_fields)))
    if parts:
        raise TaskError(f"{path}: {'; '.join(parts)} (fields: {', '.join(sorted(TaskFile.model_fields))})")
    try:
        described = TaskFile.model_validate(content)
    except ValidationError as error:
        raise TaskError(f"{path}: {_said(error)}") from error
    return Task(
        name=described.name,
        title=described.title or described.name,
        text=tuple(described.text),
        labels=None if described.labels is None else tuple(described.labels),
        metrics=tuple(described.metrics),
        origin="files",
        folder=str(path.resolve().parent),
        train=described.train,
        test=described.test,
        label=described.label,
        validation=described.validation,
        positive=described.positive,
        encoding=described.encoding,
    )


def _listed(what: str, names: list[str]) -> list[str]:
    return [f"{what}: {', '.join(names)}"] if names else []


def _said(error: ValidationError) -> str:
    """The first complaint, in one line that names the field."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    words = first["msg"].removeprefix("Value error, ")
    found = "" if first["type"] == "value_error" else f", not {shown(first['input'])}"
    words = {"string_type": "is one text", "string_too_short": "is empty"}.get(first["type"], words)
    return f"{field}: {words}{found}" if field else words


def _refuse_repeated(field: str, names: list[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{field}: {quoted(repeated)} stands there more than once")


def _fitting_metrics(metrics: list[str], labels: list[str] | None, positive: str) -> list[str]:
    """The metrics, or the usual ones; those that this kind of label has, a higher-is-better one first."""
    if not metrics:
        return ["spearman", "pearson"] if labels is None else ["accuracy"]
    unknown = [metric for metric in metrics if metric not in METRICS]
    if unknown:
        raise ValueError(f"unknown metric {', '.join(unknown)}; known: {', '.join(METRICS)}")
    _refuse_repeated("metrics", metrics)
    if labels is None:
        kind, fitting = "a number as label", NUMBER_METRICS
    else:
        kind = f"{len(labels)} labels"
        of_one = POSITIVE_METRICS if len(labels) == 2 or positive else ()
        fitting = (*CLASS_METRICS, *of_one)
    unfit = [metric for metric in metrics if metric not in fitting]
    if unfit:
        hint = (
            "; with 'positive: NAME' f1 is that of one class" if set(unfit) & set(POSITIVE_METRICS) and labels else ""
        )
        raise ValueError(f"{', '.join(unfit)} is not defined for {kind}; use {', '.join(fitting)}{hint}")
    if metrics[0] in ERRORS:
        raise ValueError(
            f"the first metric counts, and more must be better: put {NUMBER_METRICS[0]} before {metrics[0]}"
        )
    return metrics
