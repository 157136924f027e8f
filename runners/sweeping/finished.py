"""Which runs of a plan are done, according to the records."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from amix.specs.out_of_domain import sets_for
from amix.specs.run_spec import OUT_OF_DOMAIN
from amix.specs.store import FINISHED
from results.loading.archive import Stored
from results.loading.record_checks import complaint, parsed
from runners.planning.plan import SuitePlan


@dataclass(frozen=True)
class Finished:
    """A finished run's status and seconds; None if no time was measured."""

    status: str
    seconds: float | None

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Finished":
        """Status and seconds from a record."""
        return cls(record["status"], (record.get("cost") or {}).get("total_seconds"))


def finished_runs(plan: SuitePlan, stored: Iterable[Stored]) -> dict[str, Finished]:
    """The finished runs of a plan by key, among the records of its suite.

    A record that the tables would leave out (damaged, edited, or without the scores asked for) does not count: its run
    is repeated. So is a run that was done before its suite asked for an out-of-domain set.
    """
    finished: dict[str, Finished] = {}
    for one in reversed(list(stored)):  # Files come before the archive and must override it.
        record, reason = parsed(one.text)
        if reason is None and usable(record, one.key, plan) and record["status"] in FINISHED:
            finished[one.key] = Finished.of(record)
    return finished


def usable(record: Any, key: str, plan: SuitePlan) -> bool:
    """Whether this record, stored under this key, can be in the plan's tables and has every score asked for."""
    return complaint(record, plan.run_plan) is None and record["key"] == key and _has_sets(record, plan)


def _has_sets(record: dict[str, Any], plan: SuitePlan) -> bool:
    if record["status"] != "ok" or plan.suite.protocol.split == "dev":
        return True
    scored = record["scores"].get(plan.suite.protocol.selection, {}).get(OUT_OF_DOMAIN, {})
    return all(wanted.name in scored for wanted in sets_for(record["spec"]["task"], plan.suite.out_of_domain))
