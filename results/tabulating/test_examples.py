"""The table of differences with intervals over seeds and test examples together."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from amix.specs.wording import counted
from results.analysis.cells import FEWEST_SEEDS
from results.loading.frame import POINTS, Results
from results.loading.search_arrays import overflowing_ids, stored_arrays
from results.loading.wording import size_words
from results.stats.examples import drawn_scores
from results.stats.weighted_metrics import METRICS
from results.tabulating.table import Cell, Column, Table

DRAWS = 1_000
"""Resamples; they determine an interval's end to about a twentieth of its length."""
LEVEL = 0.95
MOST_IN_8_BITS = 128
"""Number of classes whose ids, from 0 on, fit a signed byte."""
SELECTION = "last"
"""The selection rule whose predictions are stored."""
Predictions = dict[str, NDArray[Any]]
Estimate = tuple[float, NDArray[np.float64]]
"""A difference and its resamples, in points."""


def test_sets_table(results: Results, size: str) -> Table | None:
    """Every method against the reference with an interval of the two-way bootstrap, per task and on average.

    None without stored predictions, or under another selection rule than theirs. Stored predictions that cannot be used
    are named in the notes.
    """
    plan = results.plan
    if results.selection != SELECTION:
        return None
    by_task = {task: _estimates(results, size, task) for task in plan.tasks}
    notes = _overflows(results, size)
    if not any(by_task.values()) and not notes:
        return None
    columns = [Column("Method")]
    labels = [label for label in plan.labels if label != plan.protocol.reference]
    body = [[Cell(label)] for label in labels]
    groups = {plan.tasks[task].title: estimates for task, estimates in by_task.items()}
    if len(plan.tasks) > 1:
        groups["Average"] = _averages(labels, list(by_task.values()))
    for title, estimates in groups.items():
        columns += [Column("Difference", "points", "+.1f", group=title), Column("from", "95 %", "+.1f", group=title),
                    Column("to", "95 %", "+.1f", group=title)]  # fmt: skip
        body = [[*row, *_cells(estimates.get(label))] for row, label in zip(body, labels, strict=True)]
    return Table(
        name=f"test-sets-n{size}",
        title=f"{plan.title}: with other seeds and other test examples, {size_words(size)}",
        caption=(
            f"Paired difference from {plan.protocol.reference} in {results.split} score × 100 with the interval of the "
            f"two-way bootstrap over seeds and test examples ({DRAWS:,} draws, percentiles): all seeds share one test "
            "set, so an interval over seeds alone is about this test set only. A dash: not planned, or a seed lacks "
            "stored predictions, as failed runs do. Descriptive; decisions are in the tables of tests."
        ),
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in body),
        notes=notes,
        banner=plan.note,
    )


def _overflows(results: Results, size: str) -> tuple[str, ...]:
    """A note on each task whose stored predictions cannot be used."""
    counts = dict.fromkeys(results.plan.tasks, 0)
    for key in results.runs.loc[results.runs["size"] == size, "key"]:
        counts[results.plan.runs[key].task] += _many_classes(results, key) and overflowing_ids(_stored(results, key))
    return tuple(
        f"{results.plan.tasks[task].title}: {counted(count, 'run')} stored class ids above 127 in 8 bits, so their "
        "predictions are left out; to run them again: --out another/folder."
        for task, count in counts.items()
        if count
    )


def _many_classes(results: Results, key: str) -> bool:
    """Whether class ids of the run's task can overflow 8 bits; if they cannot, its file need not be opened."""
    data = (results.records.get(key) or {}).get("data") or {}
    return len(data.get("label_names") or ()) > MOST_IN_8_BITS


def _cells(estimate: Estimate | None) -> list[Cell]:
    if estimate is None:
        return [Cell(None)] * 3
    difference, drawn = estimate
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return [Cell(difference), Cell(float(low)), Cell(float(high))]


def _averages(labels: list[str], tasks: list[dict[str, Estimate]]) -> dict[str, Estimate]:
    # Other tasks have other test examples and other subsets, so their draws are independent.
    averages = {}
    for label in labels:
        if all(label in task for task in tasks):
            parts = [task[label] for task in tasks]
            averages[label] = (
                float(np.mean([difference for difference, _ in parts])),
                np.mean([drawn for _, drawn in parts], axis=0),
            )
    return averages


def _estimates(results: Results, size: str, task: str) -> dict[str, Estimate]:
    """Label -> difference and its resamples, for methods with predictions for every seed of the reference."""
    plan = results.plan
    runs = results.runs[(results.runs["size"] == size) & (results.runs["task"] == task) & results.runs["score"].notna()]
    seeds = runs.loc[runs["label"] == plan.protocol.reference, "seed"].tolist()
    keys = dict(zip(zip(runs["label"], runs["seed"], strict=True), runs["key"], strict=True))
    needed = {label: [keys.get((label, seed)) for seed in seeds] for label in plan.labels}
    if len(seeds) < FEWEST_SEEDS or any(key not in results.predictions for key in needed[plan.protocol.reference]):
        return {}
    stacks, truth = {}, None
    for label, own in needed.items():
        arrays = [_predictions(results, key) for key in own if key]
        if len(arrays) < len(seeds) or not all(arrays):
            continue
        truth = arrays[0]["labels"] if truth is None else truth
        if all(np.array_equal(one["labels"], truth) for one in arrays):
            stacks[label] = np.stack([one["predictions"] for one in arrays])
    if truth is None or plan.protocol.reference not in stacks:
        return {}
    entry = plan.tasks[task]
    if entry.metric not in METRICS:  # Metrics of probabilities, which records store for one split only.
        return {}
    if entry.metric == "f1":  # METRICS has the F1 of class 1.
        stacks = {label: (one == entry.positive_class).astype(float) for label, one in stacks.items()}
        truth = (truth == entry.positive_class).astype(float)
    return _resampled(stacks, truth, entry.metric, plan.protocol.reference, seed=list(plan.tasks).index(task))


def _resampled(stacks: Predictions, truth: NDArray[Any], metric: str, reference: str, seed: int) -> dict[str, Estimate]:
    stacked = np.stack(list(stacks.values()))
    drawn = POINTS * drawn_scores(stacked, truth, metric, DRAWS, seed)
    observed = METRICS[metric](np.ones((1, len(truth))), truth, stacked.reshape(-1, len(truth)))
    means = POINTS * observed.reshape(len(stacks), -1).mean(axis=1)
    base = list(stacks).index(reference)
    return {
        label: (float(means[i] - means[base]), drawn[:, i] - drawn[:, base])
        for i, label in enumerate(stacks)
        if i != base
    }


def _predictions(results: Results, key: str) -> Predictions:
    """Predictions and labels of one run; empty if one is missing or class ids overflow."""
    arrays = _stored(results, key)
    return arrays if len(arrays) == 2 and not overflowing_ids(arrays) else {}


def _stored(results: Results, key: str) -> Predictions:
    names = {f"{results.split}_{what}": what for what in ("predictions", "labels")}
    arrays = stored_arrays(results, key, lambda name: name in names)
    return {names[name]: values for name, values in arrays.items()}
