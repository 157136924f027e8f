"""A cluster file as its user writes it: what starts workers, how many, and how their traffic is protected."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema

from amix.specs.data_errors import shown
from amix.specs.spec_model import Count, ItemsOf, SpecModel, problem
from amix.specs.suggestions import nearest
from amix.specs.yaml_files import YamlError, read_yaml

Kind = Literal["slurm", "pbs", "lsf", "sge", "local", "address"]
UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
AUTO = "auto"
RESERVE = 120.0
"""Seconds of a walltime that are kept for starting a worker and for ending it."""


class ClusterError(ValueError):
    """A cluster that is described wrongly or cannot be used; one line with the file, the field and the remedy."""


class JobOptions(SpecModel):
    """Options of dask-jobqueue that all batch systems share, under its names; its documentation explains them."""

    cores: Count
    """Cores of a job."""
    memory: str
    """Memory of a job, such as 16GB."""
    walltime: str
    """When the batch system ends a job, in its own notation; quotes keep YAML from reading 12:00:00 as a number."""
    processes: Count = 1
    """Workers per job, and so runs at a time; they share the cores and the memory."""
    queue: str | None = None
    """Queue or partition."""
    interface: str | None = None
    """Network interface through which driver and workers reach each other, such as ib0."""
    job_extra_directives: ItemsOf[str] = ()
    """Additional directives for the head of the job script, such as --gres=gpu:1."""
    job_directives_skip: ItemsOf[str] = ()
    """Directives that contain one of these texts are left out."""
    job_script_prologue: ItemsOf[str] = ()
    """Shell commands to run in a job before its worker starts, such as module load cuda."""
    job_name: str | None = None
    """The job's name in the queue."""
    python: str | None = None
    """The workers' Python interpreter; default: the driver's."""
    worker_extra_args: ItemsOf[str] = ()
    """Additional options of `dask worker`."""
    death_timeout: float | None = None
    """Seconds without the driver after which a worker ends; default: dask-jobqueue's 60."""
    local_directory: str | None = None
    """Folder on the node for the worker's own files."""
    log_directory: str | None = None
    """Folder for the output of jobs."""
    shared_temp_directory: str | None = None
    """Folder that driver and nodes share, for the certificate; default: one in the user's cache."""
    shebang: str | None = None
    """First line of the job script."""
    scheduler_options: dict[str, Any] = {}
    """Options of the scheduler in the driver, such as port."""

    model_config = ConfigDict(title="Options of dask-jobqueue")


class SlurmOptions(JobOptions):
    """Options of a SLURMCluster."""

    account: str | None = None
    """Account that is charged."""
    job_cpu: Count | None = None
    """Cores to request, if not `cores`."""
    job_mem: str | None = None
    """Memory to request, if not `memory`."""


class PbsOptions(JobOptions):
    """Options of a PBSCluster."""

    account: str | None = None
    """Account that is charged."""
    resource_spec: str | None = None
    """Resources to request, such as select=1:ncpus=4:ngpus=1:mem=16GB."""


class SgeOptions(JobOptions):
    """Options of an SGECluster."""

    project: str | None = None
    """Account that is charged."""
    resource_spec: str | None = None
    """Resources to request."""


class LsfOptions(JobOptions):
    """Options of an LSFCluster."""

    project: str | None = None
    """Account that is charged."""
    ncpus: Count | None = None
    """Cores to request, if not `cores`."""
    mem: Count | None = None
    """Bytes to request, if not `memory`."""
    lsf_units: str | None = None
    """Unit in which the site measures memory."""
    use_stdin: bool | None = None
    """Whether bsub reads the script from its standard input."""


RunsPerGpu = Annotated[
    Annotated[Literal["auto"], Tag("(auto)")] | Annotated[Count, Tag("(count)")],
    Discriminator(lambda value: "(auto)" if isinstance(value, str) else "(count)"),
]


class LocalOptions(SpecModel):
    """Options of a cluster on this machine."""

    workers: Count | None = None
    """Worker processes; default: one per GPU, or per core if there is no GPU."""
    runs_per_gpu: RunsPerGpu | None = None
    """Runs that share a GPU: at most this number, or with `auto` as many as fit; in either case never more than fit."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.workers is not None and self.runs_per_gpu is not None:
            raise ValueError("runs_per_gpu sets the number of workers; leave out one of the two")
        return self


class NoOptions(SpecModel):
    """A scheduler that is already running has its own workers and takes no options."""


OPTIONS: dict[str, type[SpecModel]] = {
    "slurm": SlurmOptions,
    "pbs": PbsOptions,
    "lsf": LsfOptions,
    "sge": SgeOptions,
    "local": LocalOptions,
    "address": NoOptions,
}
"""The options of each kind of cluster."""


class Bounds(SpecModel):
    """How many jobs there may be at a time; never more than the remaining runs need."""

    minimum: Annotated[int, Field(ge=0)] = 0
    """Jobs that are kept even if they are idle."""
    maximum: Count
    """Most jobs at a time."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum: {self.minimum} is more than the maximum, {self.maximum}")
        return self


class Certificates(SpecModel):
    """Your own certificates, as PEM files."""

    ca_file: Annotated[str, Field(min_length=1)]
    """The certificate that signs the others; for a self-signed one, the certificate itself."""
    cert: Annotated[str, Field(min_length=1)]
    """The driver's certificate."""
    key: Annotated[str, Field(min_length=1)]
    """Its key."""


def _bounds(jobs: Any) -> Any:
    """A single number is the maximum."""
    return {"maximum": jobs} if isinstance(jobs, int) and not isinstance(jobs, bool) else jobs


def _empty_if_none(content: Any) -> Any:
    """Treat a field without a value as empty."""
    return {} if content is None else content


class _BoundsSchema:
    """Adds to the JSON schema that a single number is allowed."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "minimum": 1}, handler(schema)]}


class _OptionsSchema:
    """Adds the possible options to the JSON schema."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for model in OPTIONS.values():
            properties |= model.model_json_schema()["properties"] if model.model_fields else {}
        return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


class ClusterFile(SpecModel):
    """Where a sweep's runs are done."""

    kind: Kind
    """What starts the workers: a batch system, this machine, or a scheduler that is already running (`address`)."""
    address: str = ""
    """Address of the scheduler that is already running: tls://host:port."""
    jobs: Annotated[Bounds, BeforeValidator(_bounds), _BoundsSchema()] | None = None
    """Jobs of the batch system at a time: a number, or minimum and maximum."""
    options: Annotated[dict[str, Any], BeforeValidator(_empty_if_none), _OptionsSchema()] = {}
    """Options of this kind; for a batch system, those of dask-jobqueue."""
    lifetime: str | None = None
    """Age at which a worker stops, between runs, such as 3h or 03:30:00; default: the walltime less two minutes."""
    store: Literal["driver", "shared"] = "driver"
    """Who writes records: the driver alone, or also the workers if they see the same folder of records."""
    ship: bool = False
    """Copies encoder, own tasks and methods, and the used tables of GLUE to workers, once per machine, through the
    encrypted connection, into ~/.cache/amix/shipped; for workers that do not find them at the driver's paths."""
    tls: Certificates | None = None
    """Your own certificates, instead of one that is made for this sweep only."""
    insecure: bool = False
    """Leaves traffic unprotected: anyone who can reach a port can then run code as you."""

    @model_validator(mode="after")
    def _fields_of_the_kind(self) -> Self:
        batch = self.kind not in ("local", "address")
        known = ", ".join(kind for kind in OPTIONS if kind not in ("local", "address"))
        if self.jobs is not None and not batch:
            raise ValueError(f"jobs: kind {self.kind} has none (these have: {known}); leave it out")
        if self.jobs is None and batch:
            raise ValueError(f"missing jobs: how many jobs {self.kind} may run for you at a time")
        if self.ship and self.kind == "local":
            raise ValueError("ship: workers of kind local read the driver's own files; leave it out")
        if self.address and self.kind != "address":
            raise ValueError(f"address: kind {self.kind} starts its own scheduler; leave it out")
        if self.kind == "address":
            check_address(self.address, self.insecure)
        if self.insecure and self.tls:
            raise ValueError("insecure: true leaves traffic unprotected, tls: protects it; keep one of them")
        try:
            OPTIONS[self.kind].model_validate(self.options)
        except ValidationError as error:
            raise ValueError(f"options: {problem(error)}") from error
        if self.lifetime is not None and seconds_of(self.lifetime) is None:
            raise ValueError(f"lifetime: a time such as 3h, 90m or 03:30:00 is needed, found {shown(self.lifetime)}")
        if batch and self.lifetime_seconds is None:
            walltime = shown(self.options["walltime"])
            raise ValueError(
                f"missing lifetime: it cannot be derived from the walltime {walltime}; state it, such as 3h"
            )
        return self

    @property
    def runs_per_job(self) -> int:
        """How many runs a job does at a time."""
        return int(self.options.get("processes", 1))

    @property
    def most_runs(self) -> int | None:
        """How many runs can be in progress at a time; None if only the scheduler knows."""
        if self.jobs is not None:
            return self.jobs.maximum * self.runs_per_job
        return None

    @property
    def lifetime_seconds(self) -> float | None:
        """Age at which a worker takes no further run; None for no limit."""
        if self.lifetime is not None:
            return seconds_of(self.lifetime)
        walltime = self.options.get("walltime")
        seconds = seconds_of(walltime, minutes_first=self.kind == "lsf") if walltime else None
        return None if seconds is None else max(seconds - RESERVE, seconds / 2)


def seconds_of(text: str, minutes_first: bool = False) -> float | None:
    """Seconds in a time such as 90m, 3h, 1-12:00:00 or 03:30:00; None for anything else.

    Args:
        text: the time.
        minutes_first: two numbers are hours and minutes, as in LSF; otherwise minutes and seconds, as in Slurm.
    """
    if match := re.fullmatch(rf"(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})", text.strip()):
        return float(match[1]) * UNITS[match[2]]
    if not (match := CLOCK.fullmatch(text.strip())):
        return None
    days, first, second, third = (int(part or 0) for part in match.groups())
    if match[4] is None and not minutes_first and not match[1]:
        return 60.0 * first + second
    return 86400.0 * days + 3600 * first + 60 * second + third


def check_address(address: str, insecure: bool) -> None:
    """Refuse a malformed address, and one that is open to anybody.

    Raises:
        ValueError: the address cannot be used; the message says what to write instead.
    """
    protocol, separator, place = address.partition("://")
    if not separator or not re.fullmatch(r".+:\d+", place):
        raise ValueError(f"address: tls://host:port is needed, found {shown(address)}")
    if protocol not in ("tls", "tcp"):
        raise ValueError(f"address: unknown protocol {shown(protocol)}; {nearest(protocol, ('tls', 'tcp'))}")
    if protocol == "tcp" and not insecure:
        raise ValueError(
            f"address: {address} is unprotected, so anyone who can reach the port can run code as you: "
            "start the scheduler with certificates (tls://), or set 'insecure: true' in a cluster file"
        )


def read_cluster(given: str) -> ClusterFile:
    """The cluster described by a file, or reached at a scheduler's address.

    Raises:
        ClusterError: one line with the file, the field, its value and what to do.
    """
    if "://" in given:
        try:
            return ClusterFile(kind="address", address=given)
        except ValidationError as error:
            raise ClusterError(f"--cluster: {problem(error)}") from error
    path = Path(given)
    if path.suffix not in (".yaml", ".yml"):
        raise ClusterError(f"--cluster {given}: a .yaml file or an address tls://host:port is needed")
    try:
        content = read_yaml(path)
        if not isinstance(content, Mapping):
            raise ClusterError(f"{path}: a cluster file holds fields such as 'kind: slurm' and 'jobs: 8'")
        return _with_certificate_paths(ClusterFile.model_validate(content), path)
    except YamlError as error:
        raise ClusterError(str(error)) from error
    except ValidationError as error:
        raise ClusterError(f"{path}: {problem(error)}") from error


def _with_certificate_paths(cluster: ClusterFile, path: Path) -> ClusterFile:
    """The cluster with absolute paths of its certificates, which are relative to the file's folder."""
    if cluster.tls is None:
        return cluster
    paths = {}
    for name, value in cluster.tls.model_dump().items():
        file = path.parent / Path(value).expanduser()
        if not file.is_file():
            raise ClusterError(f"{path}: tls: {name}: there is no file {file}")
        paths[name] = str(file.resolve())
    return cluster.model_copy(update={"tls": Certificates.model_validate(paths)})
