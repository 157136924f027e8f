"""A sweep in blocks of seeds, one for each look that a suite declared: decided comparisons get no more seeds."""

from collections.abc import Callable, Iterator

from results.analysis.looks import decision_sentences, next_rows
from results.loading.frame import load
from results.loading.layout import Layout
from runners.sweeping.state import SweepState
from runners.sweeping.todo import Todo


def blocks(state: SweepState, layout: Layout, say: Callable[[str], None]) -> Iterator[Todo]:
    """What to do next, until nothing is left or every comparison is decided.

    Without looks, or with seeds chosen by hand that stop before the last look, everything is one block. The records of
    a block must be written before the next one is asked for.

    Args:
        state: of the sweep, as it stood at the beginning.
        layout: where plan and records lie.
        say: is told after each look what it decided.
    """
    suite = state.plan.suite
    looks = suite.protocol.looks
    if not looks or len(suite.seeds) < looks[-1]:
        yield state.todo
        return
    rows = frozenset(row.label for row in suite.methods)
    for look in looks:
        yield state.todo.only(rows, frozenset(suite.seeds[:look]))
        results = load(suite.name, layout)
        for size in results.plan.sizes:
            for sentence in decision_sentences(results, size):
                say(sentence if len(results.plan.sizes) == 1 else f"N = {size}: {sentence}")
        rows = next_rows(results)
        if not rows:
            return
