"""What a run needs beside its spec, and what is no part of its key."""

from concurrent.futures import Executor
from dataclasses import dataclass, field

from amix.specs.encoders import Encoder


@dataclass(frozen=True)
class RunContext:
    """What a run needs to know that does not decide its scores: folders, and words for the record.

    One for all runs of a suite; a run's own differs in its label. It travels to workers, so that paths are absolute.
    """

    suite: str = ""
    label: str = ""
    """The run's row; its method where nothing is said."""
    command: str = ""
    """What was typed, for the record."""
    glue: str | None = None
    """Folder with real GLUE; the Hub where nothing is said."""
    encoder: str | Encoder | None = None
    """The folder or entry to load where the spec's name does not tell."""
    task_files: dict[str, str] = field(default_factory=dict)
    """The YAML files of tasks of your own, by the tasks' names."""
    plugins: tuple[str, ...] = ()
    """Methods from outside the project, as path/to/file.py:ClassName."""
    export: str | None = None
    """Folder for the finished model."""
    dev_only: bool = False
    """Leaves the test split unscored, as tuning must."""
    selection: str = "last"
    """`best_dev` scores test split and out-of-domain sets a second time, with the weights of the epoch best on dev."""
    out_of_domain: tuple[str, ...] = ()
    """Sets that the finished model is scored on where they are for its task."""
    out_of_domain_folder: str | None = None
    """Where their files lie."""
    executor: Executor | None = None
    """Processes that do the independent stages of a method (MultiStageMethod.stages), e.g. ProcessPoolExecutor(5).

    Same scores, in less time, with the memory of one run for each process. A context that has one stays in its process.
    """
