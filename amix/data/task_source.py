"""The hash of a user's own task over its description and files, so that runs on edited data are repeated."""

import hashlib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

from amix.data.evaluate_metrics import module_file
from amix.specs.task import EVALUATE, LATER, Task, TaskError

STANDARDISED = b"labels are standardised for training"
QUOTES_AS_TEXT = b"quotes that are never closed are text"


def task_source(task: Task) -> str:
    """Return the sha256 over the description and the data of a user's own task; "" for the project's tasks.

    Wherever later versions read or train differently from the first one, a marker enters the hash, so that old records
    are not taken for new runs.
    """
    if task.origin != "files":
        return ""
    digest = hashlib.sha256(_described(task).encode())
    for name in filter(None, (task.train, task.test, task.validation)):
        for content in _contents(task, name):
            digest.update(content)
            if name.lower().endswith(".tsv") and b'"' in content:
                digest.update(QUOTES_AS_TEXT)
    for metric in task.metrics:
        module = module_file(metric, Path(task.folder)) if metric.startswith(EVALUATE) else None
        if module is not None and module.is_file():
            digest.update(module.read_bytes())
    if task.regression:
        digest.update(STANDARDISED)
    return digest.hexdigest()


def _described(task: Task) -> str:
    """Return the description without its folder; fields that were added later count only if they are used."""
    values = {field.name: getattr(replace(task, folder=""), field.name) for field in fields(Task)}
    return f"Task({', '.join(f'{name}={value!r}' for name, value in values.items() if name not in LATER or value)})"


def _contents(task: Task, name: str) -> Iterator[bytes]:
    """Yield the bytes of a file, of a folder's files and their names, or of the rows of a data set of the Hub."""
    if name.startswith("hub:"):
        from amix.data.arrow_rows import open_dataset

        table = open_dataset(name, task.text)
        yield repr(table.columns).encode()
        for _, values in table.records():
            yield repr(values).encode()
        return
    path = Path(task.folder) / name
    if not (path.is_file() or path.is_dir()):
        raise TaskError(f"task {task.name}: {path} does not exist")
    try:
        for file in sorted(below for below in path.rglob("*") if below.is_file()) if path.is_dir() else ():
            yield str(file.relative_to(path)).encode()
            yield file.read_bytes()
        if path.is_file():
            yield path.read_bytes()
    except OSError as error:
        raise TaskError(f"task {task.name}: {path} cannot be read ({error.strerror or error})") from error
