"""The main table of the seeds that are complete, while a sweep goes on and when it is stopped."""

from dataclasses import replace

from amix.specs.run_plan import PlanError
from results.loading.layout import Layout
from runners.cli.options import console


def show_complete_seeds(suite: str, layout: Layout) -> None:
    """Print the table, unless no seed is complete or every one is; of a suite that chooses settings none."""
    from results.loading.complete_seeds import complete_seeds, of_seeds
    from results.loading.frame import load
    from results.tabulating.main import main_table
    from results.tabulating.render.terminal import brief

    try:
        results = load(suite, layout)
    except (PlanError, OSError):  # The folder may be gone, which must not end a sweep.
        return
    seeds, planned = complete_seeds(results), len(results.plan.seeds)
    if results.plan.tuning is not None or not 0 < len(seeds) < planned:
        return
    part = of_seeds(results, seeds)
    table = main_table(part, part.plan.sizes[-1])
    console.print(brief(replace(table, title=f"{table.title}: {len(seeds)} of {planned} seeds"), console))
