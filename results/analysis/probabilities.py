"""How far each run's probabilities can be trusted, from the logits stored with its record, and tests of differences."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from amix.data.temperature import Logits, fit_temperature, log_loss, logits_of
from amix.specs.run_plan import RunPlan
from results.analysis.cells import FEWEST_SEEDS, Scores
from results.analysis.looks import exact, reaches_every_look, until_missing
from results.loading.frame import Results, cached
from results.loading.preregistration import families
from results.loading.search_arrays import stored_arrays
from results.stats.across_tasks import stratified_sign_flip, welch_satterthwaite
from results.stats.calibration import brier_score, calibration_error, mean_confidence
from results.stats.multiplicity import holm
from results.stats.sequential import Looks
from results.stats.sequential_family import decide

SELECTION, SPLIT = "last", "test"
"""The selection rule and the split whose logits are stored for every run."""
LOG_LOSS, SCALED = "log_loss", "log_loss_scaled"
TESTED = (LOG_LOSS, "brier", "ece")
"""Measures that a protocol can declare as endpoints."""
MEASURES = ("accuracy", LOG_LOSS, SCALED, "brier", "brier_scaled", "ece", "ece_scaled", "ece_bias", "confidence")
"""Of one run on the test split; `_scaled` after a temperature fitted on dev, nan if dev logits were not stored."""
COLUMNS = ("task", "label", "seed", *MEASURES, "temperature")


@dataclass(frozen=True)
class LossDifference:
    """A method's measure minus the reference's, mean over tasks: interval, p, and p after Holm over its family.

    seeds are those that both have on every task, exact is whether p counts every sign pattern. If the plan has several
    looks, all of it is that of the sequential test, as in `claims.Claim`.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    seeds: int
    exact: bool


@cached
def run_probabilities(results: Results, size: str) -> pd.DataFrame:
    """One row per run of a classification with stored logits: task, label, seed, MEASURES, temperature.

    Empty under another selection rule than that of the stored logits, and in a suite that does not use its test split.
    A failed run has no row, since it has no probabilities.
    """
    if results.selection != SELECTION or results.split != SPLIT:
        return pd.DataFrame(columns=list(COLUMNS))
    runs = results.runs[(results.runs["size"] == size) & results.runs["score"].notna()]
    rows = []
    for key, task, label, seed in runs[["key", "task", "label", "seed"]].itertuples(index=False):
        test = stored_logits(results, key, SPLIT)
        if test is not None:
            rows.append({"task": task, "label": label, "seed": seed, **_measures(test, stored_logits(results, key))})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def loss_differences(results: Results, size: str, tasks: list[str], loss: str = LOG_LOSS) -> dict[str, LossDifference]:
    """Every method's loss minus the reference's on these tasks, with the tests that scores have.

    Without looks a method that shares fewer than two seeds with the reference on any of the tasks is not in the family,
    with looks one that cannot reach the last of them. Rows added after looking are corrected among themselves. A seed
    counts if both methods have this measure there, which after a temperature may be fewer seeds than before.
    """
    plan = results.plan
    frame = run_probabilities(results, size)
    tables = [frame[frame["task"] == task].pivot(index="seed", columns="label", values=loss) for task in tasks]
    tables = [table.reindex(index=plan.seeds, columns=plan.labels) for table in tables]
    gaps = {
        label: [(table[label] - table[plan.protocol.reference]).to_numpy(dtype=np.float64) for table in tables]
        for label in plan.labels
        if label != plan.protocol.reference
    }
    if plan.protocol.looks:
        ordered = {label: [until_missing(task) for task in own] for label, own in gaps.items()}
        tested = {label: own for label, own in ordered.items() if reaches_every_look(label, plan, size)}
    else:
        known = {label: [task[~np.isnan(task)] for task in own] for label, own in gaps.items()}
        tested = {label: own for label, own in known.items() if min(len(task) for task in own) >= FEWEST_SEEDS}
    by_label: dict[str, LossDifference] = {}
    for family in families(tested, plan):
        own_gaps = {label: tested[label] for label in family}
        by_label |= _sequential(own_gaps, plan) if plan.protocol.looks else _at_once(own_gaps)
    return {label: by_label[label] for label in tested}


def _at_once(gaps: Mapping[str, list[Scores]]) -> dict[str, LossDifference]:
    tests = {label: (stratified_sign_flip(own), welch_satterthwaite(own)) for label, own in gaps.items()}
    adjusted = holm([test.p for test, _ in tests.values()])
    return {
        label: LossDifference(
            test.mean, interval.low, interval.high, test.p, float(p), min(map(len, gaps[label])), test.exact
        )
        for (label, (test, interval)), p in zip(tests.items(), adjusted, strict=True)
    }


def _sequential(gaps: Mapping[str, list[Scores]], plan: RunPlan) -> dict[str, LossDifference]:
    # Valid however the looks at the score have ended the runs, as these p-values hold over all looks together.
    decided = decide(gaps, Looks(plan.protocol.looks), plan.protocol.alpha)
    return {
        label: LossDifference(
            one.estimate, one.low, one.high, one.p, one.p_adjusted, one.seeds, exact(len(gaps[label]), plan)
        )
        for label, one in decided.items()
    }


def stored_logits(results: Results, key: str, split: str = "dev") -> Logits | None:
    """(examples, classes) logits and labels of one run on a split; None if not stored, or for a regression."""
    names = f"{split}_logits", f"{split}_labels"
    return logits_of(stored_arrays(results, key, lambda name: name in names), split)


def _measures(test: Logits, dev: Logits | None) -> dict[str, float]:
    logits, labels = test
    error = calibration_error(logits, labels)
    measured = {
        "accuracy": float((logits.argmax(axis=1) == labels).mean()),
        LOG_LOSS: log_loss(logits, labels),
        "brier": brier_score(logits, labels),
        "ece": error.error,
        "ece_bias": error.when_calibrated,
        "confidence": mean_confidence(logits),
    }
    temperature = math.nan if dev is None else fit_temperature(*dev)
    scaled = dict.fromkeys((SCALED, "brier_scaled", "ece_scaled"), math.nan)
    if dev is not None:
        scaled = {
            SCALED: log_loss(logits, labels, temperature),
            "brier_scaled": brier_score(logits, labels, temperature),
            "ece_scaled": calibration_error(logits, labels, temperature).error,
        }
    return measured | scaled | {"temperature": temperature}
