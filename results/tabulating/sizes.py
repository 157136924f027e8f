"""The low-resource table: each method's score by the number of training examples."""

from amix.specs.wording import counted
from results.analysis.cells import score_matrix
from results.analysis.comparisons import against, power_notes, significant
from results.analysis.looks import explained_summaries, sign_flip_words
from results.loading.frame import Results
from results.loading.wording import metric_words, selection_words, size_words
from results.tabulating.main import SCORE, STAR, score_cell
from results.tabulating.table import Cell, Column, Table, rank_column


def sizes_table(results: Results) -> Table | None:
    """Mean ± std per task and size, tasks as groups of columns; None for a suite of one size."""
    plan = results.plan
    if len(plan.sizes) < 2:
        return None
    cells = explained_summaries(results)
    starred = {
        (size, *place)
        for size in plan.sizes
        for place in significant(against(results, size, plan.protocol.reference), plan.protocol.alpha)
    }
    exact = all(against(results, size, plan.protocol.reference)["exact"].all() for size in plan.sizes)
    seeds = max((cell.n for cell in cells.values()), default=0)
    columns = [Column("Method")]
    body = [[Cell(label)] for label in plan.labels]
    for task in plan.tasks.values():
        for size in plan.sizes:
            if score_matrix(results, size, task.name).empty:
                continue
            footnote = (task.footnote,) if task.footnote else ()
            metric = metric_words(task.metric, task.positive)
            columns.append(Column(f"N = {size}", "", SCORE, group=f"{task.title} ({metric})", notes=footnote))
            column = [
                score_cell(cells.get(place), seeds, STAR if place in starred else "")
                for place in ((size, task.name, label) for label in plan.labels)
            ]
            ranked = rank_column(column, SCORE, [True] * len(column))
            body = [[*row, cell] for row, cell in zip(body, ranked, strict=True)]
    return Table(
        name="sizes",
        title=f"{plan.title}: from few examples to many",
        caption=(
            f"{results.split.capitalize()} score × 100, mean ± standard deviation (ddof 1) over "
            f"n = {counted(seeds, 'seed')} (other n in parentheses), encoder {plan.encoder}, "
            f"selection: {selection_words(results.selection)}. "
            f"* differs from "
            f"{plan.protocol.reference}: {sign_flip_words('paired sign-flip test', exact, plan)}, Holm "
            f"over the methods of each column, α = {plan.protocol.alpha:g}. Subsets of one seed are nested, so "
            "the sizes are not independent evidence."
        ),
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in body),
        notes=tuple(dict.fromkeys(note for size in plan.sizes for note in _power(results, size))),
        banner=plan.note,
    )


def _power(results: Results, size: str) -> tuple[str, ...]:
    """What the seeds at this size are too few to show; nothing if there is nothing to compare."""
    frame = against(results, size, results.plan.protocol.reference)
    return tuple(f"{size_words(size)}: {note}" for note in power_notes(frame, results.plan)) if len(frame) else ()
