"""Evaluation sets from other sources than a task's own: which there are, and how their labels meet a task's.

A model finetuned on a task is scored on a set as it is, without further training. Imports no torch.
"""

from dataclasses import dataclass, replace

from amix.specs.suggestions import nearest
from amix.specs.tasks import TASKS, Task, TaskError

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
"""Classes of entailment, where a task or a set does not tell neutral from contradiction."""


@dataclass(frozen=True)
class OtherSet:
    """A set: its data, described as a task is (its first metric is the primary one), and the tasks scored on it.

    Its files lie in a folder as <name>/<split>*.parquet; a set that is a GLUE task itself is read where GLUE is.
    """

    data: Task
    tasks: tuple[str, ...]

    @property
    def name(self) -> str:
        """What suites and records call it, and the name of its folder."""
        return self.data.name


def _set(
    name: str, title: str, like: str, tasks: tuple[str, ...], split: str = "validation", **changes: object
) -> OtherSet:
    """A set with the columns, labels and metrics of a known task, except for what is named."""
    described = {"metrics": ("accuracy",), "folder": name, "test": split} | changes
    return OtherSet(replace(TASKS[like], name=name, title=title, origin=ORIGIN, **described), tasks)  # type: ignore[arg-type]


ENTAILED_OR_NEUTRAL = ("entailment", "neutral")
PAIRS = ("sentence1", "sentence2")
MNLI = ("mnli", "mnli-mismatched")
COLA = ("cola", "mini-cola")
SETS: dict[str, OtherSet] = {
    one.name: one
    for one in (
        OtherSet(TASKS["mnli"], ("rte", "mini-rte")),
        OtherSet(TASKS["rte"], MNLI),
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


def find_set(name: str) -> OtherSet:
    """The set of this name.

    Raises:
        TaskError: There is none, with the nearest names.
    """
    if name in SETS:
        return SETS[name]
    raise TaskError(f"unknown out-of-domain set '{name}'; {nearest(name, SETS)}")


def sets_for(task: str, names: tuple[str, ...]) -> tuple[OtherSet, ...]:
    """Those of the named sets that a model of this task is scored on, in their order."""
    return tuple(one for one in map(find_set, names) if task in one.tasks)


def common_classes(task: Task, other: OtherSet) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each of the task's classes, and for each of the set's, its number among the classes both can tell apart.

    Equal label names keep the set's own classes; two- and three-way entailment meet as entailed or not (TWO_WAY), so
    that a three-way model is right about `not_entailment` whether it says neutral or contradiction.
    Raises:
        TaskError: When the labels do not meet.
    """
    own, its = task.labels, other.data.labels
    if own is None or its is None:
        raise TaskError(f"{task.title} or {other.data.title} has a number as label: there are no classes to meet")
    if set(own) == set(its):
        return tuple(its.index(name) for name in own), tuple(range(len(its)))
    if set(own) | set(its) <= set(TWO_WAY):
        classes = ("entailment", "not_entailment")
        return tuple(classes.index(TWO_WAY[name]) for name in own), tuple(classes.index(TWO_WAY[name]) for name in its)
    raise TaskError(f"the labels of {other.data.title} ({', '.join(its)}) do not meet those of {task.title}")
