"""The state of a sweep, read once from the records before anything runs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from amix.specs.store import FINISHED
from results.loading.archive import stored_records
from results.loading.layout import Layout
from runners.planning.plan import SuitePlan
from runners.sweeping.jobs import Outcome
from runners.sweeping.reuse import Reusable, reusable
from runners.sweeping.todo import Finished, Todo, finished_runs, todo


@dataclass(frozen=True)
class SweepState:
    """A plan with the runs that are done, those that another suite has done, and those that are left."""

    plan: SuitePlan
    done: dict[str, Finished]
    """The plan's finished runs among its own suite's records, by key."""
    reusable: dict[str, Reusable]
    """The runs that a suite named in `reuse` has finished, by key."""
    todo: Todo
    recorded: frozenset[str]
    """Keys of all records of the suite, usable or not, and of those that can be taken over."""

    @classmethod
    def read(cls, plan: SuitePlan, layout: Layout, retry_failed: bool = False) -> "SweepState":
        """The state according to the records.

        Raises:
            SuiteError: a suite in `reuse` does not exist.
        """
        stored = stored_records(plan.suite.name, layout)[0]
        done = finished_runs(plan, stored)
        elsewhere = reusable(plan, layout, done)
        finished = done | {key: one.finished for key, one in elsewhere.items()}
        recorded = frozenset(one.key for one in stored) | frozenset(elsewhere)
        return cls(plan, done, elsewhere, todo(plan, finished, retry_failed), recorded)

    def count_done(self, outcomes: Mapping[str, Outcome]) -> int:
        """Number of the plan's runs that are finished after a sweep with these outcomes (by key)."""
        return self.todo.done + sum(outcome.status in FINISHED for outcome in outcomes.values())

    def statuses(self, outcomes: Mapping[str, Outcome]) -> Counter[str]:
        """Number of the plan's runs by status, given these outcomes; `missing` counts runs without a record."""
        before = self.done | {key: one.finished for key, one in self.reusable.items()}
        status = {key: run.status for key, run in before.items()} | {
            key: outcome.status for key, outcome in outcomes.items()
        }
        return Counter(status.get(run.spec.key, "missing") for run in self.plan.runs)
