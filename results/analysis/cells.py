"""The content of a cell: mean, spread and number of runs of a method on a task at one size, and what is missing."""

import math
import statistics
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from amix.specs.store import ACCIDENT
from results.loading.frame import MISSING, SCORED_AS_MAJORITY, Results, cached

FEWEST_SEEDS = 2
"""With fewer seeds there is no spread, and no difference can be tested."""
CELL = ["size", "task", "label"]
Scores = NDArray[np.float64]
Place = tuple[str, str, str]
"""(size, task, label) of a cell."""
COMPARABLE = pd.Timedelta(days=1)
"""Between the starts of two runs whose seconds are compared, at most."""
TIME_RATIO = "median ratio over the (task, seed) blocks whose two runs this suite made within a day of each other"
"""What `cost_ratios` is for seconds, in words."""
NOT_NEEDED = "not needed"
"""A planned run that was left out because a look had decided its comparison."""
_WORDS = {
    NOT_NEEDED: "not needed, as an earlier look had decided",
    MISSING: "not run", "oom": "out of memory", "cancelled": "cancelled", ACCIDENT: "stopped by an accident",
    "ok": "without a score by this rule",
}  # fmt: skip


@dataclass(frozen=True)
class Summary:
    """One cell in points: mean and std (ddof 1; NaN if unknown) of n scores, out of the planned runs.

    failed counts failed and diverged runs, which are scored as the majority class and so included in n; absent says in
    words which planned runs have no score ('' if all have one).
    """

    mean: float
    std: float
    n: int
    planned: int
    failed: int
    majority: float
    absent: str


@cached
def summaries(results: Results) -> dict[Place, Summary]:
    """Every planned cell of the suite."""
    runs = results.runs.assign(failed=results.runs["status"].isin(SCORED_AS_MAJORITY))
    groups = runs.groupby(CELL, sort=False)
    table = groups.agg(
        mean=("score", "mean"),
        std=("score", "std"),
        n=("score", "count"),
        planned=("key", "size"),
        failed=("failed", "sum"),
        majority=("majority", "median"),
    )
    absent = {
        cell: in_words(statuses) for cell, statuses in runs[runs["score"].isna()].groupby(CELL, sort=False)["status"]
    }
    return {
        cell: Summary(mean, std, int(n), int(planned), int(failed), majority, absent.get(cell, ""))
        for cell, mean, std, n, planned, failed, majority in table.itertuples(name=None)
    }


def in_words(statuses: pd.Series) -> str:
    """How often runs without a score have each status."""
    counts = statuses.value_counts()
    return ", ".join(f"{counts[name]} {words}" for name, words in _WORDS.items() if name in counts)


def majority_score(cells: dict[Place, Summary], size: str, task: str) -> float:
    """The majority class's score in points; NaN if no record has it."""
    known = [
        cell.majority for (s, t, _), cell in cells.items() if (s, t) == (size, task) and not math.isnan(cell.majority)
    ]
    return statistics.median(known) if known else math.nan


@cached
def score_matrix(results: Results, size: str, task: str) -> pd.DataFrame:
    """Scores in points: seeds down, labels across in the plan's order, NaN where a run has no score."""
    runs = results.runs
    chosen = runs[(runs["size"] == size) & (runs["task"] == task)]
    return chosen.pivot(index="seed", columns="label", values="score").reindex(columns=list(results.plan.labels))


@cached
def scores_of(results: Results, size: str, task: str) -> dict[str, Scores]:
    """Scores in points by label, one per seed in the order of score_matrix, NaN where a run has no score."""
    matrix = score_matrix(results, size, task)
    return {str(label): scores for label, scores in zip(matrix.columns, matrix.to_numpy().T, strict=True)}


def paired(results: Results, size: str, task: str, label: str, other: str) -> tuple[Scores, Scores]:
    """Scores in points of two labels over the seeds that both have a score for."""
    scores = scores_of(results, size, task)
    both = ~(np.isnan(scores[label]) | np.isnan(scores[other]))
    return scores[label][both], scores[other][both]


def differences(results: Results, size: str, task: str, label: str, other: str) -> Scores:
    """Score of `label` minus score of `other` in points, over the seeds that both have a score for."""
    own, its = paired(results, size, task, label, other)
    return own - its


@cached
def seed_averages(results: Results, size: str) -> pd.DataFrame:
    """Average over all tasks of the plan per seed (down) and label (across), NaN where any task's run has no score."""
    tasks = [score_matrix(results, size, task) for task in results.plan.tasks]
    total = tasks[0]
    for scores in tasks[1:]:
        total = total.add(scores)
    return total / len(tasks)


@cached
def with_all_seeds(results: Results, size: str) -> frozenset[str]:
    """The labels for which as many seeds are planned as for any other: only their means see the same subsets."""
    seeds = results.runs[results.runs["size"] == size].groupby("label")["seed"].nunique()
    return frozenset(str(label) for label in seeds.index[seeds == seeds.max()])


@cached
def cost_ratios(results: Results, size: str, cost: str) -> dict[str, float]:
    """Cost of each label relative to the reference, over the (task, seed) blocks that both finished.

    Of passes, memory and operations the ratio of sums. Of seconds the median of the blocks' ratios: a machine that
    does other work can make a single run take ten times as long, which would decide a sum. Both runs of a block must
    then come from the same suite and have started within a day of each other: at another time the machine was
    perhaps busier for all runs.
    """
    runs = results.runs[(results.runs["size"] == size) & (results.runs["status"] == "ok")]
    blocks = runs.pivot(index=["task", "seed"], columns="label", values=cost)
    sources = runs.pivot(index=["task", "seed"], columns="label", values="source")
    starts = runs.assign(start=started(results, runs["key"])).pivot(
        index=["task", "seed"], columns="label", values="start"
    )
    reference = results.plan.protocol.reference
    ratios = {}
    for label in [] if reference not in blocks else blocks.columns:
        shared = blocks[label].notna() & blocks[reference].notna()
        timed = cost.endswith("_seconds")
        if timed:
            apart = (starts[label] - starts[reference]).abs() > COMPARABLE
            shared &= (sources[label] == sources[reference]) & ~apart
        own, its = blocks[label][shared], blocks[reference][shared]
        if timed and (its > 0).any():
            ratios[str(label)] = float((own / its)[its > 0].median())
        elif float(its.sum()) > 0:
            ratios[str(label)] = float(own.sum()) / float(its.sum())
    return ratios


def started(results: Results, keys: pd.Series) -> pd.Series:
    """When each of these runs started; NaT where its record does not say."""
    environments = [(results.records.get(key) or {}).get("environment") or {} for key in keys]
    texts = pd.Series([str(one.get("time", "")) for one in environments], index=keys.index)
    return pd.to_datetime(texts, utc=True, errors="coerce", format="ISO8601")
