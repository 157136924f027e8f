"""All methods against all: ranks with intervals, and a matrix of pairs that adding a method does not change."""

import numpy as np

from results.analysis.cells import FEWEST_SEEDS, differences, score_matrix
from results.loading.frame import Results
from results.loading.wording import selection_words, signed, size_words
from results.stats.pairwise import Pair, pairwise
from results.stats.rank_intervals import RankIntervals, rank_intervals
from results.tabulating.table import Cell, Column, Table

FEWEST_METHODS = 3
"""With fewer methods there is only one pair, which other tables show."""
MOST = 16
"""With more methods a full matrix is unreadable: only the columns of the reference and the focus are printed."""


def pairwise_table(results: Results, size: str) -> Table | None:
    """Rank interval of each method, and mean difference, interval and record of each pair over all tasks.

    A method without two seeds in common with every other on every task is left out. None for fewer than three methods.
    """
    plan = results.plan
    labels = _comparable(results, size)
    if len(labels) < FEWEST_METHODS:
        return None

    def gaps(first: str, second: str) -> list[np.ndarray]:
        return [differences(results, size, task, first, second) for task in plan.tasks]

    pairs = pairwise(labels, gaps)
    square = [[pairs.get((first, second)) for second in labels] for first in labels]
    intervals = rank_intervals(
        [[one.difference if one else 0.0 for one in row] for row in square],
        [[one.p if one else 1.0 for one in row] for row in square],
        plan.protocol.alpha,
    )
    scores = [
        float(np.mean([score_matrix(results, size, task)[label].mean() for task in plan.tasks])) for label in labels
    ]
    order = np.argsort(-np.array(scores), kind="stable")
    across = [
        int(n) for n in order if len(labels) <= MOST or labels[n] in (plan.protocol.reference, plan.protocol.focus)
    ]
    rows = [_row(labels, scores, intervals, square, int(number), across, plan.protocol.alpha) for number in order]
    one, all_of_them = "Rank, each alone", "Rank, all at once"
    columns = (
        Column("Method"),
        Column("Mean", "score × 100", ".1f"),
        Column("from", "best", ".0f", group=one),
        Column("to", "worst", ".0f", group=one),
        Column("from", "best", ".0f", group=all_of_them),
        Column("to", "worst", ".0f", group=all_of_them),
        *(Column(labels[number], group="Row less column", text=True) for number in across),
    )
    return Table(
        name=f"pairwise-n{size}",
        title=f"{plan.title}: all methods against all, {size_words(size)}",
        caption=(
            f"{results.split.capitalize()} score × 100, selection: {selection_words(results.selection)}, mean over "
            f"{len(plan.tasks)} task{'s' * (len(plan.tasks) > 1)}. Each pair: mean paired difference [95 % "
            "Welch-Satterthwaite interval], (task, seed) blocks won/tied/lost; † uncorrected p ≤ "
            f"{plan.protocol.alpha:g} of the task-stratified sign flip. A pair's cell does not change when a method is "
            "added or left out, so nothing in it is corrected for the number of pairs. Ranks: from the best to the "
            "worst that the pairwise tests leave possible, Holm over the directions of the pairs; each alone: the "
            f"{1 - plan.protocol.alpha:.0%} interval of a method named beforehand; all at once: all intervals together."
        ),
        columns=columns,
        rows=tuple(rows),
        notes=_notes(plan.labels, labels),
        banner=plan.note,
        detail=True,
    )


def _notes(planned: tuple[str, ...], labels: list[str]) -> tuple[str, ...]:
    notes = []
    left_out = [label for label in planned if label not in labels]
    if left_out:
        notes.append(f"Left out, without two paired seeds with every other method: {', '.join(left_out)}.")
    if len(labels) > MOST:
        notes.append(
            f"With more than {MOST} methods the ranks are based on all pairs, but only few columns are printed."
        )
    return tuple(notes)


def _comparable(results: Results, size: str) -> list[str]:
    # Drop the method that shares too few seeds with the most others, until all pairs can be compared.
    labels = np.array(results.plan.labels)
    known = [score_matrix(results, size, task).notna().to_numpy(dtype=np.int64) for task in results.plan.tasks]
    short = np.min([own.T @ own for own in known], axis=0) < FEWEST_SEEDS
    while short.any():
        kept = np.arange(len(labels)) != short.sum(axis=0).argmax()
        labels, short = labels[kept], short[np.ix_(kept, kept)]
    return [str(label) for label in labels]


def _row(
    labels: list[str],
    scores: list[float],
    ranks: RankIntervals,
    square: list[list[Pair | None]],
    number: int,
    across: list[int],
    alpha: float,
) -> tuple[Cell, ...]:
    ends = (ranks.low, ranks.high, ranks.low_simultaneous, ranks.high_simultaneous)
    cells = [_pair_cell(square[number][other], alpha) for other in across]
    return (Cell(labels[number]), Cell(scores[number]), *(Cell(float(end[number])) for end in ends), *cells)


def _pair_cell(pair: Pair | None, alpha: float) -> Cell:
    if pair is None:
        return Cell(None)
    record = "/".join(map(str, pair.record))
    text = f"{signed(pair.difference)} [{signed(pair.low)}, {signed(pair.high)}] {record}"
    return Cell(text, marks="†" if pair.p <= alpha else "")
