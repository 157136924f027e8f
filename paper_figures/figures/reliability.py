"""Reliability diagram: share of correct predictions by confidence, before and after temperature scaling."""

import numpy as np
import pandas as pd

from paper_figures.panels import grid, legend, lines, points
from paper_figures.style import Drawing, looks, plain
from results.analysis.probabilities import SPLIT, run_probabilities, stored_logits
from results.loading.frame import Results
from results.loading.wording import size_words
from results.stats.calibration import BINS, confidence_bins, probabilities

BEFORE, AFTER = "before", "after"


def reliability(results: Results, size: str) -> Drawing | None:
    """Share correct against confidence in bins of equal mass, reference and focus, a panel per classification task."""
    plan = results.plan
    chosen = [label for label in (plan.protocol.reference, plan.protocol.focus) if label]
    rows = [row for task in plan.tasks for label in chosen for row in _curves(results, size, task, label)]
    data = pd.DataFrame(rows)
    if data.empty:
        return None
    tasks = [task for task in plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 2.0)
    for axes, task in zip(panels, tasks, strict=True):
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        here = data[data["task"] == task.name]
        for (label, state), curve in here.groupby(["label", "state"], sort=False):
            look = looks(plan)[str(label)]
            path = curve[["confidence", "correct"]].to_numpy(float)
            lines(axes, [path], [look], 1.2 if state == BEFORE else 0.7)
            faces = [look.colour if state == BEFORE else "white"] * len(path)
            points(axes, path[:, 0], path[:, 1], [look] * len(path), faces, share=0.6)
        low = 0.98 * float(here[["confidence", "correct"]].min().min())
        axes.set_xlim(low, 1.01)
        axes.set_ylim(low, 1.01)
        axes.set_title(plain(task.title))
        axes.set_xlabel("confidence")
        axes.set_ylabel("share correct")
    legend(figure, [label for label in chosen if label in set(data["label"])], plan, lines=True)
    after = (
        " Hollow: after dividing the logits of each run by one temperature fitted on its dev set."
        if AFTER in set(data["state"])
        else " No curve after temperature scaling, because not all of these runs have dev logits to fit one on."
    )
    return Drawing(
        figure,
        data,
        f"Reliability of probabilities, {size_words(size)}",
        f"Share of correct predictions against the mean probability of the predicted class, in {BINS} bins of equally "
        "many test examples, all seeds together; on the grey line confidence is exact, below it too high." + after,
    )


def _curves(results: Results, size: str, task: str, label: str) -> list[dict[str, object]]:
    runs = results.runs[(results.runs["size"] == size) & (results.runs["task"] == task)]
    keys = runs.loc[(runs["label"] == label) & runs["score"].notna(), ["key", "seed"]]
    measured = run_probabilities(results, size)
    own = measured[(measured["task"] == task) & (measured["label"] == label)].set_index("seed")["temperature"]
    parts_of: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {BEFORE: [], AFTER: []}
    for key, seed in keys.itertuples(index=False):
        test = stored_logits(results, key, SPLIT) if seed in own.index else None
        if test is None:
            continue
        logits, labels = test
        correct = logits.argmax(axis=1) == labels
        parts_of[BEFORE].append((probabilities(logits).max(axis=1), correct))
        if np.isfinite(own[seed]):
            parts_of[AFTER].append((probabilities(logits, float(own[seed])).max(axis=1), correct))
    # Some of the seeds would be another sample, so AFTER is drawn for all seeds or for none.
    states = [state for state in (BEFORE, AFTER) if parts_of[state] and len(parts_of[state]) == len(parts_of[BEFORE])]
    rows: list[dict[str, object]] = []
    for state in states:
        confidence, correct = (np.concatenate(parts) for parts in zip(*parts_of[state], strict=True))
        bins = confidence_bins(confidence, correct)
        rows += [
            {"task": task, "label": label, "state": state, "confidence": float(c), "correct": float(y), "n": int(n)}
            for c, y, n in zip(bins.confidence, bins.correct, bins.count, strict=True)
        ]
    return rows
