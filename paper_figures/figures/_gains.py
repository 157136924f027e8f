"""Scores relative to the majority class, for figures over all runs."""

import numpy as np

from results.analysis.cells import majority_score, scores_of, summaries
from results.loading.frame import Results


def gains_over_majority(results: Results, size: str) -> dict[str, list[np.ndarray]]:
    """Label -> one array per task of scores minus the majority score, for labels with a score on every task."""
    plan = results.plan
    majority = {task: majority_score(summaries(results), size, task) for task in plan.tasks}
    gains = {}
    for label in plan.labels:
        tasks = [scores_of(results, size, task).get(label, np.array([])) - majority[task] for task in plan.tasks]
        tasks = [task[~np.isnan(task)] for task in tasks]
        if all(len(task) for task in tasks):
            gains[label] = tasks
    return gains
