"""What methods do to probabilities: log-loss, Brier score and calibration error, before and after one temperature."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from amix.data.temperature import TEMPERATURES
from amix.specs.run_plan import RunPlan
from results.analysis.cells import FEWEST_SEEDS, Scores, with_all_seeds
from results.analysis.probabilities import LOG_LOSS, MEASURES, SCALED, run_probabilities
from results.loading.frame import Results
from results.loading.wording import size_words
from results.stats.across_tasks import stratified_sign_flip, welch_satterthwaite
from results.stats.calibration import BINS
from results.stats.multiplicity import holm
from results.tabulating.table import P_VALUE, Cell, Column, Table, rank_column

LOSS, SHARE = ".3f", ".3f"
RANKED = {"accuracy": True, LOG_LOSS: False, SCALED: False, "brier": False, "brier_scaled": False}
"""Columns whose best value is highlighted, among methods with all seeds, and whether higher is better."""


@dataclass(frozen=True)
class LossDifference:
    """A method's log-loss minus the reference's, mean over tasks: interval, p, and p after Holm over the methods."""

    difference: float
    low: float
    high: float
    p: float
    p_holm: float


def probabilities_table(results: Results, size: str) -> Table | None:
    """Every method's probabilities on the test split, mean over the classification tasks, with tests of log-loss.

    None without stored logits of the reference on any classification task.
    """
    plan = results.plan
    frame = run_probabilities(results, size)
    tasks = [
        task for task in plan.tasks if ((frame["task"] == task) & (frame["label"] == plan.protocol.reference)).any()
    ]
    frame = frame[frame["task"].isin(tasks)]
    means = _means(frame, tasks)
    if plan.protocol.reference not in means.index:
        return None
    values = means.to_dict("index")
    with_dev = bool(means[SCALED].notna().any())
    shown = [measure for measure in MEASURES if with_dev or not measure.endswith("_scaled")]
    losses = (LOG_LOSS, SCALED) if with_dev else (LOG_LOSS,)
    labels = [label for label in plan.labels if label in values]
    columns = {name: [Cell(float(values[label][name])) for label in labels] for name in shown}
    eligible = [label in with_all_seeds(results, size) for label in labels]
    for name, highest in RANKED.items():
        if name in columns:
            columns[name] = rank_column(columns[name], LOSS, eligible, highest)
    differences = {loss: loss_differences(frame, tasks, plan, loss) for loss in losses}
    rows = [
        (
            Cell(label),
            *(columns[name][number] for name in shown),
            *([Cell(float(values[label]["temperature"]))] if with_dev else []),
            *(cell for loss in losses for cell in _cells(differences[loss].get(label), plan.protocol.alpha)),
            Cell(float(values[label]["n"])),
        )
        for number, label in enumerate(labels)
    ]
    return Table(
        name=f"probabilities-n{size}",
        title=f"{plan.title}: how far probabilities can be trusted, {size_words(size)}",
        caption=_caption(plan, tasks, with_dev),
        columns=_columns(plan, shown, losses, with_dev),
        rows=tuple(rows),
        notes=_notes(plan, labels, tasks, with_dev),
        banner=plan.note,
    )


def loss_differences(
    frame: pd.DataFrame, tasks: list[str], plan: RunPlan, loss: str = LOG_LOSS
) -> dict[str, LossDifference]:
    """Every method's loss minus the reference's over the seeds that both have, with the tests of the main table.

    A method that shares fewer than two seeds with the reference on any of the tasks is not in the family.
    """
    tables = [frame[frame["task"] == task].pivot(index="seed", columns="label", values=loss) for task in tasks]
    gaps: dict[str, list[Scores]] = {}
    for label in plan.labels:
        if label == plan.protocol.reference or not all(label in table for table in tables):
            continue
        own = [(table[label] - table[plan.protocol.reference]).dropna().to_numpy() for table in tables]
        if min(len(task) for task in own) >= FEWEST_SEEDS:
            gaps[label] = own
    if not gaps:
        return {}
    tests = {label: (stratified_sign_flip(own), welch_satterthwaite(own)) for label, own in gaps.items()}
    adjusted = holm([test.p for test, _ in tests.values()])
    return {
        label: LossDifference(test.mean, interval.low, interval.high, test.p, float(p))
        for (label, (test, interval)), p in zip(tests.items(), adjusted, strict=True)
    }


def _means(frame: pd.DataFrame, tasks: list[str]) -> pd.DataFrame:
    # Mean over tasks of means over seeds, for methods with runs on all tasks; n is the fewest seeds of a task.
    names = [*MEASURES, "temperature"]
    if frame.empty:
        return pd.DataFrame(columns=[*names, "n"])
    # Temperatures are factors: their mean is geometric.
    logs = frame.assign(temperature=np.log(frame["temperature"]))
    # A measure that one seed lacks has no mean: temperatures of some seeds do not belong to scores of all.
    cells = logs.groupby(["label", "task"])[names].mean(skipna=False)
    counts = frame.groupby(["label", "task"]).size().groupby("label").agg(["min", "size"])
    means = cells.groupby("label").mean(skipna=False).assign(n=counts["min"])
    means["temperature"] = np.exp(means["temperature"])
    return means[counts["size"] == len(tasks)]


def _cells(tested: LossDifference | None, alpha: float) -> list[Cell]:
    if tested is None:
        return [Cell(None)] * 5
    mark = "*" if tested.p_holm <= alpha else ""
    return [Cell(tested.difference, marks=mark), *map(Cell, (tested.low, tested.high, tested.p, tested.p_holm))]


_HEADS = {
    "accuracy": ("Accuracy", ""),
    LOG_LOSS: ("Log-loss", "nats"),
    SCALED: ("Log-loss", "after"),
    "brier": ("Brier", ""),
    "brier_scaled": ("Brier", "after"),
    "ece": ("ECE", ""),
    "ece_scaled": ("ECE", "after"),
    "ece_bias": ("ECE", "if calibrated"),
    "confidence": ("Confidence", ""),
}


def _columns(plan: RunPlan, shown: list[str], losses: tuple[str, ...], with_dev: bool) -> tuple[Column, ...]:
    columns = [Column("Method")]
    columns += [Column(*_HEADS[name], LOSS if name in (LOG_LOSS, SCALED) else SHARE) for name in shown]
    if with_dev:
        columns.append(Column("Temperature", "fitted", ".2f"))
    for loss in losses:
        group = f"Log-loss − {plan.protocol.reference}" + (", after" if loss == SCALED else "")
        columns += [
            Column("Difference", "nats", "+.3f", group=group),
            Column("from", "95 %", "+.3f", group=group),
            Column("to", "95 %", "+.3f", group=group),
            Column("p", "", P_VALUE, group=group),
            Column("p", "Holm", P_VALUE, group=group),
        ]
    return (*columns, Column("n", "seeds", ".0f"))


def _caption(plan: RunPlan, tasks: list[str], with_dev: bool) -> str:
    named = ", ".join(plan.tasks[task].title for task in tasks)
    declared = LOG_LOSS in plan.protocol.endpoints
    role = "Log-loss is a declared endpoint of this suite. " if declared else "Not a declared endpoint: exploratory. "
    after = (
        f" After: logits divided by one temperature per run, fitted on its dev set by log-loss, between "
        f"{TEMPERATURES[0]:g} and {TEMPERATURES[1]:g} (an end of this range if dev has no errors, or no signal); the "
        "column shows the geometric mean."
        if with_dev
        else ""
    )
    return (
        f"{role}Test split, last step, mean over {named} of the mean over seeds; lower is better except for accuracy. "
        "Log-loss in nats (0.693 for a uniform guess between two classes); Brier score summed over the classes; "
        f"ECE: mean gap between confidence and accuracy in {BINS} bins of equal mass, and what it would be if the "
        "model were perfectly calibrated, as it cannot be below zero; confidence: mean probability of the predicted "
        "class."
        f"{after} Tests: exact task-stratified sign flip on paired differences, Holm over the methods (* at α = "
        f"{plan.protocol.alpha:g}), Welch-Satterthwaite interval; these tasks, other seeds."
    )


def _notes(plan: RunPlan, labels: list[str], tasks: list[str], with_dev: bool) -> tuple[str, ...]:
    notes = []
    if not with_dev:
        notes.append(
            "There are no columns after temperature scaling: these records have no logits of the dev set, and a "
            "temperature must not be fitted on the test set that it is judged by."
        )
    regressions = [plan.tasks[task].title for task in plan.tasks if task not in tasks]
    if regressions:
        notes.append(f"Left out, without stored class logits: {', '.join(regressions)}.")
    left_out = [label for label in plan.labels if label not in labels]
    if left_out:
        notes.append(f"Left out, without logits on every one of these tasks: {', '.join(left_out)}.")
    return tuple(notes)
