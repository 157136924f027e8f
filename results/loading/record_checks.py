"""Which records can be used: those edited by hand, truncated or from elsewhere are reported and left out."""

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from amix.specs.protocol import Protocol
from amix.specs.run_plan import RunPlan
from amix.specs.run_spec import OUT_OF_DOMAIN, SCHEMA
from amix.specs.store import STATUSES, digest
from amix.specs.visible_text import visible
from results.loading.record_shape import is_number, scores_rejection, shape_rejection


@dataclass(frozen=True)
class Problem:
    """A record that was left out: where it is stored, and why it cannot be used."""

    source: str
    reason: str

    @override
    def __str__(self) -> str:
        return visible(f"{self.source}: {self.reason}")


def parsed(text: str) -> tuple[Any, str | None]:
    """The content of a record's text, and why it cannot be used (None when it can)."""
    try:
        content = json.loads(text)
        if _HALF_CHARACTER.search(text):
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return {}, "contains half a character (a lone surrogate), which no file can contain"
    except ValueError as error:
        return {}, f"is not JSON, perhaps cut short ({error})"
    except RecursionError:
        return {}, _TOO_DEEP
    return content, None


_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")
_TOO_DEEP = "is nested too deeply for a record"


def rejection_reason(record: Any, plan: RunPlan) -> str | None:
    """Why this record cannot be used for the plan's tables; None when it can."""
    try:
        return _rejection_reason(record, plan)
    except RecursionError:
        return _TOO_DEEP


def _rejection_reason(record: Any, plan: RunPlan) -> str | None:
    if not isinstance(record, dict):
        return "is not a record (a JSON object)"
    schema = record.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        return f"has schema {str(schema)[:40]}, and this version reads {SCHEMA}"
    if record.get("suite") != plan.suite:
        return f"belongs to suite {str(record.get('suite'))[:80]!r}"
    spec = record.get("spec")
    if not isinstance(spec, dict) or record.get("key") != _key(spec):
        return "its key is not the hash of its spec (edited by hand?)"
    if record.get("digest") != digest(record):
        return "its digest is not that of its content (edited by hand?)"
    planned = plan.runs.get(record["key"])
    if planned is None:
        return "is not in the plan (an older or another setting of this suite)"
    if (spec.get("task"), spec.get("n_train"), spec.get("seed")) != (planned.task, planned.n_train, planned.seed):
        return "its spec is not the one that the plan names for it"
    if record.get("status") not in STATUSES:
        return f"has the unknown status {str(record.get('status'))[:40]!r}"
    metric = plan.tasks[planned.task].metric
    return (
        shape_rejection(record)
        or _score_rejection(record, metric, plan.protocol)
        or scores_rejection(record.get("scores") or {})
        or _out_of_domain_rejection(record, plan)
        or _number_rejection(record, metric)
    )


def _key(spec: dict[str, Any]) -> str:
    # Hashes the same bytes as RunSpec.key, without building a RunSpec for each of ten thousand records.
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _score_rejection(record: dict[str, Any], metric: str, protocol: Protocol) -> str | None:
    """Why the scores are unusable: the protocol's selection rule must have some, and all must be numbers."""
    if record["status"] != "ok":
        return None
    if not record.get("scores"):
        return "its status is ok but it holds no scores"
    if _get(record["scores"], protocol.selection, protocol.split, metric) is None:
        reason = f"it holds no {protocol.selection} {protocol.split} score {metric}"
        others = [name for name in record["scores"] if _get(record["scores"], name, protocol.split, metric) is not None]
        made = f", only {' and '.join(others)} (made under another selection rule); a sweep does the run again"
        return reason + (made if others else "")
    if "last" not in record["scores"]:
        return "it holds no scores of the last step, which every run writes"
    for selection, splits in record["scores"].items():
        for name in ("test", "dev"):
            score = _get(splits, name, metric)
            if score is not None and not (is_number(score) and -1 <= score <= 1):
                return f"its {selection} {name} score {metric} is {_shown(score)}, not a number from -1 to 1"
    return None


def _out_of_domain_rejection(record: dict[str, Any], plan: RunPlan) -> str | None:
    for other in plan.out_of_domain:
        for selection, splits in (record.get("scores") or {}).items():
            scores = splits.get(OUT_OF_DOMAIN) or {}
            score = _get(scores, other.name, other.metric)
            if isinstance(scores, dict) and other.name not in scores:
                continue
            if not (is_number(score) and -1 <= score <= 1):
                return f"its {selection} {other.name} score {other.metric} is {_shown(score)}, not from -1 to 1"
        majority = _get(record.get("data"), OUT_OF_DOMAIN, other.name, "majority", other.metric)
        if majority is not None and not is_number(majority):
            return f"its {other.name} majority score {other.metric} is {_shown(majority)}, not a number"
    return None


def _number_rejection(record: dict[str, Any], metric: str) -> str | None:
    for name in ("majority", "majority_dev"):
        block = (record.get("data") or {}).get(name)
        if block is not None and not isinstance(block, dict):
            return f"its {name} scores are not a JSON object"
        majority = _get(record.get("data"), name, metric)
        if majority is not None and not is_number(majority):
            return f"its {name} score {metric} is {_shown(majority)}, not a number"
    for name, value in (record.get("cost") or {}).items():
        if value is not None and (not is_number(value) or value < 0):
            return f"its cost {name!r} is not a number of at least 0"
    return None


def _shown(value: Any) -> str:
    # Python refuses to print an integer of thousands of digits.
    return repr(value) if isinstance(value, float | str) or is_number(value) else f"a {type(value).__name__}"


def _get(content: Any, *names: str) -> Any:
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content
