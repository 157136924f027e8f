"""What a method costs: time, passes, memory, trainable parameters, floating point operations."""

import math

from results.analysis.cells import TIME_RATIO, cost_ratios
from results.loading.frame import Results
from results.loading.wording import size_words
from results.tabulating.main import ratio_cell
from results.tabulating.table import Cell, Column, Table

MEBIBYTE, MILLION, TERA = 2**20, 1e6, 1e12


def cost_table(results: Results, size: str) -> Table | None:
    """Mean cost of a finished run per method, and its ratio to the reference over the blocks that both finished."""
    plan = results.plan
    runs = results.runs[(results.runs["size"] == size) & (results.runs["status"] == "ok")]
    if runs.empty:
        return None
    means = runs.assign(share=100 * runs["trainable_parameters"] / runs["total_parameters"])
    columns = [
        ("train_seconds", 1.0, Column("Training", "seconds", ".1f")),
        ("total_seconds", 1.0, Column("Run", "seconds", ".1f")),
        ("forward_passes", 1.0, Column("Forward", "passes", ",.0f")),
        ("backward_passes", 1.0, Column("Backward", "passes", ",.0f")),
        ("peak_memory_bytes", MEBIBYTE, Column("Memory", "peak, MiB", ",.0f")),
        ("trainable_parameters", MILLION, Column("Trainable", "millions", ".3f")),
        ("share", 1.0, Column("Trainable", "% of all", ".2f")),
        ("flops", TERA, Column("Operations", "10^12", ",.1f")),
    ]
    relative = [("train_seconds", "Time"), ("passes", "Passes"), ("peak_memory_bytes", "Memory")]
    by_label = means.groupby("label")[[name for name, _, _ in columns]].mean().to_dict("index")
    ratios = {cost: cost_ratios(results, size, cost) for cost, _ in relative}
    rows = []
    for label in plan.labels:
        own = by_label.get(label, {})
        absolute = [Cell(own.get(name, math.nan) / unit) for name, unit, _ in columns]
        compared = [ratio_cell(results, size, cost, label, ratios[cost].get(label)) for cost, _ in relative]
        rows.append((Cell(label), *absolute, *compared))
    return Table(
        name=f"cost-n{size}",
        title=f"{plan.title}: cost, {size_words(size)}",
        caption=(
            f"Means over finished runs, encoder {plan.encoder}; relative to {plan.protocol.reference} over the (task, "
            f"seed) blocks that both finished, time as the {TIME_RATIO}. A pass is one "
            "batch through the model, forward or backward."
        ),
        columns=(
            Column("Method"),
            *(column for _, _, column in columns),
            *(Column(header, "relative", ".2f", "×") for _, header in relative),
        ),
        rows=tuple(rows),
        notes=(_device_note(results),),
        banner=plan.note,
    )


def _device_note(results: Results) -> str:
    environments = [record.get("environment") or {} for record in results.records.values()]
    named = {f"{e.get('device')} ({e.get('precision')}, {e.get('threads')} threads)" for e in environments}
    return f"Times depend on the machine: {'; '.join(sorted(named))}."
