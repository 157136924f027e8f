"""The part of a suite's results in which every row has the same seeds, while the suite is still running."""

from dataclasses import replace

from amix.specs.store import FINISHED
from results.analysis.looks import next_rows
from results.loading.frame import Results


def complete_seeds(results: Results) -> tuple[int, ...]:
    """Seeds with nothing left to run, in the plan's order.

    Accidents are run again; a row that a look has decided gets no more seeds.
    """
    waiting = results.runs[~results.runs["status"].isin(FINISHED)]
    if results.plan.protocol.looks:
        waiting = waiting[waiting["label"].isin(next_rows(results))]
    finished = set(results.runs.loc[results.runs["status"].isin(FINISHED), "seed"])
    return tuple(seed for seed in results.plan.seeds if seed in finished - set(waiting["seed"]))


def of_seeds(results: Results, seeds: tuple[int, ...]) -> Results:
    """The same suite as if only these seeds had been planned."""
    runs = {key: run for key, run in results.plan.runs.items() if run.seed in seeds}
    plan = results.plan.model_copy(update={"seeds": seeds, "runs": runs})
    frame = results.runs[results.runs["seed"].isin(seeds)].reset_index(drop=True)
    return replace(results, plan=plan, runs=frame, cache={})
