"""What methods do to probabilities: log-loss, Brier score and calibration error, before and after one temperature."""

import math

import numpy as np
import pandas as pd

from amix.data.temperature import TEMPERATURES
from amix.specs.run_plan import RunPlan
from results.analysis.cells import with_all_seeds
from results.analysis.looks import interval_words, name_of_test, sign_flip_words
from results.analysis.probabilities import (
    LOG_LOSS,
    MEASURES,
    SCALED,
    TESTED,
    LossDifference,
    loss_differences,
    run_probabilities,
)
from results.loading.frame import Results
from results.loading.preregistration import places
from results.loading.wording import endpoint_words, listed, size_words
from results.stats.calibration import BINS
from results.tabulating.table import P_VALUE, Cell, Column, Table, rank_column

LOSS, SHARE = ".3f", ".3f"
RANKED = {"accuracy": True, LOG_LOSS: False, SCALED: False, "brier": False, "brier_scaled": False}
"""Columns whose best value is highlighted, among methods with all seeds, and whether higher is better."""
AFTER = "_scaled"
"""Ends the name of a measure after a temperature."""


def probabilities_table(results: Results, size: str) -> Table | None:
    """Every method's probabilities on the test split, mean over the classification tasks, with tests.

    Tested are log-loss and the declared endpoints, before and after a temperature. None without stored logits of the
    reference on any classification task.
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
    with_dev = bool(frame[SCALED].notna().any())
    shown = [measure for measure in MEASURES if with_dev or not measure.endswith(AFTER)]
    tested = [name for name in TESTED if name == LOG_LOSS or name in plan.protocol.endpoints]
    losses = [loss for name in tested for loss in (name, name + AFTER)[: 1 + with_dev]]
    labels = [label for label in plan.labels if label in values]
    columns = {name: [Cell(float(values[label][name])) for label in labels] for name in shown}
    eligible = [label in with_all_seeds(results, size) for label in labels]
    for name, highest in RANKED.items():
        if name in columns:
            columns[name] = rank_column(columns[name], LOSS, eligible, highest)
    differences = {loss: loss_differences(results, size, tasks, loss) for loss in losses}
    exact = all(one.exact for by_label in differences.values() for one in by_label.values())
    rows = [
        (
            Cell(label),
            *(columns[name][number] for name in shown),
            *([Cell(float(values[label]["temperature"]))] if with_dev else []),
            *(cell for loss in losses for cell in _cells(differences[loss].get(label), plan.protocol.alpha, loss)),
            Cell(float(values[label]["n"])),
        )
        for number, label in enumerate(labels)
    ]
    return Table(
        name=f"probabilities-n{size}",
        title=f"{plan.title}: how far probabilities can be trusted, {size_words(size)}",
        caption=_caption(plan, tasks, with_dev, exact),
        columns=_columns(plan, shown, losses, with_dev),
        rows=tuple(rows),
        notes=_notes(plan, labels, tasks, frame if with_dev else None),
        banner=plan.note,
    )


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


def _cells(tested: LossDifference | None, alpha: float, loss: str) -> list[Cell]:
    if tested is None or math.isnan(tested.difference):
        cells = [Cell(None)] * 6
    else:
        mark = "*" if tested.p_holm <= alpha else ""
        numbers = tested.low, tested.high, tested.p, tested.p_holm, float(tested.seeds)
        cells = [Cell(tested.difference, marks=mark), *map(Cell, numbers)]
    # Before a temperature the seeds are those of the last column.
    return cells if loss.endswith(AFTER) else cells[:-1]


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


def _columns(plan: RunPlan, shown: list[str], losses: list[str], with_dev: bool) -> tuple[Column, ...]:
    columns = [Column("Method")]
    columns += [Column(*_HEADS[name], LOSS if name in (LOG_LOSS, SCALED) else SHARE) for name in shown]
    if with_dev:
        columns.append(Column("Temperature", "fitted", ".2f"))
    for loss in losses:
        scaled = loss.endswith(AFTER)
        title, unit = _HEADS[loss.removesuffix(AFTER)]
        group = f"{title} − {plan.protocol.reference}" + (", after" if scaled else "")
        columns += [
            Column("Difference", unit, "+.3f", group=group),
            Column("from", "95 %", "+.3f", group=group),
            Column("to", "95 %", "+.3f", group=group),
            Column("p", "", P_VALUE, group=group),
            Column("p", "Holm", P_VALUE, group=group),
            *([Column("n", "seeds", ".0f", group=group)] if scaled else []),
        ]
    return (*columns, Column("n", "seeds", ".0f"))


def _caption(plan: RunPlan, tasks: list[str], with_dev: bool, exact: bool) -> str:
    named = ", ".join(plan.tasks[task].title for task in tasks)
    declared = [endpoint_words(name) for name in plan.protocol.endpoints if name in TESTED]
    many = len(declared) > 1
    role = (
        f"Declared endpoint{'s' * many} of this suite{', each tested at α by itself' * many}: {listed(declared)}. "
        if declared
        else "Not a declared endpoint: exploratory. "
    )
    if declared and LOG_LOSS not in plan.protocol.endpoints:
        role += "Log-loss is exploratory. "
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
        f"{after} Tests of paired differences: {sign_flip_words(name_of_test(plan), exact, plan)}, Holm over the "
        f"methods (* at α = {plan.protocol.alpha:g}), {interval_words(plan)}; these tasks, other seeds."
    )


def _notes(plan: RunPlan, labels: list[str], tasks: list[str], scaled: pd.DataFrame | None) -> tuple[str, ...]:
    notes = []
    if scaled is not None:
        notes += _without_temperature(scaled, plan)
    else:
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


def _without_temperature(frame: pd.DataFrame, plan: RunPlan) -> list[str]:
    lacking = frame[frame["temperature"].isna()].groupby("label", sort=False)["seed"].unique()
    rows: dict[str, list[str]] = {}
    for label in plan.labels:
        if label in lacking.index:
            rows.setdefault(places(plan, [int(seed) for seed in lacking[label]]), []).append(label)
    if not rows:
        return []
    which = "; ".join(f"{seeds} of {listed(labels)}" for seeds, labels in rows.items())
    return [
        f"Without dev logits, as these records were made before dev logits were kept: {which}. These rows have no "
        "means after a temperature, and differences after it are over the other seeds (their own n)."
    ]
