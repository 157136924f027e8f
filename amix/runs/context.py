"""What a run needs besides its spec, and what is not part of its key."""

from concurrent.futures import Executor
from dataclasses import dataclass, field

from amix.specs.encoders import Encoder


@dataclass(frozen=True)
class RunContext:
    """What a run needs that does not affect its scores: folders, and texts for the record.

    All runs of a suite share one, except for the label. It is sent to workers, so paths must be absolute.
    """

    suite: str = ""
    label: str = ""
    """The run's row; by default the name of its method."""
    command: str = ""
    """The command line, for the record."""
    glue: str | None = None
    """Folder with real GLUE; None: the Hub."""
    encoder: str | Encoder | None = None
    """The folder or entry to load, if the spec's name does not identify it."""
    task_files: dict[str, str] = field(default_factory=dict)
    """The YAML files of users' own tasks, by the tasks' names."""
    plugins: tuple[str, ...] = ()
    """Methods from outside the project, as path/to/file.py:ClassName."""
    export: str | None = None
    """Folder for the finished model."""
    dev_only: bool = False
    """Whether to leave the test split unscored, as tuning must."""
    selection: str = "last"
    """`best_dev` scores test split and out-of-domain sets a second time, with the weights of the best epoch on dev."""
    out_of_domain: tuple[str, ...] = ()
    """Sets that the finished model is scored on, as far as they suit its task."""
    out_of_domain_folder: str | None = None
    """Folder of their files."""
    micro_batch: int | None = None
    """Most examples that go through the model at once, in place of the recipe's: what execute found to fit."""
    executor: Executor | None = None
    """Processes that run the independent stages of a method (MultiStageMethod.stages), e.g. ProcessPoolExecutor(5).

    The scores are the same, in less time; each process needs the memory of one run. A context with an executor cannot
    be sent to another process.
    """
