"""What a worker is and has, told by itself, and what of it does not fit the driver."""

import hashlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from amix.runs.context import RunContext
from amix.specs.encoder_files import locate, source_hash
from amix.specs.encoders import find_encoder
from amix.specs.out_of_domain import sets_for
from amix.specs.store import check_writable
from amix.specs.tasks import find_task

ROOT = Path(__file__).parents[2]
SOURCES = ("amix", "baselines", "runners", "results")
"""Folders whose code decides what a run's record says."""
CODE = (".py", ".yaml")
ENGINE = ("dask", "distributed")
JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
"""Where batch systems say which job a process belongs to."""
FOUND = "found"


@dataclass(frozen=True)
class Needs:
    """What runs need of the machine that they run on."""

    context: RunContext
    encoder: str
    """As the runs' specs name it."""
    tasks: tuple[str, ...]
    records: str
    """The driver's folder of records."""
    shared: bool = False
    """Workers write to it too."""
    encoder_source: str = ""
    """What the runs' keys hold of an encoder of one's own."""
    task_sources: dict[str, str] = field(default_factory=dict)
    """The same of each task of one's own."""


@dataclass(frozen=True)
class Survey:
    """A process as it sees itself: a worker, or the driver, to which workers are held."""

    host: str
    commit: str | None
    sources: str
    """sha256 over the project's code there."""
    python: str
    packages: dict[str, str]
    device: str
    threads: int
    """Of a run."""
    age: float
    """Seconds since its job, or its nanny, started."""
    job: str = ""
    encoder: str = FOUND
    """`found`, or why it cannot be used."""
    data: dict[str, str] = field(default_factory=dict)
    """The same of each task."""
    plugins: str = FOUND
    """The same of methods from outside the project."""
    records: str = FOUND
    """`found` where the folder of records is there and can be written to."""


@cache
def sources_hash() -> str:
    """sha256 over the names and contents of the project's code and of its embedded data."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources() -> list[Path]:
    code = [path for folder in SOURCES for path in (ROOT / folder).rglob("*") if path.suffix in CODE]
    return sorted([*code, *(ROOT / "amix" / "data" / "embedded").rglob("*.csv")])


def survey(needs: Needs | None = None) -> Survey:
    """This process; with needs also whether it has what they ask for."""
    from amix.runs.environment import environment

    seen = environment("")
    found: dict[str, Any] = {} if needs is None else _inputs(needs)
    return Survey(
        host=socket.gethostname(),
        commit=seen["git_commit"],
        sources=sources_hash(),
        python=seen["python"],
        packages=seen["packages"] | {name: metadata.version(name) for name in ENGINE},
        device=seen["device"],
        threads=1,
        age=_age(),
        job=next((os.environ[name] for name in JOB_VARIABLES if name in os.environ), ""),
        **found,
    )


def _age() -> float:
    """Seconds since the process at the head of this worker started: its nanny where it has one."""
    import psutil
    from distributed import get_worker

    try:
        nanny = get_worker().nanny
    except ValueError:  # The driver is no worker.
        nanny = None
    return time.time() - psutil.Process(os.getppid() if nanny else None).create_time()


def _inputs(needs: Needs) -> dict[str, Any]:
    context = needs.context

    def encoder() -> None:
        locate(find_encoder(context.encoder or needs.encoder))
        if source_hash(context.encoder or needs.encoder) != needs.encoder_source:
            raise ValueError(f"{needs.encoder} has other contents than the driver's: copy that")

    def plugins() -> None:
        for plugin in context.plugins:
            if not (path := Path(plugin.rpartition(":")[0])).is_file():
                raise FileNotFoundError(f"there is no file {path}")

    def records() -> None:
        if not Path(needs.records).is_dir():
            raise FileNotFoundError(f"there is no folder {needs.records}")
        check_writable(Path(needs.records))

    return {
        "encoder": _tried(encoder),
        "data": {name: _tried(lambda name=name: _read(name, needs)) for name in needs.tasks},  # type: ignore[misc]
        "plugins": _tried(plugins),
        "records": _tried(records),
    }


def _read(name: str, needs: Needs) -> None:
    """Read all that runs of a task read, and see that one's own data are the driver's."""
    from amix.data.rows import glue_folder, load_rows
    from amix.data.task_source import task_source
    from amix.runs.out_of_domain_scores import out_of_domain_folder, set_rows

    context = needs.context
    task = find_task(context.task_files.get(name, name))
    for split in filter(None, (task.train, task.validation, task.test)):
        load_rows(task, split, glue_folder(context.glue) if task.origin == "glue" else None)
    if task_source(task) != needs.task_sources.get(name, ""):
        raise ValueError(f"{context.task_files.get(name, name)} or its files have other contents than the driver's")
    for one in () if context.dev_only else sets_for(name, context.out_of_domain):
        set_rows(one, glue_folder(context.glue), out_of_domain_folder(context.out_of_domain_folder))


def _tried(look: Callable[[], object]) -> str:
    try:
        look()
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return FOUND


def mismatches(worker: Survey, driver: Survey, shared: bool) -> list[str]:
    """What of a worker does not fit the driver, one line each with its remedy; empty for one that may be given runs.

    Args:
        worker: what the worker says of itself.
        driver: what the driver says of itself.
        shared: workers write records too, so that the driver's folder must be theirs as well.
    """
    found = []
    if worker.commit != driver.commit and None not in (worker.commit, driver.commit):
        said = f"commit {_short(worker.commit)} there, {_short(driver.commit)} here"
        found.append(f"{said}: check out the same one there, or share the folder")
    elif worker.sources != driver.sources:
        found.append("the project's code there has other contents than here: bring both to one commit without changes")
    if worker.python != driver.python:
        found.append(f"Python {worker.python} there, {driver.python} here: start workers with that one")
    for name, version in driver.packages.items():
        if (there := worker.packages.get(name, "none")) != version:
            found.append(f"{name} {there} there, {version} here: pip install {name}=={version} there")
    if worker.encoder != FOUND:
        found.append(f"encoder: {worker.encoder} (there; or use a path that both see)")
    for task, said in worker.data.items():
        if said != FOUND:
            found.append(f"data of {task}: {said} (there; put the driver's files at the same path)")
    if worker.plugins != FOUND:
        found.append(f"methods of your own: {worker.plugins} (there; put the file at the same path)")
    if shared and worker.records != FOUND:
        found.append(f"folder of records: {worker.records} (there); say 'store: driver', or choose a shared --out")
    return found


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "none"
