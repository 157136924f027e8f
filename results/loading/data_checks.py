"""Which examples the runs saw: the same ones for each seed, and how much of the official splits."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from amix.specs.run_plan import PlannedTask, RunPlan

Setting = tuple[str, int | None, int]
"""Task, size and seed."""
Examples = tuple[str, int]
"""Hash of the subset's ids, and number of test examples."""


def usual_examples(records: Iterable[dict[str, Any]]) -> dict[Setting, Examples]:
    """What most runs of each task, size and seed saw; on a tie, what the first of them saw."""
    counts: dict[Setting, Counter[Examples]] = {}
    for record in records:
        if (examples := _examples(record)) is not None:
            counts.setdefault(_setting(record), Counter())[examples] += 1
    return {setting: count.most_common(1)[0][0] for setting, count in counts.items()}


def other_data(record: dict[str, Any], usual: Mapping[Setting, Examples]) -> str | None:
    """Why this record cannot be paired with the others of its task and seed; None when it saw the same examples."""
    examples = _examples(record)
    if examples is None or examples == (expected := usual[_setting(record)]):
        return None
    other_subset = examples[0] != expected[0]
    what = "other training examples" if other_subset else f"{examples[1]} test examples instead of {expected[1]}"
    return (
        f"saw {what}, unlike most runs of {record['spec']['task']} with seed {record['spec']['seed']} (another copy of "
        "the data?); delete it and run it again on the same data"
    )


def _setting(record: dict[str, Any]) -> Setting:
    spec = record["spec"]
    return spec["task"], spec["n_train"], spec["seed"]


def _examples(record: dict[str, Any]) -> Examples | None:
    """What a run saw; None if it failed before it had read its data."""
    data = record.get("data") or {}
    return (data["ids_sha256"], data["n_test"]) if {"ids_sha256", "n_test"} <= set(data) else None


def with_data_notes(plan: RunPlan, records: Mapping[str, dict[str, Any]]) -> RunPlan:
    """The plan with footnotes at tasks whose runs had less than the official splits, or warnings about their data."""
    warned: dict[str, dict[str, None]] = {}
    sizes: dict[str, tuple[int | None, int | None]] = {}
    tested = plan.protocol.split == "test"
    for key, record in records.items():
        data = record.get("data") or {}
        pool, test = sizes.get(plan.runs[key].task, (None, None))
        sizes[plan.runs[key].task] = (data.get("n_pool", pool), data.get("n_test", test) if tested else None)
        warned.setdefault(plan.runs[key].task, {}).update(dict.fromkeys(_warnings(data)))
    tasks = {name: _noted(task, *sizes.get(name, (None, None))) for name, task in plan.tasks.items()}
    noted = {name: _warned(task, list(warned.get(name, {}))) for name, task in tasks.items()}
    return plan.model_copy(update={"tasks": noted})


MOST_WARNINGS = 8


def _warnings(data: dict[str, Any]) -> list[str]:
    """The warnings on its data in a run's record."""
    stored = data.get("findings")
    findings = [finding for finding in stored if isinstance(finding, dict)] if isinstance(stored, list) else []
    return [str(finding.get("said")) for finding in findings if finding.get("severity") == "warning"]


def _warned(task: PlannedTask, warnings: list[str]) -> PlannedTask:
    if not warnings:
        return task
    more = [f"and {len(warnings) - MOST_WARNINGS} more warnings"] * (len(warnings) > MOST_WARNINGS)
    footnote = "; ".join([*filter(None, [task.footnote]), *warnings[:MOST_WARNINGS], *more])
    return task.model_copy(update={"footnote": footnote})


def _noted(task: PlannedTask, pool: int | None, test: int | None) -> PlannedTask:
    if task.official_rows is None:
        return task
    official_train, official_test = task.official_rows
    notes = [task.footnote] if task.footnote else []
    if test is not None and test < official_test:
        notes.append(f"tested on {test:,} of the {official_test:,} official validation examples")
    if pool is not None and pool < official_train:
        notes.append(f"training subsets drawn from {pool:,} of the {official_train:,} official examples")
    return task.model_copy(update={"footnote": "; ".join(notes)})
