"""Every method against one named method, task by task: exact paired sign flip, Holm within the column."""

from functools import cache

import pandas as pd

from amix.specs.run_plan import RunPlan
from results.analysis.cells import FEWEST_SEEDS
from results.analysis.looks import cell_p, exact, ordered_differences, seen_differences
from results.loading.frame import Results, cached
from results.loading.preregistration import exploratory
from results.stats import benjamini_hochberg, holm, sign_flip, smallest_sample, t_interval, t_test, wilcoxon
from results.stats.power import minimum_detectable_effect

SCALE = 100
"""Points from the lowest to the highest score."""


@cached
def against(results: Results, size: str, other: str) -> pd.DataFrame:
    """Every method against `other` at one size: one row per (task, label), differences in points.

    Columns: task, label, n (seeds that both have a score for), difference, sd (ddof 1), low, high (95 % t interval),
    p (sign flip), p_holm (over the methods of this task; rows added after looking form a family of their own), q
    (Benjamini-Hochberg over all rows), floor (smallest p that n allows), exact (whether p counts every sign pattern),
    comparisons (the Holm family's size), and, as sensitivity checks, p_t and p_wilcoxon. A method with fewer than two
    common seeds has no row. If the plan has several looks, p is that of the sequential test, and everything is computed
    from the seeds of the latest complete look.
    """
    rows = [row for task in results.plan.tasks for row in _column(results, size, task, other)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    if len(frame):
        columns = frame.groupby(["task", frame["label"].isin(exploratory(results.plan))])["p"]
        frame["p_holm"] = columns.transform(lambda p: holm(p))
        frame["comparisons"] = columns.transform("size")
        frame["q"] = benjamini_hochberg(frame["p"])
    return frame


COLUMNS = [
    "task",
    "label",
    "n",
    "difference",
    "sd",
    "low",
    "high",
    "p",
    "p_holm",
    "q",
    "floor",
    "exact",
    "comparisons",
    "p_t",
    "p_wilcoxon",
]


def _column(results: Results, size: str, task: str, other: str) -> list[dict[str, object]]:
    rows = []
    for label in results.plan.labels:
        if label == other:
            continue
        gaps = seen_differences(results, size, task, label, other)
        if len(gaps) < FEWEST_SEEDS:
            continue
        test = sign_flip(gaps)
        p, floor, counted = test.p, test.floor, test.exact
        if results.plan.protocol.looks:
            p, floor = cell_p(ordered_differences(results, size, task, label, other), results.plan)
            counted = exact(1, results.plan)
        low, high = t_interval(gaps)
        rows.append(
            {
                "task": task,
                "label": label,
                "n": test.n,
                "difference": test.mean,
                "sd": float(gaps.std(ddof=1)),
                "low": low,
                "high": high,
                "p": p,
                "floor": floor,
                "exact": counted,
                "p_t": t_test(gaps),
                "p_wilcoxon": wilcoxon(gaps).p,
            }
        )
    return rows


def significant(frame: pd.DataFrame, alpha: float) -> set[tuple[str, str]]:
    """The (task, label) of the rows that are significant after Holm."""
    chosen = frame[frame["p_holm"] <= alpha]
    return set(zip(chosen["task"], chosen["label"], strict=True))


def detectable(frame: pd.DataFrame, alpha: float) -> dict[str, float]:
    """Task -> the true difference in points that a t-test would find with power 0.8, for the median method of one size.

    The level is alpha over the number of comparisons; spread of differences and number of seeds are each method's own.
    """
    effects = [
        sd * _detectable_effect(int(n), alpha / comparisons)
        for sd, n, comparisons in frame[["sd", "n", "comparisons"]].itertuples(index=False)
    ]
    return {str(task): float(value) for task, value in pd.Series(effects).groupby(list(frame["task"])).median().items()}


_detectable_effect = cache(minimum_detectable_effect)


def impossible(frame: pd.DataFrame, alpha: float) -> set[str]:
    """The tasks on which the exact test has too few seeds to show any difference after Holm."""
    smallest = (frame["floor"] * frame["comparisons"]).groupby(frame["task"]).min()
    return set(smallest.index[smallest > alpha])


def power_sentence(frame: pd.DataFrame, plan: RunPlan) -> str:
    """Which columns have too few seeds for any mark; '' if marks are possible in every column."""
    if frame.empty:
        return "No method has two scored seeds in common with the one it is compared with, so nothing is tested."
    alpha, none = plan.protocol.alpha, impossible(frame, plan.protocol.alpha)
    if not none:
        return ""
    columns = frame.groupby("task", sort=False).agg(
        fewest=("n", "min"), most=("n", "max"), floor=("floor", "min"), comparisons=("comparisons", "max")
    )
    worst = columns[columns.index.isin(none)].iloc[0]
    seeds = " to ".join(f"{int(n)}" for n in dict.fromkeys((worst["fewest"], worst["most"])))
    where = "any single task"
    if len(none) < len(columns):
        where = ", ".join(plan.tasks[task].title for task in columns.index if task in none)
    comparisons = int(worst["comparisons"])
    corrected = f"after Holm over {comparisons} comparisons " if comparisons > 1 else ""
    if plan.protocol.looks:
        return (
            f"No mark is possible for {where} yet: after the looks so far (n = {seeds} seeds) the smallest possible p "
            f"is {worst['floor']:.3g}, {corrected}more than α = {alpha:g}; the absence of marks means nothing."
        )
    return (
        f"No mark is possible for {where}: with n = {seeds} seeds the smallest possible p of the exact test is "
        f"{worst['floor']:.3g}, and {corrected}a mark at α = {alpha:g} needs at least "
        f"{smallest_sample(comparisons, alpha)} seeds; the absence of marks means nothing."
    )


def power_notes(frame: pd.DataFrame, plan: RunPlan) -> tuple[str, ...]:
    """The power sentence as the notes of a table; none if it is empty."""
    sentence = power_sentence(frame, plan)
    return (sentence,) if sentence else ()
