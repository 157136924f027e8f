"""Several runs on one GPU at a time: as many as fit, by the memory that the first run of each kind took.

A kind is a row on a task with a number of training examples. The first run of a kind has its GPU to itself and is
measured; later ones share a GPU as long as everything on it fits into what was free there before the sweep. Processes
keep some memory of a GPU between runs, so that each counts from its first run on.
"""

import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from runners.planning.cluster_file import AUTO, ClusterError, ClusterFile
from runners.planning.job import Job
from runners.sweeping.jobs import Outcome

MOST = 8
"""Most runs per GPU with `auto`; more processes than that mostly wait for each other."""
CONTEXT = 2**30
"""Bytes that CUDA itself takes for a process: a generous guess, since it depends on GPU and driver."""
SPREAD = 1.1
"""How much more than measured a run of the same kind may take, e.g. for longer texts in another subset."""
MEASURED = ("ok", "diverged")

Kind = tuple[str, str, int | None]


def kind_of(run: Job) -> Kind:
    """The kind of a run: its row, task and size."""
    return run.label, run.spec.task, run.spec.n_train


@dataclass
class GpuSharing:
    """Which runs may share a GPU.

    Attributes:
        room: Bytes that were free on each GPU before the sweep, by its id; workers take GPUs in this order.
        most: Most runs on a GPU at a time.
        number: The number of a place's worker, from 0.
        needs: Most bytes that a run of a kind held so far.
        opened: Places whose processes hold memory.
    """

    room: Mapping[str, int]
    most: int
    number: Callable[[str], int]
    needs: dict[Kind, int] = field(default_factory=dict)
    opened: set[str] = field(default_factory=set)

    def gpu(self, place: str) -> str:
        """The GPU of this place's worker."""
        return list(self.room)[self.number(place) % len(self.room)]

    def in_order(self, places: Collection[str]) -> list[str]:
        """Free places in the order in which they should get runs: GPUs in turn, used processes first."""
        return sorted(places, key=self.number)

    def admits(self, place: str, run: Job, running: Mapping[str, Job]) -> bool:
        """Whether a run may start at a free place now.

        Args:
            place: The place.
            run: The run.
            running: The runs in progress, by place.
        """
        gpu = self.gpu(place)
        here = [other for at, other in running.items() if self.gpu(at) == gpu]
        if not here:
            return True
        kinds = [kind_of(run), *map(kind_of, here)]
        if len(here) >= self.most or any(kind not in self.needs for kind in kinds):
            return False
        processes = sum(self.gpu(at) == gpu for at in {place, *running, *self.opened})
        return SPREAD * sum(self.needs[kind] for kind in kinds) + CONTEXT * processes <= self.room[gpu]

    def started(self, place: str) -> None:
        """A run was given to this place, whose process holds memory from now on."""
        self.opened.add(place)

    def only(self, places: Collection[str]) -> None:
        """The processes of all other places are gone, whether they had a run or were idle."""
        self.opened.intersection_update(places)

    def note(self, run: Job, outcome: Outcome) -> None:
        """Note what a finished run took; one that failed may have ended before its peak."""
        if outcome.status in MEASURED:
            self.needs[kind_of(run)] = max(outcome.gpu_bytes, self.needs.get(kind_of(run), 0))


def sharing_of(file: ClusterFile, gpus: Sequence[str], number: Callable[[str], int]) -> GpuSharing | None:
    """How this cluster's runs share GPUs; None if each has a GPU to itself.

    Raises:
        ClusterError: the free memory of a GPU is unknown.
    """
    most = most_per_gpu(file)
    return None if most is None else GpuSharing(free_bytes(gpus), most, number)


def most_per_gpu(file: ClusterFile) -> int | None:
    """Most runs that may share a GPU; None if the file does not let them."""
    asked = file.options.get("runs_per_gpu") if file.kind == "local" else None
    return MOST if asked == AUTO else asked


def free_bytes(gpus: Sequence[str]) -> dict[str, int]:
    """Free memory of these GPUs, as nvidia-smi reports it.

    CUDA may number GPUs in another order than nvidia-smi, so that each number stands for the fullest of those given.

    Raises:
        ClusterError: nvidia-smi does not know one of them.
    """
    query = ["nvidia-smi", "--query-gpu=index,uuid,memory.free", "--format=csv,noheader,nounits"]
    known: dict[str, int] = {}
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        for line in listed.splitlines():
            index, uuid, mebibytes = (part.strip() for part in line.split(","))
            known |= dict.fromkeys((index, uuid), int(mebibytes) * 2**20)
    except (OSError, ValueError, subprocess.SubprocessError):
        known = {}
    if missing := [gpu for gpu in gpus if gpu.strip() not in known]:
        raise ClusterError(
            f"options: runs_per_gpu: nvidia-smi does not say how much memory is free on GPU {missing[0]}; "
            "set workers instead"
        )
    fullest = min(known[gpu.strip()] for gpu in gpus)
    return {gpu: fullest if gpu.strip().isdigit() else known[gpu.strip()] for gpu in gpus}
