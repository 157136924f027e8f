"""What a run needs beside its spec, and what is no part of its key."""

from concurrent.futures import Executor
from dataclasses import dataclass

from amix.specs.encoders import Encoder


@dataclass(frozen=True)
class Context:
    """What a run needs to know that does not decide its scores: folders, and words for the record.

    encoder is the folder or entry to load where the spec's name does not tell; task_file the YAML file of a task of
    your own; plugins are methods from outside as path/to/file.py:ClassName; export a folder for the finished model.
    dev_only leaves the test split unscored, as tuning must. selection: `last`, or `best_dev` to score test split and
    out-of-domain sets a second time, with the weights of the epoch best on dev. out_of_domain names the sets that the
    finished model is scored on where they are for its task; their files lie in out_of_domain_folder. executor:
    processes that do the independent stages of a method (MultiStageMethod.stages), e.g.
    concurrent.futures.ProcessPoolExecutor(5); same scores, in less time, with the memory of one run for each process.
    """

    suite: str = ""
    label: str = ""
    command: str = ""
    glue: str | None = None
    encoder: str | Encoder | None = None
    task_file: str | None = None
    plugins: tuple[str, ...] = ()
    export: str | None = None
    dev_only: bool = False
    selection: str = "last"
    out_of_domain: tuple[str, ...] = ()
    out_of_domain_folder: str | None = None
    executor: Executor | None = None
