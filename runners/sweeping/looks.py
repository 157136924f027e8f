"""A sweep in blocks of seeds, one for each look that a suite declared: decided comparisons get no more seeds."""

from collections.abc import Callable, Iterator, Sequence

from results.analysis.complete_seeds import of_seeds
from results.analysis.looks import decision_sentences, next_rows
from results.loading.frame import Results, load
from results.loading.layout import Layout
from runners.sweeping.state import SweepState
from runners.sweeping.todo import Todo


def blocks(state: SweepState, declared: Sequence[int], layout: Layout, say: Callable[[str], None]) -> Iterator[Todo]:
    """What to do next, until nothing is left or every comparison is decided.

    Everything is one block without looks, with seeds chosen by hand, or where there is nothing to be compared. Seeds
    beyond the last look are the last block, for all rows. The records of a block must be written before the next one
    is asked for.

    Args:
        state: of the sweep, as it stood at the beginning.
        declared: the suite's seeds as its file says.
        layout: where plan and records lie.
        say: is told after each look what it decided.
    """
    suite = state.plan.suite
    looks, reference = suite.protocol.looks, suite.protocol.reference
    everyone = frozenset(row.label for row in suite.methods)
    if not looks or tuple(suite.seeds) != tuple(declared) or everyone <= {reference}:
        yield state.todo
        return
    rows, said = everyone, set[str]()
    for look in looks:
        yield state.todo.only(rows, frozenset(suite.seeds[:look]))
        # What lies there of later seeds, from before, must not decide this look.
        results = of_seeds(load(suite.name, layout), suite.seeds[:look])
        for sentence in _sentences(results):
            if sentence not in said:
                say(sentence)
                said.add(sentence)
        rows = next_rows(results) & everyone
        if rows <= {reference}:
            break
    if later := suite.seeds[looks[-1] :]:
        yield state.todo.only(everyone, frozenset(later))


def _sentences(results: Results) -> list[str]:
    sizes = results.plan.sizes
    return [
        sentence if len(sizes) == 1 else f"N = {size}: {sentence}"
        for size in sizes
        for sentence in decision_sentences(results, size)
    ]
