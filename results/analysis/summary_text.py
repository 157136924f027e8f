"""The answer to the suite's question in three sentences, computed from the statistics; if there is none, it says so."""

import math

from amix.specs.run_plan import RunPlan
from amix.specs.wording import counted
from results.analysis.cells import seed_averages
from results.analysis.claims import Claim, claims, primary_claims
from results.analysis.comparisons import SCALE
from results.analysis.looks import name_of_test, not_needed
from results.analysis.tuning import tuning_answer, tuning_question
from results.loading.frame import SCORED_AS_MAJORITY, Results
from results.loading.preregistration import named
from results.loading.wording import p_text, signed, size_words


def question(results: Results) -> str:
    """What the suite asks, in one sentence."""
    plan = results.plan
    if plan.tuning_budget is not None:
        return tuning_question(results)
    subject = plan.protocol.focus or "any method"
    sizes = " or ".join(size_words(size) for size in plan.sizes)
    if plan.runs_share_seeds:
        return f"Where does the spread of {plan.protocol.split} scores with {plan.encoder} come from, with {sizes}?"
    if len(plan.labels) < 2:
        return f"What {plan.protocol.split} score does {plan.labels[0]} reach with {plan.encoder}, with {sizes}?"
    return (
        f"Does {subject} finetune {plan.encoder} to a higher {plan.protocol.split} score "
        f"than {plan.protocol.reference}, with {sizes}?"
    )


def answer(results: Results, size: str) -> tuple[str, str, str]:
    """The estimate, the decision, and what else the runs show, at one size."""
    plan = results.plan
    if plan.tuning_budget is not None:
        return tuning_answer(results, size)
    if plan.runs_share_seeds:
        return _of_shared_seeds(results, size)
    by_label = claims(results, size, plan.protocol.reference)
    if not by_label:
        return _nothing(results, size)
    subject = by_label.get(plan.protocol.focus or "") or max(by_label.values(), key=lambda claim: claim.difference)
    decision = " ".join(filter(None, [_decision(subject, plan), _primary(results, size)]))
    return _estimate(results, size, subject), decision, _others(subject, by_label, results, size)


def _nothing(results: Results, size: str) -> tuple[str, str, str]:
    runs = results.runs[results.runs["size"] == size]
    scored = int(runs["score"].notna().sum())
    if len(results.plan.labels) < 2:
        reason = "There is one method only, so there is nothing to compare."
    else:
        reason = (
            f"No method has two seeds in common with the reference on every task{_unscored_tasks(results, size)}: "
            "nothing can be said over tasks."
        )
    return (
        f"With {size_words(size)}, {scored} of {len(runs)} planned runs have a score.",
        reason,
        "The tables show what is there; missing cells stay missing.",
    )


def _of_shared_seeds(results: Results, size: str) -> tuple[str, str, str]:
    runs = results.runs[results.runs["size"] == size]
    return (
        f"With {size_words(size)}, {int(runs['score'].notna().sum())} of {len(runs)} planned runs have a score.",
        "The runs share seeds of single sources of randomness, so that no test between methods holds and none is made.",
        "The tables show means and, once a method has all its runs on a task, each source's share of the variance.",
    )


def _unscored_tasks(results: Results, size: str) -> str:
    scored = results.runs[(results.runs["size"] == size) & results.runs["score"].notna()]
    missing = [task.title for name, task in results.plan.tasks.items() if name not in set(scored["task"])]
    return f" ({', '.join(missing)}: no scored run)" if missing and len(scored) else ""


def _estimate(results: Results, size: str, claim: Claim) -> str:
    reference = results.plan.protocol.reference
    averages = seed_averages(results, size)
    over = _over_tasks(results.plan)
    means = averages[[claim.label, reference]].dropna().mean()
    levels = ""
    if not means.isna().any():
        levels = f"{means[claim.label]:.1f} points against {means[reference]:.1f} for {reference}, "
    chosen = "" if claim.label == results.plan.protocol.focus else ", the highest of all methods,"
    return (
        f"With {size_words(size)}, {named(claim.label, results.plan)}{chosen} reaches {levels}a difference of "
        f"{signed(claim.difference)} points {over} ({_interval(claim)}n = {claim.seeds} paired seeds)."
    )


def _interval(claim: Claim) -> str:
    return "" if math.isnan(claim.low) else f"95 % interval {signed(claim.low)} to {signed(claim.high)}, "


def _decision(claim: Claim, plan: RunPlan) -> str:
    alpha, family = plan.protocol.alpha, claim.comparisons
    holm = f" after Holm over {family} comparisons with {plan.protocol.reference}" if family > 1 else ""
    if math.isnan(claim.low):
        return f"Nothing is decided before the first look, after {plan.protocol.looks[0]} seeds of every task."
    if claim.p_holm <= alpha:
        direction = "better" if claim.difference > 0 else "worse"
        surely = min(abs(claim.low), abs(claim.high)) > plan.protocol.margin
        amount = "by more" if surely else "though perhaps by less"
        return (
            f"On this benchmark {claim.label} is significantly {direction} ({name_of_test(plan)}, "
            f"{p_text(claim.p_holm)}{holm}), {amount} than the {plan.protocol.margin:g} "
            f"point{'s' * (plan.protocol.margin != 1)} that the protocol calls relevant."
        )
    if claim.floor * family > alpha:
        return (
            f"So few runs cannot show a difference: the smallest p of the exact test is {claim.floor:.2g}, "
            f"which{holm} does not reach {alpha:g}."
        )
    # The interval is not corrected for the number of comparisons, so that it may exclude zero all the same.
    excluded = claim.low > 0 or claim.high < 0
    verdict = "The interval alone excludes zero, but the difference is not significant"
    return (
        f"{verdict if excluded else 'That is no evidence of a difference'} "
        f"({name_of_test(plan)}, {p_text(claim.p_holm)}{holm}): "
        f"with this spread, {_detectable_words(claim.detectable)} would be found in four of five such experiments."
    )


def _primary(results: Results, size: str) -> str:
    found = primary_claims(results, size).values()
    family = len(results.plan.protocol.primary)
    corrected = f", Holm over {family}" if family > 1 else ""
    parts = [
        f"{claim.label} {signed(claim.difference)} points ({_interval(claim)}{p_text(claim.p_holm)})" for claim in found
    ]
    return f"Primary, apart from the others{corrected}: {'; '.join(parts)}." if parts else ""


def _detectable_words(points: float) -> str:
    if points > SCALE:
        return "no difference that two scores can have"
    return f"only a true difference of about {points:.1f} points"


def _others(subject: Claim, by_label: dict[str, Claim], results: Results, size: str) -> str:
    plan = results.plan
    passed = [c for c in by_label.values() if c.label != subject.label and c.p_holm <= plan.protocol.alpha]
    better = [named(claim.label, plan) for claim in passed if claim.difference > 0]
    worse = [named(claim.label, plan) for claim in passed if claim.difference < 0]
    others = (
        f"Of the other methods, significantly better than {plan.protocol.reference}: {', '.join(better) or 'none'}, "
        f"significantly worse: {', '.join(worse) or 'none'}; "
    )
    runs = results.runs[results.runs["size"] == size]
    spared = sum(count for (of, _, _), count in not_needed(results).items() if of == size)
    failed, absent = int(runs["status"].isin(SCORED_AS_MAJORITY).sum()), int(runs["score"].isna().sum()) - spared
    decided = f", and {spared} were not needed, as an earlier look had decided" if spared else ""
    beyond = ""
    if len(plan.tasks) > 1 and subject.floor_tasks * subject.comparisons > plan.protocol.alpha:
        beyond = f"; {len(plan.tasks)} tasks are too few to say anything about other tasks"
    elif len(plan.tasks) > 1:
        beyond = (
            f"; about tasks like these, the sign-flip test on task means gives {p_text(subject.p_tasks)} uncorrected"
        )
    return (
        f"{others if len(by_label) > 1 else ''}{failed} of {counted(len(runs), 'run')} failed or diverged and "
        f"{absent} have no score{decided}{beyond}."
    )


def _over_tasks(plan: RunPlan) -> str:
    titles = [task.title for task in plan.tasks.values()]
    return f"on average over {len(titles)} tasks" if len(titles) > 1 else f"on {titles[0]}"
