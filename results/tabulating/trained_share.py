"""The parameter-efficient table: what training only part of the weights saves and loses."""

from results.analysis.cells import TIME_RATIO, cost_ratios, seed_averages
from results.analysis.claims import all_exact, claims, planned_comparisons
from results.analysis.looks import sign_flip_words
from results.loading.frame import Results
from results.loading.wording import selection_words, size_words, titles
from results.tabulating.main import ratio_cell
from results.tabulating.table import Cell, Column, Table, rank_column


def trainable_table(results: Results, size: str) -> Table | None:
    """Methods from few trained parameters to all: share trained, memory, time, average score, difference.

    None for a suite in which every method trains the same share.
    """
    plan = results.plan
    runs = results.runs[(results.runs["size"] == size) & (results.runs["status"] == "ok")]
    shares = (100 * runs["trainable_parameters"] / runs["total_parameters"]).groupby(runs["label"]).mean().dropna()
    if shares.round(6).nunique() < 2:
        return None
    labels = sorted(shares.index, key=lambda label: (shares[label], plan.labels.index(label)))
    averages = seed_averages(results, size)
    against = claims(results, size, plan.protocol.reference)
    comparisons = planned_comparisons(against) if against else 0
    scores = rank_column(
        [Cell(float(averages[label].mean()), float(averages[label].std(ddof=1))) for label in labels],
        ".1f",
        [True] * len(labels),
    )
    memory, seconds = (cost_ratios(results, size, cost) for cost in ("peak_memory_bytes", "train_seconds"))
    rows = []
    for label, score in zip(labels, scores, strict=True):
        claim = against.get(label)
        difference = [Cell(None)] * 3
        if claim is not None:
            mark = "*" if claim.p_holm <= plan.protocol.alpha else ""
            difference = [Cell(claim.difference, marks=mark), Cell(claim.low), Cell(claim.high)]
        costs = [
            Cell(float(shares[label])),
            Cell(memory.get(label)),
            ratio_cell(results, size, "train_seconds", label, seconds.get(label)),
        ]
        rows.append((Cell(label), *costs, score, *difference))
    return Table(
        name=f"parameter-efficient-n{size}",
        title=f"{plan.title}: parameters trained, {size_words(size)}",
        caption=(
            f"Share of all parameters that a method trains, and its cost relative to {plan.protocol.reference}, time "
            f"as the {TIME_RATIO}. "
            f"Average {results.split} score × 100 over {titles(plan)}, mean ± standard deviation (ddof 1) "
            f"over the seeds that are complete, selection: {selection_words(results.selection)}, encoder "
            f"{plan.encoder}; difference from {plan.protocol.reference} with its 95 % interval (* "
            f"{sign_flip_words('task-stratified sign-flip test', all_exact(against), plan)}, "
            f"Holm over {comparisons} comparisons, α = {plan.protocol.alpha:g})."
        ),
        columns=(
            Column("Method"),
            Column("Trained", "% of all", ".2f"),
            Column("Memory", "relative", ".2f", "×"),
            Column("Time", "relative", ".2f", "×"),
            Column("Average", "of tasks", ".1f"),
            Column("Difference", "points", "+.2f"),
            Column("from", "95 %", "+.2f"),
            Column("to", "95 %", "+.2f"),
        ),
        rows=tuple(rows),
        banner=plan.note,
    )
