"""The share of runs above each score."""

import numpy as np
import pandas as pd

from paper_figures.figures._gains import gains_over_majority
from paper_figures.panels import grid, legend
from paper_figures.style import Drawing, looks
from results.loading.frame import Results
from results.loading.wording import size_words
from results.stats.aggregates import performance_profile

STEPS = 101


def performance_profiles(results: Results, size: str) -> Drawing | None:
    """Share of runs above a threshold of gain over the majority class, averaged over tasks, per method."""
    gains = gains_over_majority(results, size)
    if not gains:
        return None
    every = np.concatenate([task for tasks in gains.values() for task in tasks])
    thresholds = np.linspace(np.floor(every.min()), np.ceil(every.max()), STEPS)
    curves = {label: performance_profile(tasks, thresholds) for label, tasks in gains.items()}
    figure, panels = grid(1, 2.6)
    for label, curve in curves.items():
        look = looks(results.plan)[label]
        panels[0].step(
            thresholds, curve, where="post", color=look.colour, marker=look.marker, markevery=STEPS // 8, linewidth=1
        )
    panels[0].set_xlabel("points above the majority class")
    panels[0].set_ylabel("share of runs above")
    panels[0].set_ylim(0, 1.03)
    legend(figure, list(gains), results.plan, lines=True)
    return Drawing(
        figure,
        pd.DataFrame({"threshold": thresholds} | curves),
        f"Performance profiles, {size_words(size)}",
        f"Share of runs, averaged over tasks, whose {results.split} score "
        "is more than this many points above the majority class. A method is better only if its curve is higher "
        "everywhere. Methods without a score on every task are left out.",
    )
