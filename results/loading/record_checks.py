"""Which records can be used: one edited by hand, cut short or from elsewhere is named and left out."""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from amix.specs.protocol import Protocol
from amix.specs.run_plan import RunPlan
from amix.specs.run_spec import OUT_OF_DOMAIN, SCHEMA
from amix.specs.store import STATUSES, digest


@dataclass(frozen=True)
class Problem:
    """A record that was left out: where it lies and why."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


def complaint(record: Any, plan: RunPlan) -> str | None:
    """Why this record cannot stand in the plan's tables; None when it can."""
    if not isinstance(record, dict):
        return "is not a record (a JSON object)"
    if record.get("schema") != SCHEMA:
        return f"has schema {record.get('schema')!r}, and this version reads {SCHEMA}"
    if record.get("suite") != plan.suite:
        return f"belongs to suite {record.get('suite')!r}"
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
        return f"has the unknown status {record.get('status')!r}"
    metric = plan.tasks[planned.task].metric
    return (
        _shape_complaint(record)
        or _score_complaint(record, metric, plan.protocol)
        or _other_sets_complaint(record, plan)
        or _number_complaint(record, metric)
    )


def _key(spec: dict[str, Any]) -> str:
    # The same bytes as RunSpec.key hashes, without building a RunSpec for each of ten thousand records.
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()


def _shape_complaint(record: dict[str, Any]) -> str | None:
    for block in ("scores", "data", "cost", "environment", "error"):
        if not isinstance(record.get(block) or {}, dict):
            return f"its {block} block is no JSON object"
    curve = record.get("curve") or []
    if not isinstance(curve, list) or not all(isinstance(point, dict) for point in curve):
        return "its curve is no list of JSON objects"
    return None


def _score_complaint(record: dict[str, Any], metric: str, protocol: Protocol) -> str | None:
    """Scores by the protocol's selection rule must be there; those by another may be, and must then be numbers."""
    if record["status"] != "ok":
        return None
    if not record.get("scores"):
        return "its status is ok but it holds no scores"
    if _get(record["scores"], protocol.selection, protocol.split, metric) is None:
        reason = f"it holds no {protocol.selection} {protocol.split} score {metric}"
        others = [name for name in record["scores"] if _get(record["scores"], name, protocol.split, metric) is not None]
        made = f", only {' and '.join(others)} (made under another selection rule); a sweep does the run again"
        return reason + (made if others else "")
    for selection, splits in record["scores"].items():
        for name in ("test", "dev"):
            score = _get(splits, name, metric)
            if score is not None and not (_is_number(score) and -1 <= score <= 1):
                return f"its {selection} {name} score {metric} is {score!r}, not a number from -1 to 1"
    return None


def _other_sets_complaint(record: dict[str, Any], plan: RunPlan) -> str | None:
    for one in plan.out_of_domain:
        for selection, splits in (record.get("scores") or {}).items():
            others = splits.get(OUT_OF_DOMAIN) or {}
            score = _get(others, one.name, one.metric)
            if isinstance(others, dict) and one.name not in others:
                continue
            if not (_is_number(score) and -1 <= score <= 1):
                return f"its {selection} {one.name} score {one.metric} is {score!r}, not a number from -1 to 1"
        majority = _get(record.get("data"), OUT_OF_DOMAIN, one.name, "majority", one.metric)
        if majority is not None and not _is_number(majority):
            return f"its {one.name} majority score {one.metric} is {majority!r}, not a number"
    return None


def _number_complaint(record: dict[str, Any], metric: str) -> str | None:
    for name in ("majority", "majority_dev"):
        majority = _get(record.get("data"), name, metric)
        if majority is not None and not _is_number(majority):
            return f"its {name} score {metric} is {majority!r}, not a number"
    for name, value in (record.get("cost") or {}).items():
        if value is not None and (not _is_number(value) or value < 0):
            return f"its cost {name!r} is not a number from 0 up"
    return None


def _get(content: Any, *names: str) -> Any:
    for name in names:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
