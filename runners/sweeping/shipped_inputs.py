"""The inputs of a sweep that workers may lack, as files: encoder, own tasks, own methods, Parquet folders."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from amix.data.arrow_rows import HUB
from amix.data.evaluate_metrics import module_file
from amix.data.rows import glue_folder
from amix.runs.out_of_domain_scores import out_of_domain_folder
from amix.specs.encoder_files import locate, source_hash
from amix.specs.encoder_folder import model_folder, parts_of, pooling_file
from amix.specs.encoders import ENCODERS, Encoder, EncoderError, find_encoder
from amix.specs.out_of_domain import ORIGIN, sets_for
from amix.specs.task import EVALUATE, Task, TaskError
from amix.specs.tasks import find_task
from runners.sweeping.survey import Needs

ENCODER_FILES = (
    ".json", ".safetensors", ".bin", ".txt", ".model", ".bpe", ".codes", ".vocab", ".spm", ".tokenizer", ".tiktoken",
    ".jinja",
)  # fmt: skip
"""Endings of the files that loading an encoder, or the hash of its folder, may need."""
_RELATIVE_IMPORT = re.compile(r"^(?:from|import)\s+\.(\w+)", re.MULTILINE)
Table = tuple[str, str]
"""Folder and split of Parquet files."""


@dataclass(frozen=True)
class ShippedInput:
    """A file or folder of the driver, and what workers need of it."""

    what: str
    """In words, for messages."""
    path: str
    """The file or folder."""
    inside: str
    """Its place among the files."""
    files: dict[str, Path]
    """The needed files, by relative paths that keep their places to each other."""


def in_files(needs: Needs) -> Needs:
    """The same needs, with the driver's folders in place of names that lead to them only on the driver.

    Raises:
        EncoderError: the encoder is not on this machine.
        DataError: a folder does not exist.
    """
    context = needs.context
    given = context.encoder or needs.encoder
    encoder = _encoder_in_files(given)
    glue, sets = _tables(needs)
    glue_path = glue_folder(context.glue) if glue else None
    sets_path = out_of_domain_folder(context.out_of_domain_folder) if sets else None
    return replace(
        needs,
        context=replace(
            context,
            encoder=encoder,
            glue=str(glue_path.resolve()) if glue_path else context.glue,
            out_of_domain_folder=str(sets_path.resolve()) if sets_path else context.out_of_domain_folder,
        ),
        # For an encoder that was a folder already, the hash stays the one that the runs were planned with.
        encoder_source=needs.encoder_source if encoder == given else source_hash(encoder),
    )


def _encoder_in_files(given: str | Encoder) -> str | Encoder:
    """The encoder as a folder, or as an entry whose source is a folder."""
    if isinstance(given, str) and given not in ENCODERS and Path(given).is_dir():
        return given
    entry = find_encoder(given)
    if Path(entry.source).is_dir() and not (entry.package_folder or entry.parts):
        return entry
    source = locate(entry)
    if Path(source).is_dir():
        return replace(entry, source=source, package_folder="", parts=())
    folder = _from_hub_cache(entry)
    return replace(entry, source=str(folder), revision=entry.revision or folder.name)


def _from_hub_cache(encoder: Encoder) -> Path:
    """The folder in which the Hub's client keeps this encoder; it has the name of its commit."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(encoder.source, revision=encoder.revision or None, local_files_only=True))
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"encoder '{encoder.name}': {encoder.source} is not in the Hub's cache folder of this machine, from which "
            f"it would be shipped: python -m runners encoders get {encoder.name}"
        ) from error


def inputs_of(needs: Needs) -> list[ShippedInput]:
    """What workers may lack.

    Args:
        needs: needs in files (see in_files).

    Raises:
        TaskError: a task file names a file by an absolute path, which cannot lead to a copy.
    """
    context = needs.context
    encoder = context.encoder
    assert encoder is not None
    glue, sets = _tables(needs)
    plugins = dict.fromkeys(Path(one.rpartition(":")[0]) for one in context.plugins)
    own = [(name, Path(context.task_files[name])) for name in needs.tasks if name in context.task_files]
    return [
        _encoder(encoder.source if isinstance(encoder, Encoder) else encoder, needs.encoder),
        *(_own_task(name, file) for name, file in own),
        *(ShippedInput(f"method {file.name}", str(file), file.name, {file.name: file}) for file in plugins),
        *_parquet("GLUE", context.glue, glue),
        *_parquet("out-of-domain sets", context.out_of_domain_folder, sets),
    ]


def _encoder(source: str, name: str) -> ShippedInput:
    """Of an encoder's folder only what loading needs: others may hold checkpoints of its training."""
    folder = Path(source)
    model, pooling = model_folder(folder), pooling_file(folder)
    whole = [path for one in dict.fromkeys((folder, model)) for path in one.iterdir() if path.suffix in ENCODER_FILES]
    parts = [model / part for index in model.glob("*.index.json") for part in parts_of(index)]
    files = [path for path in dict.fromkeys((*whole, *parts, *filter(None, [pooling]))) if path.is_file()]
    for path in files:
        if not path.is_relative_to(folder) or ".." in path.relative_to(folder).parts:
            raise EncoderError(f"encoder: {folder} names {path}, which is not below it: copy it there")
    inside = folder.name or "encoder"
    return ShippedInput(
        f"encoder {name}",
        source,
        inside,
        {f"{inside}/{path.relative_to(folder).as_posix()}": path for path in files},
    )


def _own_task(name: str, file: Path) -> ShippedInput:
    """A task's file, and everything that it names by a relative path."""
    task = find_task(str(file))
    paths = [file, *(Path(os.path.normpath(file.parent / named)) for named in _named_files(task, file))]
    root = Path(os.path.commonpath([path.parent for path in paths]))
    files = {below.relative_to(root).as_posix(): below for path in paths for below in _all_files(path)}
    return ShippedInput(f"task {name}", str(file), file.relative_to(root).as_posix(), files)


def _named_files(task: Task, file: Path) -> Iterator[str]:
    for named in filter(None, (task.train, task.validation, task.test)):
        if not named.startswith(HUB):
            yield _relative(named, file)
    for metric in task.metrics:
        module = module_file(metric, Path(task.folder)) if metric.startswith(EVALUATE) else None
        if module is not None:
            yield (named := _relative(metric.removeprefix(EVALUATE), file))
            if named.endswith(".py"):  # Of a folder everything is taken.
                yield from _imported_files(named, module)


def _imported_files(named: str, module: Path) -> Iterator[str]:
    """The files beside a module of evaluate that it imports (`from .other import name`)."""
    for match in _RELATIVE_IMPORT.finditer(module.read_text(encoding="utf-8")):
        if module.with_name(f"{match[1]}.py").is_file():
            yield str(Path(named).with_name(f"{match[1]}.py"))


def _relative(named: str, file: Path) -> str:
    if Path(named).is_absolute():
        raise TaskError(f"{file}: {named} cannot be shipped to workers: name it relative to this file")
    if (straight := os.path.normpath(named)) != str(Path(named)):  # The copies have no folders that are left again.
        raise TaskError(f"{file}: {named} cannot be shipped to workers: write {straight}, if that is the same file")
    return named


def _all_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [below for below in path.rglob("*") if below.is_file() and "__pycache__" not in below.parts]


def _tables(needs: Needs) -> tuple[list[Table], list[Table]]:
    """The Parquet files that are read from the folder of GLUE, and those from the folder of out-of-domain sets."""
    context = needs.context
    tasks = [find_task(name) for name in needs.tasks if name not in context.task_files]
    others = [] if context.dev_only else [
        other.data for name in needs.tasks for other in sets_for(name, context.out_of_domain)
    ]  # fmt: skip
    glue = [
        *((task.folder, split) for task in tasks if task.origin == "glue" for split in (task.train, task.test)),
        *((data.folder, data.test) for data in others if data.origin != ORIGIN),
    ]
    return glue, [(data.folder, data.test) for data in others if data.origin == ORIGIN]


def _parquet(what: str, folder: str | None, tables: list[Table]) -> Iterator[ShippedInput]:
    """The tables of a folder; none if they come from the Hub, from which workers read them themselves."""
    if folder is None or not tables:
        return
    root = Path(folder)
    files = [path for below, split in tables for path in (root / below).glob(f"{split}*.parquet")]
    inside = root.name or "tables"
    yield ShippedInput(what, folder, inside, {f"{inside}/{path.relative_to(root).as_posix()}": path for path in files})
