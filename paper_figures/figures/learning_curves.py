"""Scores during training."""

import math

import pandas as pd

from paper_figures.panels import grid, legend, lines
from paper_figures.style import Drawing, looks, plain
from results.loading.frame import POINTS, Results
from results.loading.wording import metric_words, size_words


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
        axes.set_ylabel(f"dev {metric_words(task.metric, task.positive)} × 100")
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
