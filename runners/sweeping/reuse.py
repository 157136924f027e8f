"""Runs that another suite has done: a run with the same key is the same run, so its record counts here too."""

import io
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from amix.specs.store import Store, digest
from amix.specs.suggestions import nearest
from results.loading.archive import Stored, stored_records
from results.loading.array_checks import arrays_rejection
from results.loading.layout import Layout
from results.loading.record_checks import parsed
from runners.planning.plan import SuitePlan
from runners.planning.suite import SuiteError, suite_names
from runners.sweeping.todo import Finished, usable


@dataclass(frozen=True)
class Reusable:
    """A finished run of another suite: its record as adapted to this suite, and its predictions."""

    record: dict[str, Any]
    predictions: bytes | Path | None

    @property
    def finished(self) -> Finished:
        """Its status and seconds."""
        return Finished.of(self.record)


def reusable(plan: SuitePlan, layout: Layout, done: Container[str]) -> dict[str, Reusable]:
    """The plan's runs, by key, that are not done here but finished as ok in a suite that its `reuse` names.

    Raises:
        SuiteError: a name in `reuse` is neither a suite of the project nor one with records here.
    """
    runs: dict[str, Reusable] = {}
    labels = {run.spec.key: run.label for run in plan.runs if run.spec.key not in done}
    for name in plan.suite.reuse:
        known = {*suite_names(), *layout.suites()}
        if name not in known:
            raise SuiteError(f"reuse: unknown suite '{name}'; {nearest(name, sorted(known))}")
        for stored in reversed(stored_records(name, layout)[0]):  # Files come before the archive and must override it.
            if stored.key not in labels:
                continue
            if stored.predictions is not None and arrays_rejection(stored.predictions, None):
                continue  # The other suite's predictions are damaged; repeating the run restores them.
            record = _as_own(stored, plan.suite.name, labels[stored.key], name)
            if usable(record, stored.key, plan):
                runs[stored.key] = Reusable(record, stored.predictions)
    return runs


def _as_own(stored: Stored, suite: str, label: str, source: str) -> dict[str, Any]:
    """The record adapted to this suite, with its origin; empty if it is damaged or its run was not ok."""
    record, reason = parsed(stored.text)
    if reason is not None or not isinstance(record, dict):
        return {}
    if record.get("digest") != digest(record) or record.get("status") != "ok":
        return {}
    own = record | {"suite": suite, "label": label, "taken_from": source}
    return own | {"digest": digest(own)}


def take_over(runs: dict[str, Reusable], store: Store) -> None:
    """Write the records and predictions of these runs into the store."""
    for run in runs.values():
        content = run.predictions.read_bytes() if isinstance(run.predictions, Path) else run.predictions
        arrays = {}
        if content is not None:
            with numpy.load(io.BytesIO(content), allow_pickle=False) as opened:
                arrays = dict(opened)
        store.put(run.record, arrays)
