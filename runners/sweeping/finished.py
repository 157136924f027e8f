"""Which runs of a plan are done, as the records say."""

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
    """What a record says of its run: its status and its seconds, None where nothing was measured."""

    status: str
    seconds: float | None

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Finished":
        """What this record says."""
        return cls(record["status"], (record.get("cost") or {}).get("total_seconds"))


def finished_runs(plan: SuitePlan, stored: Iterable[Stored]) -> dict[str, Finished]:
    """The finished runs of a plan by key, among the records of its suite.

    A record that the tables would leave out (damaged, edited, without the scores asked for) is none: its run is done
    again. So is that of a run which was done before its suite asked for an out-of-domain set.
    """
    found: dict[str, Finished] = {}
    for one in reversed(list(stored)):  # Files come first there and must win here.
        record, reason = parsed(one.text)
        if reason is None and usable(record, one.key, plan) and record["status"] in FINISHED:
            found[one.key] = Finished.of(record)
    return found


def usable(record: Any, key: str, plan: SuitePlan) -> bool:
    """Whether the plan's tables can have this record, stored under this key, with every score that is asked for."""
    return complaint(record, plan.run_plan) is None and record["key"] == key and _has_sets(record, plan)


def _has_sets(record: dict[str, Any], plan: SuitePlan) -> bool:
    if record["status"] != "ok" or plan.suite.protocol.split == "dev":
        return True
    scored = record["scores"].get(plan.suite.protocol.selection, {}).get(OUT_OF_DOMAIN, {})
    return all(one.name in scored for one in sets_for(record["spec"]["task"], plan.suite.out_of_domain))
