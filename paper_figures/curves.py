"""What happens during training, and what more trials would bring."""

import math

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from paper_figures.drawing import Drawing, looks, plain
from paper_figures.panels import grid, legend, lines
from results.cells import scores_of
from results.frame import POINTS, Results
from results.statistics.budget import expected_best_without_replacement
from results.words import metric_words, size_words


def learning_curves(results: Results, size: str) -> Drawing | None:
    """Dev score against the epoch, one thin line per seed and the mean as a thick one, reference and focus only."""
    plan = results.plan
    chosen = [label for label in (plan.protocol.reference, plan.protocol.focus) if label]
    data = _points(results, size, chosen)
    if data.empty:
        return None
    tasks = [task for task in plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 2.0)
    for axes, task in zip(panels, tasks, strict=True):
        for label in chosen:
            runs = data[(data["task"] == task.name) & (data["label"] == label)]
            look = looks(plan)[label]
            seeds = [run[["epoch", "dev"]].to_numpy(float) for _, run in runs.groupby("seed")]
            lines(axes, seeds, [look] * len(seeds), 0.5, alpha=0.3)
            mean = runs.groupby("epoch")["dev"].mean()
            axes.plot(mean.index, mean, color=look.colour, linewidth=1.8)
        axes.set_title(plain(task.title))
        axes.set_xlabel("epoch of the last stage")
        axes.set_ylabel(f"dev {metric_words(task.metric)} × 100")
    legend(figure, chosen, plan, lines=True)
    return Drawing(
        figure,
        data,
        f"Learning curves, {size_words(size)}",
        "Score on the dev set during the last training stage: thin lines are seeds, the thick line is their mean.",
    )


def _points(results: Results, size: str, labels: list[str]) -> pd.DataFrame:
    rows = []
    for key, record in results.records.items():
        run = results.plan.runs[key]
        curve = record.get("curve") or []
        if run.size != size or run.label not in labels or not curve:
            continue
        metric, stage = results.plan.tasks[run.task].metric, curve[-1].get("stage")
        for point in curve:
            dev = point.get("dev")
            value = dev.get(metric) if isinstance(dev, dict) else None
            if point.get("stage") == stage and isinstance(value, int | float) and math.isfinite(value):
                rows.append((run.task, run.label, run.seed, point.get("epoch"), POINTS * value))
    frame = pd.DataFrame(rows, columns=["task", "label", "seed", "epoch", "dev"]).dropna()
    return frame.sort_values(["task", "label", "seed", "epoch"], kind="stable")


def expected_best(results: Results, size: str) -> Drawing | None:
    """Expected best score of n seeds against n, per task and method: what picking the best seed would buy."""
    plan = results.plan
    rows: list[dict[str, object]] = []
    for task in plan.tasks:
        for label, scores in scores_of(results, size, task).items():
            known = scores[~np.isnan(scores)]
            best = expected_best_without_replacement(known).tolist() if len(known) > 1 else []
            rows += [{"task": task, "label": label, "n": n, "best": float(b)} for n, b in enumerate(best, start=1)]
    data = pd.DataFrame(rows)
    if data.empty:
        return None
    tasks = [task for task in plan.tasks.values() if task.name in set(data["task"])]
    figure, panels = grid(len(tasks), 2.0)
    look = looks(plan)
    for axes, entry in zip(panels, tasks, strict=True):
        here = data[data["task"] == entry.name]
        found = {str(label): line for label, line in here.groupby("label", sort=False)}
        parts = [line[["n", "best"]].to_numpy(float) for line in found.values()]
        lines(axes, parts, [look[label] for label in found], 1.0, share=0.7)
        axes.set_title(plain(entry.title))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("seeds tried, n")
        axes.set_ylabel(f"best {metric_words(entry.metric)} × 100")
    legend(figure, [label for label in plan.labels if label in set(data["label"])], plan, lines=True)
    return Drawing(
        figure,
        data,
        f"Expected best of n seeds, {size_words(size)}",
        f"Expected highest {results.split} score "
        "of n seeds (unbiased, Tang et al. 2020), never past the seeds that were run: how "
        "much a claim made from the best seed gains by trying often.",
    )
