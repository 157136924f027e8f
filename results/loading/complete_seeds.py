"""The part of a suite's results in which every row has the same seeds, while the suite is still running."""

from dataclasses import replace

from results.loading.frame import MISSING, Results


def complete_seeds(results: Results) -> tuple[int, ...]:
    """Seeds of which every planned run has left a record, in the plan's order."""
    incomplete = set(results.runs.loc[results.runs["status"] == MISSING, "seed"])
    there = set(results.runs["seed"])
    return tuple(seed for seed in results.plan.seeds if seed in there - incomplete)


def of_seeds(results: Results, seeds: tuple[int, ...]) -> Results:
    """The same suite as if it had been planned with these seeds only."""
    runs = {key: run for key, run in results.plan.runs.items() if run.seed in seeds}
    plan = results.plan.model_copy(update={"seeds": seeds, "runs": runs})
    frame = results.runs[results.runs["seed"].isin(seeds)].reset_index(drop=True)
    return replace(results, plan=plan, runs=frame, memory={})
