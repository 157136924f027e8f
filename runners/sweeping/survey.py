"""A worker's survey of itself (code, versions, data), and its mismatches with the driver."""

import hashlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from amix.runs.context import RunContext
from amix.specs.encoder_files import locate, source_hash
from amix.specs.encoder_folder import check_folder, check_tokenizer
from amix.specs.encoders import find_encoder
from amix.specs.out_of_domain import sets_for
from amix.specs.store import check_writable
from amix.specs.tasks import find_task
from runners.sweeping.parcels import Parcel, found_here

ROOT = Path(__file__).parents[2]
SOURCES = ("amix", "baselines", "runners", "results")
"""Folders whose code affects a run's record."""
CODE = (".py", ".yaml")
ENGINE = ("dask", "distributed")
JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
"""Environment variables in which batch systems give a process the id of its job."""
FOUND, NOT_EXAMINED = "found", "not examined"
FINE = (FOUND, NOT_EXAMINED)


@dataclass(frozen=True)
class Needs:
    """What runs need on the machine that does them."""

    context: RunContext
    encoder: str
    """Name in the runs' specs."""
    tasks: tuple[str, ...]
    records: str
    """The driver's folder of records."""
    shared: bool = False
    """Workers write to it too."""
    encoder_source: str = ""
    """Hash of a user's own encoder that is part of the runs' keys."""
    task_sources: dict[str, str] = field(default_factory=dict)
    """The same for each task of the user's own."""
    parcels: tuple[Parcel, ...] = ()
    """Copies of the driver's files that were brought to the machine."""


@dataclass(frozen=True)
class Survey:
    """A process's description of itself: a worker, or the driver that workers are compared with."""

    host: str
    commit: str | None
    sources: str
    """sha256 of the project's code there."""
    python: str
    packages: dict[str, str]
    device: str
    threads: int
    """Threads per run."""
    age: float
    """Seconds since its job, or its nanny, started."""
    job: str = ""
    encoder: str = NOT_EXAMINED
    """`found`, or why it cannot be used; as are the following ones."""
    data: dict[str, str] = field(default_factory=dict)
    """The same for the data of each task."""
    plugins: str = NOT_EXAMINED
    """The same for methods from outside the project."""
    records: str = NOT_EXAMINED
    """The same for the folder of records, which must be writable."""


@cache
def sources_hash() -> str:
    """sha256 of the names and contents of the project's code and embedded data."""
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _sources() -> list[Path]:
    code = [path for folder in SOURCES for path in (ROOT / folder).rglob("*") if path.suffix in CODE]
    return sorted([*code, *(ROOT / "amix" / "data" / "embedded").rglob("*.csv")])


def survey(needs: Needs | None = None) -> Survey:
    """Survey this process and, if needs are given, whether it can meet them."""
    from amix.runs.environment import environment

    here = environment("")
    inputs: dict[str, Any] = {} if needs is None else _inputs(needs)
    return Survey(
        host=socket.gethostname(),
        commit=here["git_commit"],
        sources=sources_hash(),
        python=here["python"],
        packages=here["packages"] | {name: metadata.version(name) for name in ENGINE},
        device=here["device"],
        threads=1,
        age=_age(),
        job=next((os.environ[name] for name in JOB_VARIABLES if name in os.environ), ""),
        **inputs,
    )


def _age() -> float:
    """Seconds since this worker's nanny, or the worker itself if it has none, was started."""
    import psutil
    from distributed import get_worker

    try:
        nanny = get_worker().nanny
    except ValueError:  # The driver is not a worker.
        nanny = None
    return time.time() - psutil.Process(os.getppid() if nanny else None).create_time()


def _inputs(needs: Needs) -> dict[str, Any]:
    needs = replace(needs, context=found_here(needs.context, needs.parcels))
    context = needs.context

    def encoder() -> None:
        folder = locate(find_encoder(context.encoder or needs.encoder))
        if Path(folder).is_dir():
            check_folder(folder)
            check_tokenizer(folder)
        if source_hash(context.encoder or needs.encoder) != needs.encoder_source:
            raise ValueError(f"{needs.encoder} differs from the driver's: copy the driver's")

    def plugins() -> None:
        from amix.training.registry import load_external

        for plugin in context.plugins:
            load_external(plugin)

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
    """Read everything that runs of a task read, and check that a user's own data are the same as the driver's."""
    from amix.data.rows import glue_folder, load_rows
    from amix.data.task_source import task_source
    from amix.runs.out_of_domain_scores import out_of_domain_folder, set_rows

    context = needs.context
    task = find_task(context.task_files.get(name, name))
    for split in filter(None, (task.train, task.validation, task.test)):
        load_rows(task, split, glue_folder(context.glue) if task.origin == "glue" else None)
    if task_source(task) != needs.task_sources.get(name, ""):
        raise ValueError(f"{context.task_files.get(name, name)} or its files differ from the driver's")
    for data_set in () if context.dev_only else sets_for(name, context.out_of_domain):
        set_rows(data_set, glue_folder(context.glue), out_of_domain_folder(context.out_of_domain_folder))


def _tried(look: Callable[[], object]) -> str:
    try:
        look()
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return FOUND


def mismatches(worker: Survey, driver: Survey, shared: bool) -> list[str]:
    """The mismatches between a worker and the driver; empty if the worker may be given runs.

    Args:
        worker: the worker's survey.
        driver: the driver's survey.
        shared: whether workers write records too, for which they must see the driver's folder.

    Returns:
        One line per mismatch, with its remedy.
    """
    lines = []
    if worker.commit != driver.commit and None not in (worker.commit, driver.commit):
        commits = f"commit {_short(worker.commit)} there, {_short(driver.commit)} here"
        lines.append(f"{commits}: check out the same one there, or share the folder")
    elif worker.sources != driver.sources:
        lines.append("the project's code there differs from the code here: check out one commit in both places")
    if worker.python != driver.python:
        lines.append(f"Python {worker.python} there, {driver.python} here: start workers with the latter")
    for name, version in driver.packages.items():
        if (other := worker.packages.get(name, "none")) != version:
            lines.append(f"{name} {other} there, {version} here: pip install {name}=={version} there")
    if worker.encoder not in FINE:
        lines.append(f"encoder: {worker.encoder} (there; use a path that both see, or 'ship: true')")
    for task, state in worker.data.items():
        if state != FOUND:
            lines.append(f"data of {task}: {state} (there; put the driver's files at the same path, or 'ship: true')")
    if worker.plugins not in FINE:
        lines.append(f"methods of your own: {worker.plugins} (there; put the file at the same path, or 'ship: true')")
    if shared and worker.records not in FINE:
        lines.append(f"folder of records: {worker.records} (there); set 'store: driver', or choose a shared --out")
    return lines


def _short(commit: str | None) -> str:
    return commit[:12] if commit else "none"
