"""Each method against one named method, task by task: exact paired sign flip, Holm within the column."""

import pandas as pd

from results.cells import score_matrix
from results.frame import Results
from results.plan import Plan
from results.statistics import benjamini_hochberg, holm, sign_flip, smallest_sample, t_interval, t_test, wilcoxon

FEWEST_PAIRS = 2


def against(results: Results, other: str) -> pd.DataFrame:
    """Every method against `other`: one row per (size, task, label), differences in points.

    Columns: size, task, label, n (seeds that both have a score for), difference, sd (ddof 1), low, high (95 % t
    interval), p (exact sign flip), p_holm (over the methods of this task and size), q (Benjamini-Hochberg over all
    tasks of this size), floor (smallest p that n allows), comparisons (the Holm family's size), and beside them p_t
    and p_wilcoxon as sensitivity. A method with fewer than two common seeds has no row.
    """
    rows = [
        row for size in results.plan.sizes for task in results.plan.tasks for row in _column(results, size, task, other)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    if len(frame):
        columns = frame.groupby(["size", "task"])["p"]
        frame["p_holm"] = columns.transform(lambda p: holm(p))
        frame["comparisons"] = columns.transform("size")
        frame["q"] = frame.groupby("size")["p"].transform(lambda p: benjamini_hochberg(p))
    return frame


COLUMNS = ["size", "task", "label", "n", "difference", "sd", "low", "high", "p", "p_holm", "q", "floor", "comparisons",
           "p_t", "p_wilcoxon"]  # fmt: skip


def _column(results: Results, size: str, task: str, other: str) -> list[dict[str, object]]:
    scores = score_matrix(results, size, task)
    rows = []
    for label in results.plan.labels:
        differences = (scores[label] - scores[other]).dropna().to_numpy()
        if label == other or len(differences) < FEWEST_PAIRS:
            continue
        test = sign_flip(differences)
        low, high = t_interval(differences)
        rows.append(
            {"size": size, "task": task, "label": label, "n": test.n, "difference": test.mean,
             "sd": float(differences.std(ddof=1)), "low": low, "high": high, "p": test.p, "floor": test.floor,
             "p_t": t_test(differences), "p_wilcoxon": wilcoxon(differences).p}
        )  # fmt: skip
    return rows


def significant(frame: pd.DataFrame, alpha: float) -> set[tuple[str, str, str]]:
    """The (size, task, label) of rows that pass Holm at alpha."""
    chosen = frame[frame["p_holm"] <= alpha]
    return set(zip(chosen["size"], chosen["task"], chosen["label"], strict=True))


def power_sentence(frame: pd.DataFrame, plan: Plan) -> str:
    """What the number of seeds allows: '' when a mark is possible in every column, else which columns allow none."""
    if frame.empty:
        return "No method shares two scored seeds with the one it is compared with, so nothing is tested."
    columns = frame.groupby("task", sort=False).agg({"n": "max", "floor": "min", "comparisons": "max"})
    alpha = plan.protocol.alpha
    impossible = columns[columns["floor"] * columns["comparisons"] > alpha]
    if impossible.empty:
        return ""
    worst = impossible.iloc[0]
    where = "any single task"
    if len(impossible) < len(columns):
        where = ", ".join(plan.tasks[task].title for task in impossible.index)
    comparisons = int(worst["comparisons"])
    corrected = f"after Holm over {comparisons} comparisons " if comparisons > 1 else ""
    return (
        f"No mark is possible for {where}: with n = {int(worst['n'])} seeds the exact test's smallest p is "
        f"{worst['floor']:.3g}, and {corrected}a mark at α = {alpha:g} needs at least "
        f"{smallest_sample(comparisons, alpha)} seeds; that there is none says nothing."
    )
