"""Errors, power and seeds needed when testing after 6, 8 and 10 seeds, by simulation.

    python -m runners simulate sequential

Several methods are compared with one reference, whose scores all differences share. The rules compared are the
sequential test of this suite; the same sign flip after the last number of seeds only; and two that must not be used:
that flip repeated at every look at the full level, and the largest difference of all methods under common flips.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from results.stats.multiplicity import holm
from results.stats.sequential import Looks, joint_signs, sequential_p
from results.stats.sequential_family import step_down
from results.stats.simulations import GAP, SD

ALPHA = 0.05
DATA_SETS = 4000
"""Simulated data sets per setting in the committed files."""
LOOKS = Looks((6, 8, 10))
METHODS = (2, 3, 5, 10)
"""Numbers of methods, including the reference, when all are equal."""
COMPETING = 5
"""Number of methods when one is better."""
TASKS = (1, 3)
DATA = ("normal", "heavy tails", "failed runs")
COLLAPSED, FREEDOM = 0.1, 2
"""Share of runs that collapse by GAP points; degrees of freedom of the t distribution with heavy tails."""
GAINS = {1: (1.5, 2.5), 3: (0.75, 1.5)}
"""True advantage of the better method on every task, by number of tasks, in sds of a run that trains."""
SETTINGS = [(data, tasks, methods, 0.0) for data in DATA for tasks in TASKS for methods in METHODS]
SETTINGS += [(data, tasks, COMPETING, gain) for data in DATA for tasks in TASKS for gain in GAINS[tasks]]
SEQUENTIAL, FIXED, PEEKING, MAXIMUM = "sequential", "fixed", "every look at alpha", "maximum, common flips"
RULES = (SEQUENTIAL, FIXED, PEEKING, MAXIMUM)
DRAWS = 999
"""Sign patterns drawn if not enumerated; a test with fewer patterns is as valid and slightly less powerful."""


@dataclass(frozen=True)
class Outcome:
    """One rule in one setting; rates are over data sets, with their Monte-Carlo standard errors.

    Attributes:
        rule: One of RULES.
        data: Kind of scores, one of DATA.
        tasks: Number of tasks tested together.
        methods: Number of methods, including the reference.
        gain: True advantage of the first method in sds of a run.
        data_sets: Number of simulated data sets.
        error: Share of data sets in which a method equal to the reference was rejected.
        error_se: Its standard error.
        power: Share in which the better method was rejected; nan without one.
        power_se: Its standard error.
        seeds: Mean number of seeds of a comparison; those that are rejected stop.
        seeds_better: The same for the better method alone; nan without one.
    """

    rule: str
    data: str
    tasks: int
    methods: int
    gain: float
    data_sets: int
    error: float
    error_se: float
    power: float
    power_se: float
    seeds: float
    seeds_better: float


def simulate(data_sets: int, seed: int = 0, show: bool = False) -> list[Outcome]:
    """All rules in all settings.

    Args:
        data_sets: Number of data sets per setting.
        seed: Determines everything drawn.
        show: Whether to show a progress bar on the terminal.

    Returns:
        One outcome per rule and setting.

    Raises:
        ValueError: Without data sets.
    """
    if data_sets < 1:
        raise ValueError(f"data_sets: at least 1 needed, got {data_sets}")
    outcomes: list[Outcome] = []
    console = Console(stderr=True)
    for number, setting in enumerate(track(SETTINGS, "Simulating", console=console, disable=not show)):
        outcomes += _outcomes(*setting, data_sets, numpy.random.default_rng((seed, number)))
    return outcomes


def scores(data: str, shape: tuple[int, ...], generator: numpy.random.Generator) -> NDArray[numpy.float64]:
    """Scores of this shape and kind (one of DATA) in points, relative to their mean.

    Heavy tails are a t distribution scaled by SD, which is not its standard deviation (it has none).
    """
    if data == "heavy tails":
        return SD * generator.standard_t(FREEDOM, shape)
    drawn = generator.normal(0.0, SD, shape)
    if data == "failed runs":
        drawn[generator.random(shape) < COLLAPSED] -= GAP
    return drawn


def _outcomes(
    data: str, tasks: int, methods: int, gain: float, data_sets: int, generator: numpy.random.Generator
) -> list[Outcome]:
    # Per rule and data set: whether an equal method was rejected, whether the better one was, and seeds used.
    errors: dict[str, list[bool]] = {rule: [] for rule in RULES}
    finds: dict[str, list[bool]] = {rule: [] for rule in RULES}
    seeds: dict[str, list[NDArray[numpy.int64]]] = {rule: [] for rule in RULES}
    for number in range(data_sets):
        drawn = scores(data, (methods, tasks, LOOKS.seeds[-1]), generator)
        drawn[1] += gain * SD
        for rule, deciding in _rules(drawn[1:] - drawn[0], number).items():
            rejected = deciding > 0
            errors[rule].append(bool(rejected[1 if gain else 0 :].any()))
            finds[rule].append(bool(rejected[0]))
            last = rule in (FIXED, MAXIMUM)
            used = numpy.where(rejected & (not last), deciding, len(LOOKS.seeds)) - 1
            seeds[rule].append(numpy.array(LOOKS.seeds)[used])
    rule_outcomes = []
    for rule in RULES:
        error, power = float(numpy.mean(errors[rule])), float(numpy.mean(finds[rule])) if gain else math.nan
        used_seeds = numpy.array(seeds[rule])
        better = float(used_seeds[:, 0].mean()) if gain else math.nan
        rule_outcomes.append(
            Outcome(
                rule, data, tasks, methods, gain, data_sets, error, _standard_error(error, data_sets), power,
                _standard_error(power, data_sets), float(used_seeds.mean()), better,
            )
        )  # fmt: skip
    return rule_outcomes


def _standard_error(rate: float, data_sets: int) -> float:
    return math.sqrt(rate * (1 - rate) / data_sets)


def _rules(differences: NDArray[numpy.float64], seed: int) -> dict[str, NDArray[numpy.int64]]:
    # (comparisons, tasks, seeds) -> per rule the look that rejects each comparison, 0 for none. Every data set has its
    # own sign patterns, since a test with drawn patterns keeps its level on average over them.
    looks = len(LOOKS.seeds)
    joint = [joint_signs(list(own), LOOKS, seed, DRAWS) for own in differences]
    absolute = [one.at(0.0) for one in joint if one is not None]
    plain = numpy.array([[(sums >= sums[0]).mean() for sums in own] for own in absolute])
    sequential, _ = step_down([sequential_p(list(own), LOOKS, seed, DRAWS) for own in differences], looks, ALPHA)
    # Holm at every look, as if it were the only one.
    passed = numpy.array([holm(plain[:, look]) <= ALPHA for look in range(looks)])
    peeking = numpy.where(passed.any(axis=0), passed.argmax(axis=0) + 1, 0)
    sums = numpy.abs([one.sums[-1] for one in joint if one is not None])
    largest = sums.max(axis=0)
    common = numpy.array([(largest >= own[0] * (1 - 1e-10)).mean() <= ALPHA for own in sums])
    return {
        SEQUENTIAL: numpy.array(sequential),
        FIXED: looks * passed[-1],
        PEEKING: peeking,
        MAXIMUM: looks * common,
    }


def write(outcomes: Sequence[Outcome], folder: Path) -> list[Path]:
    """Write sequential.csv, one line per outcome, and sequential.md, a table for readers; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "sequential.csv", folder / "sequential.md"]
    with paths[0].open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Outcome)])
        for outcome in outcomes:
            writer.writerow([_text(value) for value in astuple(outcome)])
    paths[1].write_text("\n".join(_markdown(outcomes)) + "\n", encoding="utf-8")
    return paths


def _text(value: str | float) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6f}"
    return str(value)


def _markdown(outcomes: Sequence[Outcome]) -> Iterator[str]:
    count = outcomes[0].data_sets
    yield f"### Looking after {', '.join(map(str, LOOKS.seeds))} seeds: errors, power and seeds needed"
    yield ""
    yield (
        f"{count:,} simulated data sets per line, α = {ALPHA:g} over all methods and looks; ± is the Monte-Carlo "
        f"standard error. Failed runs: each run collapses by {GAP:g} points with probability {COLLAPSED:g}; heavy "
        f"tails: t with {FREEDOM} degrees of freedom. Rules: {SEQUENTIAL}, this suite's test with Holm over methods; "
        f"{FIXED}, the same flip after {LOOKS.seeds[-1]} seeds alone; {PEEKING}, that flip at every look, each at α; "
        f"{MAXIMUM}, after {LOOKS.seeds[-1]} seeds the largest difference over methods with one flip for all. The last "
        "two are here to show why they are not used."
    )
    yield ""
    yield "Probability of rejecting any method although all are equal to the reference:"
    yield ""
    yield "| Data | Tasks | Methods | " + " | ".join(RULES) + " |"
    yield "|---|---:|---:|" + "---:|" * len(RULES)
    groups: dict[tuple[str, int, int, float], dict[str, Outcome]] = {}
    for one in outcomes:
        groups.setdefault((one.data, one.tasks, one.methods, one.gain), {})[one.rule] = one
    for (data, tasks, methods, gain), own in groups.items():
        if not gain:
            cells = [f"{own[rule].error:.3f} ± {own[rule].error_se:.3f}" for rule in RULES]
            yield f"| {data} | {tasks} | {methods} | " + " | ".join(cells) + " |"
    yield ""
    yield "One method better on every task, with the gain in sds of a run: power to find it, and the seeds needed:"
    yield ""
    yield (
        f"| Data | Tasks | Methods | Gain | Power, {SEQUENTIAL} | Power, {FIXED} | Seeds of the better method | "
        f"Seeds, mean of all methods | Seeds, {FIXED} |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for (data, tasks, methods, gain), own in groups.items():
        if gain:
            one, other = own[SEQUENTIAL], own[FIXED]
            powers = [f"{x.power:.3f} ± {x.power_se:.3f}" for x in (one, other)]
            numbers = [f"{value:.1f}" for value in (one.seeds_better, one.seeds, other.seeds)]
            yield f"| {data} | {tasks} | {methods} | {gain:g} | " + " | ".join((*powers, *numbers)) + " |"
    yield ""
    yield "Made by: python -m runners simulate sequential"


def simulate_and_write(folder: Path, data_sets: int = DATA_SETS, seed: int = 0) -> list[Path]:
    """Simulate with a progress bar and write sequential.csv and .md to the folder."""
    return write(simulate(data_sets, seed, show=True), folder)
