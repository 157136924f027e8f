"""The main table of the complete seeds, printed while a sweep runs and when it is stopped."""

import contextlib
from dataclasses import replace

from results.loading.layout import Layout
from runners.cli.options import MOST_LINES, console

MOST_RUNS = 2000
"""Reading the records of more runs than this would hold up a sweep."""


def show_complete_seeds(suite: str, layout: Layout) -> None:
    """Print the table if some but not all seeds are complete; never for a suite that tunes.

    A record that cannot be read or shown must not end a sweep; it is reported afterwards.
    """
    with contextlib.suppress(Exception):
        _show(suite, layout)


def _show(suite: str, layout: Layout) -> None:
    from results.analysis.complete_seeds import complete_seeds, of_seeds
    from results.loading.frame import load
    from results.tabulating.main import main_table
    from results.tabulating.render.terminal import brief

    results = load(suite, layout)
    seeds, planned = complete_seeds(results), len(results.plan.seeds)
    if results.plan.tuning is not None or len(results.runs) > MOST_RUNS or not 0 < len(seeds) < planned:
        return
    part = of_seeds(results, seeds)
    table = main_table(part, part.plan.sizes[-1])
    titled = replace(table, title=f"{table.title}: {len(seeds)} of {planned} seeds")
    protocol = results.plan.protocol
    console.print(brief(titled, console, MOST_LINES, (protocol.reference, protocol.focus)))
