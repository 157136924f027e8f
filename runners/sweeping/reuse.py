"""Runs that another suite has done: the same key is the same run, so its record counts here too."""

import io
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from amix.specs.store import Store, digest
from amix.specs.suggestions import nearest
from results.loading.archive import Stored, stored_records
from results.loading.array_checks import arrays_complaint
from results.loading.layout import Layout
from results.loading.record_checks import parsed
from runners.planning.plan import SuitePlan
from runners.planning.suite import SuiteError, suite_names
from runners.sweeping.finished import Finished, usable


@dataclass(frozen=True)
class Reusable:
    """A finished run of another suite: its record as it will stand in this one, and its predictions."""

    record: dict[str, Any]
    predictions: bytes | Path | None

    @property
    def finished(self) -> Finished:
        """What a sweep needs to know of it."""
        return Finished.of(self.record)


def reusable(plan: SuitePlan, layout: Layout, done: Container[str]) -> dict[str, Reusable]:
    """The plan's runs, by key, that are not done here and that a suite named in its `reuse` has finished well.

    Raises:
        SuiteError: a name that is neither a suite of the project nor one with records here.
    """
    found: dict[str, Reusable] = {}
    labels = {run.spec.key: run.label for run in plan.runs if run.spec.key not in done}
    for name in plan.suite.reuse:
        there = {*suite_names(), *layout.suites()}
        if name not in there:
            raise SuiteError(f"reuse: unknown suite '{name}'; {nearest(name, sorted(there))}")
        for stored in reversed(stored_records(name, layout)[0]):  # Files come first there and must win here.
            if stored.key not in labels:
                continue
            if stored.predictions is not None and arrays_complaint(stored.predictions, None):
                continue  # Half of what the other suite's run left; done again, all of it is there.
            record = _as_own(stored, plan.suite.name, labels[stored.key], name)
            if usable(record, stored.key, plan):
                found[stored.key] = Reusable(record, stored.predictions)
    return found


def _as_own(stored: Stored, suite: str, label: str, source: str) -> dict[str, Any]:
    """The record as this suite's own, saying where it comes from; empty unless it is whole and its run went well."""
    record, reason = parsed(stored.text)
    if reason is not None or not isinstance(record, dict):
        return {}
    if record.get("digest") != digest(record) or record.get("status") != "ok":
        return {}
    own = record | {"suite": suite, "label": label, "taken_from": source}
    return own | {"digest": digest(own)}


def take_over(found: dict[str, Reusable], store: Store) -> None:
    """Write these records and their predictions among the store's own."""
    for one in found.values():
        content = one.predictions.read_bytes() if isinstance(one.predictions, Path) else one.predictions
        arrays = {}
        if content is not None:
            with numpy.load(io.BytesIO(content), allow_pickle=False) as opened:
                arrays = dict(opened)
        store.put(one.record, arrays)
