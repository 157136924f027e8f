"""Out-of-domain evaluation sets: the table of sets, and how their labels map to a task's.

A model finetuned on a task is scored on a set as it is, without further training. Imports no torch.
"""

from dataclasses import dataclass, replace

from amix.specs.suggestions import nearest
from amix.specs.task import Task, TaskError
from amix.specs.tasks import TASKS

VARIABLE = "AMIX_OUT_OF_DOMAIN"
"""The environment variable that names the folder with <set>/<split>*.parquet."""
ORIGIN = "out_of_domain"
NLI = ("rte", "mnli", "mnli-mismatched", "mini-rte")
TWO_WAY = {
    "entailment": "entailment",
    "neutral": "not_entailment",
    "contradiction": "not_entailment",
    "not_entailment": "not_entailment",
}
"""Entailment classes for tasks or sets that do not distinguish neutral from contradiction."""


@dataclass(frozen=True)
class OutOfDomainSet:
    """An out-of-domain set: its data, described like a task (first metric primary), and the tasks scored on it.

    Its files are <name>/<split>*.parquet in the folder of sets; a set that is itself a GLUE task is read from GLUE.
    """

    data: Task
    tasks: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name in suites and records, and of its folder."""
        return self.data.name


def _set(
    name: str, title: str, like: str, tasks: tuple[str, ...], split: str = "validation", **changes: object
) -> OutOfDomainSet:
    """Describe a set with the columns and labels of a known task, except for these changes."""
    fields = {"metrics": ("accuracy",), "folder": name, "test": split} | changes
    return OutOfDomainSet(replace(TASKS[like], name=name, title=title, origin=ORIGIN, **fields), tasks)  # type: ignore[arg-type]


ENTAILED_OR_NEUTRAL = ("entailment", "neutral")
PAIRS = ("sentence1", "sentence2")
MNLI = ("mnli", "mnli-mismatched")
COLA = ("cola", "mini-cola")
SETS: dict[str, OutOfDomainSet] = {
    other.name: other
    for other in (
        OutOfDomainSet(TASKS["mnli"], ("rte", "mini-rte")),
        OutOfDomainSet(TASKS["rte"], MNLI),
        _set("snli", "SNLI", "mnli", NLI, "test"),
        _set("sick", "SICK", "mnli", NLI, "test"),
        _set("scitail", "SciTail", "mnli", NLI, "test", labels=ENTAILED_OR_NEUTRAL),
        _set("hans", "HANS", "mnli", NLI, labels=("entailment", "not_entailment")),
        _set("anli_r1", "ANLI R1", "mnli", NLI),
        _set("anli_r2", "ANLI R2", "mnli", NLI),
        _set("anli_r3", "ANLI R3", "mnli", NLI),
        _set("advglue_rte", "AdvGLUE RTE", "rte", ("rte", "mini-rte")),
        _set("advglue_mnli", "AdvGLUE MNLI-m", "mnli", MNLI),
        _set("advglue_mnli_mm", "AdvGLUE MNLI-mm", "mnli", MNLI),
        _set("advglue_qnli", "AdvGLUE QNLI", "qnli", ("qnli",)),
        _set("advglue_qqp", "AdvGLUE QQP", "qqp", ("qqp",)),
        _set("advglue_sst2", "AdvGLUE SST-2", "sst2", ("sst2",)),
        _set("paws_qqp", "PAWS-QQP", "qqp", ("qqp",), "test", text=PAIRS, metrics=("accuracy", "f1")),
        _set("cola_in_domain", "CoLA in domain", "cola", COLA, metrics=("matthews", "accuracy")),
        _set("cola_out_of_domain", "CoLA out of domain", "cola", COLA, metrics=("matthews", "accuracy")),
        _set(
            "sick_relatedness", "SICK relatedness", "stsb", ("stsb", "mini-stsb"), "test",
            text=("premise", "hypothesis"), metrics=("spearman", "pearson"), label="relatedness_score", folder="sick",
        ),
    )
}  # fmt: skip


def find_set(name: str) -> OutOfDomainSet:
    """Return the set of this name.

    Raises:
        TaskError: The name is unknown; the message suggests the nearest ones.
    """
    if name in SETS:
        return SETS[name]
    raise TaskError(f"unknown out-of-domain set '{name}'; {nearest(name, SETS)}")


def sets_for(task: str, names: tuple[str, ...]) -> tuple[OutOfDomainSet, ...]:
    """Return those of the named sets that a model of this task is scored on, in the same order."""
    return tuple(other for other in map(find_set, names) if task in other.tasks)


def common_classes(task: Task, other: OutOfDomainSet) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Map the classes of a task and of a set to the classes that both distinguish.

    If the label names are the same, these are the set's own classes. Two- and three-way entailment are both mapped to
    entailed or not (TWO_WAY), so that a three-way model is right about `not_entailment` whether it predicts neutral or
    contradiction.

    Returns:
        The shared class of each of the task's classes, and of each of the set's.

    Raises:
        TaskError: The labels do not match.
    """
    of_task, of_set = task.labels, other.data.labels
    if of_task is None or of_set is None:
        raise TaskError(f"{task.title} or {other.data.title} is a regression: there are no classes to match")
    if set(of_task) == set(of_set):
        return tuple(of_set.index(name) for name in of_task), tuple(range(len(of_set)))
    if set(of_task) | set(of_set) <= set(TWO_WAY):
        ids = {name: ("entailment", "not_entailment").index(shared) for name, shared in TWO_WAY.items()}
        return tuple(ids[name] for name in of_task), tuple(ids[name] for name in of_set)
    raise TaskError(f"the labels of {other.data.title} ({', '.join(of_set)}) do not match those of {task.title}")
