"""Runs that fail: why, grouped by cause, and a sweep that stops where one cause would fail every run."""

import json
from collections import Counter, defaultdict

from amix.specs.store import ACCIDENT
from results.loading.archive import stored_records
from results.loading.layout import Layout
from runners.planning.job import Job
from runners.planning.plan import SuitePlan
from runners.sweeping.jobs import Listener, Outcome

UNFINISHED = ("failed", "oom", "cancelled", ACCIDENT)
"""Statuses of runs that left no trained model, whoever was at fault; one that diverged is an outcome."""
STOPS_AT = 2
"""Runs that fail alike before any is ok: the second says that it was no accident of the first."""
MOST_LETTERS = 400


class EveryRunFails(RuntimeError):
    """One cause has failed every run so far."""


class StopWhenAllFail:
    """A listener between a sweep and the one that shows it: it stops a sweep of which nothing can come.

    A cause is a message. Where the sweep has several rows, two of them must have failed by it, because the settings of
    one row can be at fault, and the others are then worth doing.
    """

    def __init__(self, told: Listener, rows: int, any_ok: bool) -> None:
        self.told, self.rows, self.any_ok = told, rows, any_ok
        self.failed: dict[str, list[str]] = defaultdict(list)

    def started(self, run: Job) -> None:
        """A run went to a worker."""
        self.told.started(run)

    def retried(self, run: Job) -> None:
        """A run's worker died."""
        self.told.retried(run)

    def given_back(self, run: Job) -> None:
        """The job of a run's worker ended."""
        self.told.given_back(run)

    def finished(self, run: Job, outcome: Outcome) -> None:
        """A run left its record.

        Raises:
            EveryRunFails: if nothing was ok yet and this cause has failed enough runs.
        """
        self.told.finished(run, outcome)
        self.any_ok = self.any_ok or outcome.status not in UNFINISHED
        if self.any_ok:
            return
        labels = self.failed[outcome.message]
        labels.append(run.label)
        if len(labels) >= STOPS_AT and len(set(labels)) >= min(self.rows, STOPS_AT):
            raise EveryRunFails(one_line(outcome.message))


def causes(plan: SuitePlan, layout: Layout) -> Counter[str]:
    """Why the plan's runs failed, with how many did so, from their records; files count before the archive."""
    wanted = {run.spec.key for run in plan.runs}
    errors: dict[str, str] = {}
    for one in reversed(stored_records(plan.suite.name, layout)[0]):
        try:
            record = json.loads(one.text)
            if one.key in wanted and record["status"] in UNFINISHED:
                error = record["error"]
                errors[one.key] = one_line(f"{error['type']}: {error['message']}")
            else:
                errors.pop(one.key, None)
        except (ValueError, KeyError, TypeError):
            continue
    return Counter(errors.values())


def one_line(message: str) -> str:
    """A message that may have come from anywhere, in one line that a terminal can take."""
    words = " ".join(message.split()) or "without a message"
    kept = "".join(sign for sign in words if sign.isprintable())
    return kept if len(kept) <= MOST_LETTERS else f"{kept[:MOST_LETTERS]} ..."
