"""The answer of a comparison in plain words."""

from collections.abc import Mapping

from amix.specs.task import Task
from results.loading.wording import duration, listed, metric_words, p_text, signed
from results.stats.cross_validation import Resampled
from runners.own_data.curves import MORE, Curves
from runners.own_data.standings import ALPHA, Standing, Standings

SHOWN_CURVES = 2
WIDEST = 0.5
"""Width of the widest interval of a gain that still says something."""


def points(value: float) -> str:
    """A score between 0 and 1 in points."""
    return f"{100 * value:.1f}".replace("-", "−")


def interval(score: Resampled) -> str:
    """The interval of a score in points, in words."""
    return f"95 % interval {points(score.low)} to {points(score.high)}"


def between(difference: Resampled) -> str:
    """The interval of a difference in points."""
    return f"{signed(100 * difference.low)} to {signed(100 * difference.high)}"


def answer(task: Task, found: Standings, curves: Curves | None, frozen: str, kinds: Mapping[str, str]) -> list[str]:
    """The answer in sentences: the best row, the chosen one and why, its cost, and the effect of more labels.

    Args:
        task: the task of the file.
        found: the standings of the rows.
        curves: learning curves, if there are any.
        frozen: label of the row that leaves the encoder unchanged.
        kinds: kind of method of each row.
    """
    sentences = [_best(task, found), _choice(found)]
    if not found.learnt:
        sentences.append(
            "No row is significantly better than giving every text the same answer: there are too few rows, or the "
            "label does not follow from the text. Do not rely on the model."
        )
    if curves is not None:
        finetuned = finetuned_row(found, kinds)
        sentences += [_more_labels(found, curves), curves.overtakes(finetuned, frozen) if finetuned else ""]
    return [sentence for sentence in sentences if sentence]


def _best(task: Task, found: Standings) -> str:
    best = found.best
    metric = metric_words(task.metrics[0], task.labels[task.positive_class] if task.labels else "")
    floor = f"; {found.majority.label} {points(found.majority.score.mean)}"
    return (
        f"On your texts {best.label} scores highest: {metric} {points(best.score.mean)}, {interval(best.score)}{floor}."
    )


def _choice(found: Standings) -> str:
    best, chosen = found.best, found.chosen
    if found.asked:
        return f"{chosen.label} is trained, as you asked{_compared_with_best(found)}."
    if chosen is not best:
        assert chosen.difference is not None
        times = f"{best.seconds / chosen.seconds:.2g} times the time" if chosen.seconds > 0 else "more time"
        return (
            f"{chosen.label} is about as good and cheaper, with {points(chosen.score.mean)} "
            f"({interval(chosen.score)}): {best.label} is {_apart(chosen.difference)} above it, "
            f"{_chance(chosen, found)}, and takes {times} ({duration(best.seconds)} against "
            f"{duration(chosen.seconds)} per training). So {chosen.label} is chosen."
        )
    cheaper = [row for row in found.rows if row.seconds < best.seconds and row.is_model]
    if not cheaper:
        return f"No row is cheaper, so {best.label} is chosen ({duration(best.seconds)} per training)."
    nearest = max(cheaper, key=lambda row: row.score.mean)
    assert nearest.difference is not None
    return (
        f"The best of the cheaper rows, {nearest.label}, is {_apart(nearest.difference)} below it, "
        f"{_chance(nearest, found)}. So {best.label} is chosen ({duration(best.seconds)} per training)."
    )


def _compared_with_best(found: Standings) -> str:
    """How the row that was asked for compares with the best one."""
    best, chosen = found.best, found.chosen
    if chosen.difference is None:
        return f" ({duration(chosen.seconds)} per training); no row scores higher"
    return (
        f": {best.label} is {_apart(chosen.difference)} above it, {_chance(chosen, found)} "
        f"({duration(best.seconds)} against {duration(chosen.seconds)} per training)"
    )


def _apart(difference: Resampled) -> str:
    """How far the best row is above another row, from that row's (negative) difference from the best."""
    return f"{points(-difference.mean)} points ({signed(-100 * difference.high)} to {signed(-100 * difference.low)})"


def _chance(row: Standing, found: Standings) -> str:
    if row.p is None:
        return "which cannot be tested"
    compared = sum(other.difference is not None for other in found.rows)
    corrected = f" after Holm over {compared} comparisons" if compared > 1 else ""
    verdict = "which is more than chance" if row.p <= ALPHA else "which may be chance"
    return f"{verdict} ({p_text(row.p)}{corrected}, {found.words})"


def _more_labels(found: Standings, curves: Curves) -> str:
    known: list[str] = []
    unknown: list[str] = []
    for label in dict.fromkeys((found.chosen.label, found.best.label, *curves.curves)):
        gain = curves.gain(label)
        if gain is None or len(known) + len(unknown) >= SHOWN_CURVES:
            continue
        if gain.high - gain.low <= WIDEST:
            known.append(f"about {signed(100 * gain.mean)} points for {label} ({between(gain)})")
        else:
            unknown.append(label)
    sentences = []
    if known:
        sentences.append(
            f"{MORE} more labels: {', '.join(known)}, by a power law through {listed(curves.sizes)} training rows, "
            "which cannot show where a curve levels off."
        )
    if unknown:
        sentences.append(f"What {MORE} more labels would bring {listed(unknown)} cannot be told from so few rows.")
    return " ".join(sentences)


def finetuned_row(found: Standings, kinds: Mapping[str, str]) -> str:
    """The best row that trains the encoder; "" if there is none."""
    return next((row.label for row in found.trained if kinds.get(row.label) != "classical"), "")
