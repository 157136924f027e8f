"""A sweep in blocks of seeds, one per look that a suite declared: decided comparisons get no more seeds."""

from collections.abc import Callable, Iterator, Sequence

from results.analysis.complete_seeds import of_seeds
from results.analysis.looks import decision_sentences, next_rows, primary_sentences
from results.loading.frame import Results, load
from results.loading.layout import Layout
from runners.sweeping.state import SweepState
from runners.sweeping.todo import Todo


def blocks(state: SweepState, declared: Sequence[int], layout: Layout, say: Callable[[str], None]) -> Iterator[Todo]:
    """The blocks of runs to do, until nothing is left or every comparison is decided.

    Without looks, with seeds chosen by hand, or with nothing to compare, everything is one block. Seeds beyond the last
    look are the last block, for all rows. The records of a block must be written before the next one is requested.

    Args:
        state: the sweep as it stood at the beginning.
        declared: the suite's seeds according to its file.
        layout: where the plan and the records are.
        say: is called after each look with each new decision, as a sentence.
    """
    suite = state.plan.suite
    looks, reference = suite.protocol.looks, suite.protocol.reference
    everyone = frozenset(row.label for row in suite.methods)
    if not looks or tuple(suite.seeds) != tuple(declared) or everyone <= {reference}:
        yield state.todo
        return
    rows, reported = everyone, set[str]()
    for look in looks:
        yield state.todo.only(rows, frozenset(suite.seeds[:look]))
        # Records of later seeds, from earlier sweeps, must not influence this look.
        results = of_seeds(load(suite.name, layout), suite.seeds[:look])
        for sentence in _sentences(results):
            if sentence not in reported:
                say(sentence)
                reported.add(sentence)
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
        for sentence in (*primary_sentences(results, size), *decision_sentences(results, size))
    ]
