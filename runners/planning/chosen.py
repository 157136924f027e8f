"""A suite's plan, and the part of it that the command line asks for."""

import dataclasses
from collections.abc import Container
from dataclasses import dataclass

from runners.planning.overrides import with_choices
from runners.planning.plan import SuitePlan, make_plan
from runners.planning.suite import Suite
from runners.planning.tuning_grid import expanded


@dataclass(frozen=True)
class ChosenPlan:
    """One plan of all rows and seeds, those of the command line among them, and the part of it that is to be run."""

    suite: Suite
    """The suite as its file says, with one row for every setting to try where it chooses settings."""
    whole: SuitePlan
    part: SuitePlan

    def with_recorded(self, recorded: Container[str]) -> SuitePlan:
        """The part with those rows and seeds of the whole suite that have records: what tables should show.

        So that a sweep of some rows or seeds (--methods, --seeds) adds to the tables and takes nothing from them. Of a
        suite with several looks everything: its comparisons are corrected as they were declared, run or not.
        """
        if self.suite.protocol.looks:
            return self.whole
        there = [run for run in self.whole.runs if run.spec.key in recorded]
        rows, part = self.whole.suite.methods, self.part.suite
        labels = {run.label for run in there} | {row.label for row in part.methods}
        if self.suite.tuning:  # A method whose search has begun has all its settings there: the rest is missing.
            begun = {row.method for row in rows if row.label in labels}
            labels |= {row.label for row in rows if row.method in begun}
        numbers = {run.spec.seed for run in there} | set(part.seeds)
        shown = dataclasses.replace(
            self.whole.suite,
            methods=tuple(row for row in rows if row.label in labels),
            seeds=tuple(seed for seed in self.whole.suite.seeds if seed in numbers),
            protocol=self.suite.protocol if self.suite.protocol.focus in labels else part.protocol,
        )
        return self.whole.restricted(shown)


def chosen_plan(suite: Suite, methods: str = "", seeds: str = "") -> ChosenPlan:
    """The suite planned once, and what --methods and --seeds choose of it (see with_choices).

    Raises:
        SuiteError: as make_plan and with_choices do.
    """
    if not methods and not seeds:
        plan = make_plan(suite)
        return ChosenPlan(plan.suite, plan, plan)
    suite, part = expanded(suite), expanded(with_choices(suite, methods, seeds))
    rows = {row.label: row for row in suite.methods} | {row.label: row for row in part.methods}
    numbers = tuple(dict.fromkeys((*suite.seeds, *part.seeds)))
    whole = make_plan(dataclasses.replace(suite, methods=tuple(rows.values()), seeds=numbers))
    return ChosenPlan(suite, whole, whole.restricted(part))
