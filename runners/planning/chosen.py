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
    """One plan of all rows and seeds, including those of the command line, and the part of it that is to be run."""

    suite: Suite
    """The suite as its file describes it, with one row for every setting to try if it tunes."""
    whole: SuitePlan
    part: SuitePlan

    def with_recorded(self, recorded: Container[str]) -> SuitePlan:
        """The plan that tables should show: the part, plus all rows and seeds of the whole suite that have records.

        A sweep of some rows or seeds (--methods, --seeds) thus adds to the tables and removes nothing from them. A
        suite with several looks is always shown whole, because its comparisons are corrected as declared, run or not.
        """
        if self.suite.protocol.looks:
            return self.whole
        with_record = [run for run in self.whole.runs if run.spec.key in recorded]
        rows, part = self.whole.suite.methods, self.part.suite
        labels = {run.label for run in with_record} | {row.label for row in part.methods}
        if self.suite.tuning:  # Once the tuning of a method has begun, all its settings are shown; the rest is missing.
            begun = {row.method for row in rows if row.label in labels}
            labels |= {row.label for row in rows if row.method in begun}
        numbers = {run.spec.seed for run in with_record} | set(part.seeds)
        shown = dataclasses.replace(
            self.whole.suite,
            methods=tuple(row for row in rows if row.label in labels),
            seeds=tuple(seed for seed in self.whole.suite.seeds if seed in numbers),
            protocol=self.suite.protocol.among(labels),
        )
        return self.whole.restricted(shown)


def chosen_plan(suite: Suite, methods: str = "", seeds: str = "") -> ChosenPlan:
    """The plan of a suite, and the part of it that --methods and --seeds choose (see with_choices).

    Raises:
        SuiteError: see make_plan and with_choices.
    """
    if not methods and not seeds:
        plan = make_plan(suite)
        return ChosenPlan(plan.suite, plan, plan)
    suite, part = expanded(suite), expanded(with_choices(suite, methods, seeds))
    rows = {row.label: row for row in suite.methods} | {row.label: row for row in part.methods}
    numbers = tuple(dict.fromkeys((*suite.seeds, *part.seeds)))
    whole = make_plan(dataclasses.replace(suite, methods=tuple(rows.values()), seeds=numbers))
    return ChosenPlan(suite, whole, whole.restricted(part))
