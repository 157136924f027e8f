"""How far each run's probabilities can be trusted, from the logits stored with its record."""

import math

import pandas as pd

from amix.data.temperature import Logits, fit_temperature, log_loss, logits_of
from results.loading.frame import Results, cached
from results.loading.search_arrays import stored_arrays
from results.stats.calibration import brier_score, calibration_error, mean_confidence

SELECTION, SPLIT = "last", "test"
"""The selection rule and the split whose logits are stored for every run."""
LOG_LOSS, SCALED = "log_loss", "log_loss_scaled"
MEASURES = ("accuracy", LOG_LOSS, SCALED, "brier", "brier_scaled", "ece", "ece_scaled", "ece_bias", "confidence")
"""Of one run on the test split; `_scaled` after a temperature fitted on dev, nan if dev logits were not stored."""
COLUMNS = ("task", "label", "seed", *MEASURES, "temperature")


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
