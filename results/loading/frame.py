"""A suite's plan and records as one long frame: one row per planned run, whatever its outcome."""

import gc
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from amix.specs.run_plan import PlanError, RunPlan, read_plan
from results.loading.archive import Stored, stored_plan, stored_records, write_archive
from results.loading.array_checks import arrays_rejection
from results.loading.data_checks import other_data, usual_examples, with_data_notes
from results.loading.layout import Layout
from results.loading.record_checks import Problem, parsed, rejection_reason
from results.loading.wording import SELECTIONS

P = ParamSpec("P")
T = TypeVar("T")
POINTS = 100
MISSING = "missing"
SCORED_AS_MAJORITY = ("failed", "diverged")
"""Outcomes that count as results. Accidents (oom, cancelled, accident, missing) have no score."""
MAJORITY = {"test": "majority", "dev": "majority_dev"}
"""The field of a record that holds the majority class's score, by split."""
COSTS = (
    "train_seconds",
    "total_seconds",
    "evaluation_seconds",
    "forward_passes",
    "backward_passes",
    "optimizer_steps",
    "peak_memory_bytes",
    "trainable_parameters",
    "total_parameters",
    "flops",
)


@dataclass(frozen=True)
class Results:
    """A suite's plan, its runs (one row each, see load), its usable records by key, and the records left out."""

    plan: RunPlan
    selection: str
    runs: pd.DataFrame
    records: dict[str, dict[str, Any]] = field(repr=False)
    predictions: dict[str, bytes | Path] = field(repr=False)
    problems: tuple[Problem, ...]
    cache: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def split(self) -> str:
        """The split that is scored: test, or dev in a suite that chooses settings."""
        return self.plan.protocol.split


def cached(function: Callable[Concatenate[Results, P], T]) -> Callable[Concatenate[Results, P], T]:
    """Decorate a function of results that several tables and figures call: it is computed once per Results."""

    @wraps(function)
    def recall(results: Results, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (function.__module__, function.__qualname__, args)
        if key not in results.cache:
            results.cache[key] = function(results, *args, **kwargs)
        answer: T = results.cache[key]
        return answer

    return recall


def load(suite: str, layout: Layout, selection: str | None = None) -> Results:
    """Read a suite's plan and records.

    Args:
        suite: Its name.
        layout: Where its records are.
        selection: 'last' or 'best_dev'; None is the plan's rule.

    Returns:
        The results. Their frame `runs` has one row per planned run: key, label, task, size (text), seed, status (a
        record's status, or 'missing'), score, dev, majority (points: the primary metric x 100), the cost columns (NaN
        where unknown), passes (forward and backward together), error, traceback, source (the suite that made the run).
        A failed or diverged run has the majority score; a missing, cancelled or out-of-memory run has NaN.

    Raises:
        PlanError: There is no usable plan, or no run was scored by the requested rule.
    """
    plan = read_plan(stored_plan(suite, layout), suite)
    chosen = selection or plan.protocol.selection
    if chosen not in SELECTIONS:
        raise PlanError(f"--selection: {chosen!r} is none of {', '.join(SELECTIONS)}")
    with _garbage_left():
        stored, unreadable = stored_records(suite, layout)
        # Under another rule than the protocol's, only runs that were scored by it count.
        records, used, problems = _usable(stored, plan.selecting(chosen))
    if stored and not records and chosen != plan.protocol.selection:
        raise PlanError(
            f"no record of suite {suite!r} holds {chosen!r} {plan.protocol.split} scores: its protocol selects by "
            f"{plan.protocol.selection!r}, and runs are also scored by {chosen!r} only in a suite that says "
            f"'protocol: {{selection: {chosen}}}'"
        )
    plan = with_data_notes(plan, records)
    predictions, damaged = _sound_arrays(used, records)
    problems = [Problem(source, reason) for source, reason in unreadable] + problems + damaged
    return Results(plan, chosen, _frame(plan, records, chosen), records, predictions, tuple(problems))


@contextmanager
def _garbage_left() -> Iterator[None]:
    """Keep the garbage collector from going through all records again and again while they are read and kept."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.enable()


def pack(suite: str, layout: Layout) -> Path:
    """Add the suite's usable records, predictions and plan to its archive; records that are there already stay."""
    plan = read_plan(stored_plan(suite, layout), suite)
    stored, _ = stored_records(suite, layout)
    _, used, _ = _usable(stored, plan)
    packed = {item.key for item in used}
    kept = [item for item in stored if item.source == layout.archive(suite).name and item.key not in packed]
    return write_archive(suite, layout, plan, [*used, *kept])


def _usable(stored: Sequence[Stored], plan: RunPlan) -> tuple[dict[str, dict[str, Any]], list[Stored], list[Problem]]:
    records: dict[str, dict[str, Any]] = {}
    used: list[Stored] = []
    problems: list[Problem] = []
    read = [(item, *_read(item, plan)) for item in stored]
    usual = usual_examples(record for _, record, reason in read if reason is None)
    for item, record, unusable in read:
        reason = unusable or other_data(record, usual)
        if reason is None and item.key in records:
            # A record may be both a file and in the archive, as long as the two agree.
            same = records[item.key].get("scores") == record.get("scores")
            reason = (
                None if same else "is a second record of the same run with other scores; the first one found is used"
            )
        elif reason is None:
            records[item.key] = record
            used.append(item)
        if reason is not None:
            problems.append(Problem(item.source, reason))
    return records, used, problems


def _read(item: Stored, plan: RunPlan) -> tuple[dict[str, Any], str | None]:
    record, reason = parsed(item.text)
    reason = reason or rejection_reason(record, plan)
    if reason is None and record["key"] != item.key:
        reason = f"holds the record of another run, {record['key']} (a copy?)"
    return record, reason


def _sound_arrays(
    used: Sequence[Stored], records: dict[str, dict[str, Any]]
) -> tuple[dict[str, bytes | Path], list[Problem]]:
    """The arrays that can be used, and those that cannot; records with damaged arrays still count, by their scores."""
    sound: dict[str, bytes | Path] = {}
    damaged: list[Problem] = []
    for item in used:
        if item.predictions is None:
            continue
        data = records[item.key].get("data") or {}
        if (reason := arrays_rejection(item.predictions, data.get("n_test"))) is None:
            sound[item.key] = item.predictions
            continue
        place = item.predictions.name if isinstance(item.predictions, Path) else f"{item.source} (predictions)"
        damaged.append(Problem(place, f"{reason}; the scores in its record still count, nothing else does"))
    return sound, damaged


def _frame(plan: RunPlan, records: dict[str, dict[str, Any]], selection: str) -> pd.DataFrame:
    rows = [_row(plan, key, records.get(key), selection) for key in plan.runs]
    columns = [
        "key",
        "label",
        "task",
        "size",
        "seed",
        "status",
        "score",
        "dev",
        "majority",
        *COSTS,
        "error",
        "traceback",
        "source",
    ]
    frame = pd.DataFrame(rows, columns=columns)
    frame[list(COSTS)] = frame[list(COSTS)].astype(float)
    # A backward pass costs twice the matrix products of a forward pass.
    frame["passes"] = (frame["forward_passes"] + 2 * frame["backward_passes"]) / 3
    # A run that failed before reading its data has no majority score; others of its task and size have.
    shared = frame.groupby(["task", "size"])["majority"].transform("median")
    frame["majority"] = frame["majority"].fillna(shared)
    frame.loc[frame["status"].isin(SCORED_AS_MAJORITY), "score"] = frame["majority"]
    return frame


def _row(plan: RunPlan, key: str, record: dict[str, Any] | None, selection: str) -> dict[str, Any]:
    run = plan.runs[key]
    row = {"key": key, "label": run.label, "task": run.task, "size": run.size, "seed": run.seed}
    if record is None:
        return row | {"status": MISSING, "score": math.nan, "error": "", "traceback": "", "source": ""}
    metric = plan.tasks[run.task].metric
    chosen = (record.get("scores") or {}).get(selection) or {} if record["status"] == "ok" else {}
    error = record.get("error") or {}
    cost = record.get("cost") or {}
    return (
        row
        | {name: cost.get(name) for name in COSTS}
        | {
            "status": record["status"],
            "score": _points(chosen.get(plan.protocol.split), metric),
            "dev": _points(chosen.get("dev"), metric),
            "majority": _points((record.get("data") or {}).get(MAJORITY[plan.protocol.split]), metric),
            "error": f"{error.get('type', 'Error')}: {error.get('message', '')}" if error else "",
            "traceback": error.get("traceback") or "",
            "source": record.get("taken_from") or plan.suite,
        }
    )


def _points(scores: Any, metric: str) -> float:
    value = scores.get(metric) if isinstance(scores, dict) else None
    return math.nan if value is None else POINTS * float(value)


def fingerprint(results: Results) -> str:
    """A SHA-256 hash of plan, selection rule and runs, the same for equal results only."""
    content = repr((results.plan.as_json(), results.selection)) + results.runs.to_csv(index=False)
    return hashlib.sha256(content.encode()).hexdigest()
