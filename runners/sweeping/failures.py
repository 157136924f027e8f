"""Runs that fail: their causes, and stopping a sweep in which one cause would fail every run."""

import json
from collections import Counter, defaultdict

from amix.specs.store import ACCIDENT
from amix.specs.wording import one_line
from results.loading.archive import stored_records
from results.loading.layout import Layout
from runners.planning.job import Job
from runners.planning.plan import SuitePlan
from runners.sweeping.jobs import Listener, Outcome

UNFINISHED = ("failed", "oom", "cancelled", ACCIDENT)
"""Statuses of runs that left no trained model, for whatever reason; divergence is an outcome of training."""
STOPS_AT = 2
"""Runs that fail alike before any is ok: the second shows that the first failure was no accident."""


class EveryRunFails(RuntimeError):
    """One cause has failed every run so far."""


class StopWhenAllFail:
    """A listener that passes events on to another one, and stops a sweep in which every run would fail.

    Failures with the same message have the same cause. If the sweep has several rows, two of them must have failed:
    otherwise the settings of one row may be at fault, and the other rows are still worth doing.
    """

    def __init__(self, listener: Listener, rows: int, any_ok: bool) -> None:
        self.listener, self.rows, self.any_ok = listener, rows, any_ok
        self.failed: dict[str, list[str]] = defaultdict(list)

    def started(self, run: Job) -> None:
        """A run was given to a worker."""
        self.listener.started(run)

    def retried(self, run: Job) -> None:
        """A run's worker died."""
        self.listener.retried(run)

    def given_back(self, run: Job) -> None:
        """The job of a run's worker ended, or its worker was given up."""
        self.listener.given_back(run)

    def finished(self, run: Job, outcome: Outcome) -> None:
        """A run left its record.

        Raises:
            EveryRunFails: no run was ok yet, and enough of them failed for the same reason.
        """
        self.listener.finished(run, outcome)
        self.any_ok = self.any_ok or outcome.status not in UNFINISHED
        if self.any_ok:
            return
        labels = self.failed[outcome.message]
        labels.append(run.label)
        if len(labels) >= STOPS_AT and len(set(labels)) >= min(self.rows, STOPS_AT):
            raise EveryRunFails(one_line(outcome.message))


def causes(plan: SuitePlan, layout: Layout) -> Counter[str]:
    """Why the plan's runs failed, and how many for each reason, from their records; files override the archive."""
    wanted = {run.spec.key for run in plan.runs}
    errors: dict[str, str] = {}
    for stored in reversed(stored_records(plan.suite.name, layout)[0]):
        try:
            record = json.loads(stored.text)
            if stored.key in wanted and record["status"] in UNFINISHED:
                error = record["error"]
                errors[stored.key] = one_line(f"{error['type']}: {error['message']}")
            else:
                errors.pop(stored.key, None)
        except (ValueError, KeyError, TypeError):
            continue
    return Counter(errors.values())
