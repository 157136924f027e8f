"""A cluster's file as its user writes it: what starts workers, how many, and how they are protected."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema

from amix.specs.data_errors import shown
from amix.specs.spec_model import Count, ItemsOf, SpecModel, problem
from amix.specs.suggestions import nearest
from amix.specs.yaml_files import YamlError, read_yaml

Kind = Literal["slurm", "pbs", "lsf", "sge", "local", "address"]
UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d\d)(?::(\d\d))?")
RESERVE = 120.0
"""Seconds of a walltime that are left for starting a worker and for ending it."""


class ClusterError(ValueError):
    """A cluster that is described wrongly or cannot be used; one line with the file, the field and what to do."""


class JobOptions(SpecModel):
    """Options of dask-jobqueue that its kinds of batch systems share, by its names; its documentation explains them."""

    cores: Count
    """Cores of a job."""
    memory: str
    """Memory of a job, such as 16GB."""
    walltime: str
    """When the batch system ends a job, in its own way of writing; quotes keep 12:00:00 from being a number."""
    processes: Count = 1
    """Workers in a job, and so runs at a time; the cores and the memory are divided among them."""
    queue: str | None = None
    """Queue or partition."""
    interface: str | None = None
    """Network interface by which driver and workers see each other, such as ib0."""
    job_extra_directives: ItemsOf[str] = ()
    """Further lines for the head of the job's script, such as --gres=gpu:1."""
    job_directives_skip: ItemsOf[str] = ()
    """Lines of the head that hold one of these texts are left out."""
    job_script_prologue: ItemsOf[str] = ()
    """Shell commands that run in a job before its worker, such as module load cuda."""
    job_name: str | None = None
    """The job's name in the queue."""
    python: str | None = None
    """The interpreter of the workers; the driver's where nothing is said."""
    worker_extra_args: ItemsOf[str] = ()
    """Further options of `dask worker`."""
    death_timeout: float | None = None
    """Seconds without the driver after which a worker ends; dask-jobqueue's 60 where nothing is said."""
    local_directory: str | None = None
    """Folder on the node for the worker's own files."""
    log_directory: str | None = None
    """Folder for what jobs print."""
    shared_temp_directory: str | None = None
    """Folder that driver and nodes share, for the certificate; one in the user's cache where nothing is said."""
    shebang: str | None = None
    """First line of the job's script."""
    scheduler_options: dict[str, Any] = {}
    """Options of the scheduler in the driver, such as port."""

    model_config = ConfigDict(title="Options of dask-jobqueue")


class SlurmOptions(JobOptions):
    """Options of a SLURMCluster."""

    account: str | None = None
    """Who pays."""
    job_cpu: Count | None = None
    """Cores to ask for, if not `cores`."""
    job_mem: str | None = None
    """Memory to ask for, if not `memory`."""


class PbsOptions(JobOptions):
    """Options of a PBSCluster."""

    account: str | None = None
    """Who pays."""
    resource_spec: str | None = None
    """What is asked for, such as select=1:ncpus=4:ngpus=1:mem=16GB."""


class SgeOptions(JobOptions):
    """Options of an SGECluster."""

    project: str | None = None
    """Who pays."""
    resource_spec: str | None = None
    """What is asked for."""


class LsfOptions(JobOptions):
    """Options of an LSFCluster."""

    project: str | None = None
    """Who pays."""
    ncpus: Count | None = None
    """Cores to ask for, if not `cores`."""
    mem: Count | None = None
    """Bytes to ask for, if not `memory`."""
    lsf_units: str | None = None
    """Unit in which the site counts memory."""
    use_stdin: bool | None = None
    """Whether bsub reads the script from its standard input."""


class LocalOptions(SpecModel):
    """Options of a cluster on this machine."""

    workers: Count | None = None
    """Worker processes; one per GPU, or per core where there is none, if nothing is said."""


class NoOptions(SpecModel):
    """A scheduler that runs already has its workers and takes no options."""


OPTIONS: dict[str, type[SpecModel]] = {
    "slurm": SlurmOptions,
    "pbs": PbsOptions,
    "lsf": LsfOptions,
    "sge": SgeOptions,
    "local": LocalOptions,
    "address": NoOptions,
}
"""Which options each kind of cluster has."""


class Bounds(SpecModel):
    """How many jobs there are at a time: no more than runs are left for them."""

    minimum: Annotated[int, Field(ge=0)] = 0
    """So many stay, even if they are idle."""
    maximum: Count
    """So many at most."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum: {self.minimum} is more than the maximum, {self.maximum}")
        return self


class Certificates(SpecModel):
    """Certificates of one's own, as PEM files."""

    ca_file: Annotated[str, Field(min_length=1)]
    """The certificate that signs the others; a self-signed one is its own."""
    cert: Annotated[str, Field(min_length=1)]
    """The driver's certificate."""
    key: Annotated[str, Field(min_length=1)]
    """Its key."""


def _bounds(jobs: Any) -> Any:
    """A number alone is the largest."""
    return {"maximum": jobs} if isinstance(jobs, int) and not isinstance(jobs, bool) else jobs


def _nothing(said: Any) -> Any:
    """A field with nothing behind it says nothing."""
    return {} if said is None else said


class _BoundsSchema:
    """Says in the JSON schema that a number may stand alone."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "integer", "minimum": 1}, handler(schema)]}


class _OptionsSchema:
    """Says in the JSON schema which options there are."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        for model in OPTIONS.values():
            properties |= model.model_json_schema()["properties"] if model.model_fields else {}
        return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


class ClusterFile(SpecModel):
    """Where a sweep's runs take place."""

    kind: Kind
    """What starts the workers: a batch system, this machine, or nobody, as a scheduler runs already (`address`)."""
    address: str = ""
    """Of the scheduler that runs already: tls://host:port."""
    jobs: Annotated[Bounds, BeforeValidator(_bounds), _BoundsSchema()] | None = None
    """Jobs of the batch system at a time: a number, or minimum and maximum."""
    options: Annotated[dict[str, Any], BeforeValidator(_nothing), _OptionsSchema()] = {}
    """Options of the kind; for a batch system those of dask-jobqueue."""
    lifetime: str | None = None
    """How old a worker may become, such as 3h or 03:30:00; it stops between runs. The walltime less two minutes, where
    nothing is said."""
    store: Literal["driver", "shared"] = "driver"
    """Who writes records: the driver alone, or workers too, where the folder of records is the same one for them."""
    tls: Certificates | None = None
    """Certificates of one's own, in place of one that is made for this sweep and gone with it."""
    insecure: bool = False
    """Leaves traffic unprotected: whoever reaches a port can then run code as you."""

    @model_validator(mode="after")
    def _fields_of_the_kind(self) -> Self:
        batch = self.kind not in ("local", "address")
        known = ", ".join(kind for kind in OPTIONS if kind not in ("local", "address"))
        if self.jobs is not None and not batch:
            raise ValueError(f"jobs: kind {self.kind} has none (these have: {known}); leave it out")
        if self.jobs is None and batch:
            raise ValueError(f"missing jobs: how many jobs {self.kind} may run for you at a time")
        if self.address and self.kind != "address":
            raise ValueError(f"address: kind {self.kind} starts a scheduler of its own; leave it out")
        if self.kind == "address":
            check_address(self.address, self.insecure)
        if self.insecure and self.tls:
            raise ValueError("insecure: true leaves traffic unprotected, and tls: protects it; keep one")
        try:
            OPTIONS[self.kind].model_validate(self.options)
        except ValidationError as error:
            raise ValueError(f"options: {problem(error)}") from error
        if self.lifetime is not None and seconds_of(self.lifetime) is None:
            raise ValueError(f"lifetime: a time such as 3h, 90m or 03:30:00 is needed, found {shown(self.lifetime)}")
        if batch and self.lifetime_seconds is None:
            walltime = shown(self.options["walltime"])
            raise ValueError(f"missing lifetime: the walltime {walltime} does not tell it; write it down, such as 3h")
        return self

    @property
    def runs_per_job(self) -> int:
        """How many runs a job does at a time."""
        return int(self.options.get("processes", 1))

    @property
    def most_runs(self) -> int | None:
        """How many runs can be under way at a time; None where only the scheduler knows."""
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
    """Seconds of a time such as 90m, 3h, 1-12:00:00 or 03:30:00; None for anything else.

    Args:
        text: the time.
        minutes_first: two numbers are hours and minutes, as LSF has them; else minutes and seconds, as Slurm has them.
    """
    if found := re.fullmatch(rf"(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})", text.strip()):
        return float(found[1]) * UNITS[found[2]]
    if not (found := CLOCK.fullmatch(text.strip())):
        return None
    days, first, second, third = (int(part or 0) for part in found.groups())
    if found[4] is None and not minutes_first and not found[1]:
        return 60.0 * first + second
    return 86400.0 * days + 3600 * first + 60 * second + third


def check_address(address: str, insecure: bool) -> None:
    """Refuse an address that is none, or that anybody can speak to.

    Raises:
        ValueError: what to write instead.
    """
    protocol, there, place = address.partition("://")
    if not there or not re.fullmatch(r".+:\d+", place):
        raise ValueError(f"address: tls://host:port is needed, found {shown(address)}")
    if protocol not in ("tls", "tcp"):
        raise ValueError(f"address: unknown protocol {shown(protocol)}; {nearest(protocol, ('tls', 'tcp'))}")
    if protocol == "tcp" and not insecure:
        raise ValueError(
            f"address: {address} is unprotected, whoever reaches the port can run code as you: "
            "start the scheduler with certificates (tls://), or say 'insecure: true' in a cluster's file"
        )


def read_cluster(given: str) -> ClusterFile:
    """The cluster of a file's name, or of a scheduler's address.

    Raises:
        ClusterError: one line with the file, the field, what stands there and what to do.
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
            raise ClusterError(f"{path}: a cluster's file holds fields such as 'kind: slurm' and 'jobs: 8'")
        return _beside(ClusterFile.model_validate(content), path)
    except YamlError as error:
        raise ClusterError(str(error)) from error
    except ValidationError as error:
        raise ClusterError(f"{path}: {problem(error)}") from error


def _beside(cluster: ClusterFile, path: Path) -> ClusterFile:
    """The same with certificates found beside the file."""
    if cluster.tls is None:
        return cluster
    found = {}
    for name, value in cluster.tls.model_dump().items():
        file = path.parent / Path(value).expanduser()
        if not file.is_file():
            raise ClusterError(f"{path}: tls: {name}: there is no file {file}")
        found[name] = str(file.resolve())
    return cluster.model_copy(update={"tls": Certificates.model_validate(found)})
