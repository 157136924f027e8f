"""Claims over all tasks: each method against one named method, about this benchmark and about tasks like these."""

import math
from dataclasses import dataclass, replace

from amix.specs.run_plan import Protocol
from results.analysis.cells import FEWEST_SEEDS, Scores, differences
from results.analysis.looks import decisions, exact, floor, ordered_differences, primary_decisions
from results.loading.frame import Results, cached
from results.loading.preregistration import families, pair_name
from results.stats import holm, sign_flip, t_test
from results.stats.across_tasks import stratified_sign_flip, task_means, welch_satterthwaite, wins_ties_losses
from results.stats.equivalence import equivalence_p
from results.stats.power import minimum_detectable_effect
from results.stats.sequential_family import Decision


@dataclass(frozen=True)
class Claim:
    """A method against another, averaged over tasks, in points.

    About this benchmark (these tasks, other seeds): the difference with its Welch-Satterthwaite interval low..high, p
    of the task-stratified sign flip and p_holm over the family of `comparisons`; floor is the smallest p possible,
    exact whether p counts every sign pattern.
    About tasks like these: p_tasks_t and p_tasks (t and sign flip on the task means) with its floor_tasks, and (wins,
    ties, losses). detectable is the true difference that a t-test finds with power 0.8 at alpha / comparisons, given
    the observed spread; p_equivalent is the larger p of the two one-sided tests that the difference is within the
    protocol's margin.

    If the plan has several looks, p, p_holm, floor and the interval are those of the sequential test, and everything is
    computed from the seeds up to the look that decided the comparison, or up to the latest one; before the first look
    p is 1 and there is no interval.
    """

    label: str
    difference: float
    low: float
    high: float
    p: float
    floor: float
    blocks: int
    seeds: int
    p_tasks_t: float
    p_tasks: float
    floor_tasks: float
    record: tuple[int, int, int]
    detectable: float
    p_equivalent: float
    exact: bool
    p_holm: float = math.nan
    comparisons: int = 0


@cached
def claims(results: Results, size: str, other: str) -> dict[str, Claim]:
    """Every method against `other` at one size, with Holm's correction; none for a method that lacks a whole task.

    Rows added after looking are corrected among themselves.
    """
    family = [label for label in results.plan.labels if label != other]
    gaps = {label: [differences(results, size, task, label, other) for task in results.plan.tasks] for label in family}
    complete = {label: own for label, own in gaps.items() if min(len(task) for task in own) >= FEWEST_SEEDS}
    if not complete:
        return {}
    if results.plan.protocol.looks:
        decided = decisions(results, size, other)
        counts = {label: len(own) for own in families(decided, results.plan) for label in own}
        return {
            label: _sequential(results, size, (label, other), decided[label], counts[label], label)
            for label in complete
            if label in decided
        }
    by_label: dict[str, Claim] = {}
    for corrected in families(complete, results.plan):
        own = {label: complete[label] for label in corrected}
        by_label |= _corrected(own, results.plan.protocol, len(own))
    return {label: by_label[label] for label in complete}


@cached
def primary_claims(results: Results, size: str) -> dict[str, Claim]:
    """The protocol's primary comparisons at one size, by the names of their pairs, corrected among themselves.

    The family has all of them; one that lacks a whole task has no claim yet.
    """
    plan = results.plan
    pairs = {pair_name(pair): pair for pair in plan.protocol.primary}
    gaps = {name: [differences(results, size, task, *pair) for task in plan.tasks] for name, pair in pairs.items()}
    complete = {name: own for name, own in gaps.items() if min(len(task) for task in own) >= FEWEST_SEEDS}
    if plan.protocol.looks:
        decided = primary_decisions(results, size)
        return {name: _sequential(results, size, pairs[name], decided[name], len(pairs), name) for name in complete}
    return _corrected(complete, plan.protocol, len(pairs))


def _sequential(
    results: Results, size: str, rows: tuple[str, ...], decision: Decision, family: int, name: str
) -> Claim:
    plan = results.plan
    gaps = [ordered_differences(results, size, task, *rows) for task in plan.tasks]
    before = [differences(results, size, task, *rows) for task in plan.tasks]
    used = [task[: decision.seeds] for task in gaps] if decision.look else before
    claim = _claim(name, used, plan.protocol.alpha / family, plan.protocol.margin)
    low, high = (decision.low, decision.high) if decision.look else (math.nan, math.nan)
    return replace(
        claim, p=decision.p, p_holm=decision.p_adjusted, floor=floor(decision, plan), low=low, high=high,
        comparisons=family, exact=exact(len(plan.tasks), plan),
    )  # fmt: skip


def _corrected(gaps: dict[str, list[Scores]], protocol: Protocol, family: int) -> dict[str, Claim]:
    if not gaps:
        return {}
    level = protocol.alpha / family
    by_label = {label: _claim(label, own, level, protocol.margin) for label, own in gaps.items()}
    # A comparison of the family that cannot be made yet counts as one that shows nothing.
    adjusted = holm([claim.p for claim in by_label.values()] + [1.0] * (family - len(gaps)))
    return {
        label: replace(claim, p_holm=float(p), comparisons=family)
        for (label, claim), p in zip(by_label.items(), adjusted, strict=False)
    }


def all_exact(by_label: dict[str, Claim]) -> bool:
    """Whether no p of these claims comes from drawn sign patterns."""
    return all(claim.exact for claim in by_label.values())


def planned_comparisons(by_label: dict[str, Claim]) -> int:
    """How many claims are corrected together: the number of planned ones, the largest family."""
    return max(claim.comparisons for claim in by_label.values())


def _claim(label: str, gaps: list[Scores], level: float, margin: float) -> Claim:
    test = stratified_sign_flip(gaps)
    interval = welch_satterthwaite(gaps)
    means = task_means(gaps)
    over_tasks = sign_flip(means)
    seeds = min(len(task) for task in gaps)
    # With equal weights of all tasks, se x sqrt(n) is the spread of a seed's average difference.
    spread = interval.standard_error * math.sqrt(seeds)
    return Claim(
        label=label,
        difference=test.mean,
        low=interval.low,
        high=interval.high,
        p=test.p,
        floor=test.floor,
        blocks=test.n,
        seeds=seeds,
        p_tasks_t=t_test(means),
        p_tasks=over_tasks.p,
        floor_tasks=over_tasks.floor,
        record=wins_ties_losses(means),
        detectable=spread * minimum_detectable_effect(seeds, level),
        p_equivalent=equivalence_p(interval.mean, interval.standard_error, interval.degrees_of_freedom, margin),
        exact=test.exact,
    )
