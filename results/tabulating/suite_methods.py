"""The methods of a suite: what each is, where it comes from, and what it trains."""

from results.analysis.cells import cost_ratios
from results.loading.frame import Results
from results.tabulating.table import Cell, Column, Table


def methods_table(results: Results) -> Table:
    """Label, method, kind, paper, passes relative to the reference (measured), and the share of parameters trained."""
    plan = results.plan
    runs = results.runs.assign(share=100 * results.runs["trainable_parameters"] / results.runs["total_parameters"])
    shares = runs.groupby("label")["share"].mean()
    passes = cost_ratios(results, plan.sizes[0], "passes") if plan.sizes else {}
    rows = [
        (
            Cell(row.label),
            Cell(row.method),
            Cell(row.kind or None),
            Cell(row.paper or None),
            Cell(passes.get(row.label)),
            Cell(float(shares.get(row.label, float("nan")))),
        )
        for row in plan.methods
    ]
    return Table(
        name="methods",
        title=f"{plan.title}: methods",
        caption=(
            f"Passes (forward and backward) relative to {plan.protocol.reference} and share of parameters trained, "
            f"both as measured in the runs, encoder {plan.encoder}."
        ),
        columns=(
            Column("Row"),
            Column("Method", text=True),
            Column("Kind", text=True),
            Column("Paper", text=True),
            Column("Passes", "relative", ".2f", "×"),
            Column("Trainable", "% of all", ".2f"),
        ),
        rows=tuple(rows),
        banner=plan.note,
    )
