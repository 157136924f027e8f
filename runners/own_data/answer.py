"""The answer in plain words."""

from collections.abc import Mapping

from amix.specs.tasks import Task
from results.loading.wording import duration, listed, metric_words, p_text, signed
from results.stats.cross_validation import Resampled
from runners.own_data.curves import MORE, Curves
from runners.own_data.standings import ALPHA, Standing, Standings

SHOWN_CURVES = 2


def points(value: float) -> str:
    """A score between 0 and 1 in points."""
    return f"{100 * value:.1f}".replace("-", "−")


def interval(found: Resampled) -> str:
    """An interval of a score in points, in words."""
    return f"95 % interval {points(found.low)} to {points(min(found.high, 1.0))}"


def between(found: Resampled) -> str:
    """An interval of a difference in points."""
    return f"{signed(100 * found.low)} to {signed(100 * found.high)}"


def answer(task: Task, found: Standings, curves: Curves | None, frozen: str, kinds: Mapping[str, str]) -> list[str]:
    """Sentences: the best row, the one chosen and why, what it costs, and what more labels would do."""
    said = [_best(task, found), _choice(found)]
    if not found.learnt:
        said.append(
            "No row is surely better than giving every text the same answer: there are too few rows, or the label does "
            "not follow from the text. Do not rely on the model."
        )
    if curves is not None:
        finetuned = finetuned_row(found, kinds)
        said += [_more_labels(found, curves), curves.overtakes(finetuned, frozen) if finetuned else ""]
    return [sentence for sentence in said if sentence]


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
        return f"{chosen.label} is trained, as you asked{_beside_best(found)}."
    if chosen is not best:
        assert chosen.difference is not None
        times = f"{best.seconds / chosen.seconds:.2g} times the time" if chosen.seconds > 0 else "more time"
        return (
            f"{chosen.label} is as good and cheaper, with {points(chosen.score.mean)} ({interval(chosen.score)}): "
            f"{best.label} is {_apart(chosen.difference)} above it, {_chance(chosen, found)}, and takes {times} "
            f"({duration(best.seconds)} against {duration(chosen.seconds)} a training). So {chosen.label} is chosen."
        )
    cheaper = [row for row in found.rows if row.seconds < best.seconds and row.is_model]
    if not cheaper:
        return f"No row is cheaper, so {best.label} is chosen ({duration(best.seconds)} a training)."
    nearest = max(cheaper, key=lambda row: row.score.mean)
    assert nearest.difference is not None
    return (
        f"The best of the cheaper rows, {nearest.label}, is {_apart(nearest.difference)} below it, "
        f"{_chance(nearest, found)}. So {best.label} is chosen ({duration(best.seconds)} a training)."
    )


def _beside_best(found: Standings) -> str:
    """How the row that was asked for stands to the best one."""
    best, chosen = found.best, found.chosen
    if chosen.difference is None:
        return f" ({duration(chosen.seconds)} a training); no row scores higher"
    return (
        f": {best.label} is {_apart(chosen.difference)} above it, {_chance(chosen, found)} "
        f"({duration(best.seconds)} against {duration(chosen.seconds)} a training)"
    )


def _apart(found: Resampled) -> str:
    """How far the best row is above another one, of whose difference from the best this is the test."""
    return f"{points(-found.mean)} points ({signed(-100 * found.high)} to {signed(-100 * found.low)})"


def _chance(row: Standing, found: Standings) -> str:
    if row.p is None:
        return "which cannot be tested"
    compared = sum(one.difference is not None for one in found.rows)
    corrected = f" after Holm over {compared} comparisons" if compared > 1 else ""
    more = "which is more than chance" if row.p <= ALPHA else "which chance alone can give"
    return f"{more} ({p_text(row.p)}{corrected}, {found.words})"


def _more_labels(found: Standings, curves: Curves) -> str:
    parts: list[str] = []
    for label in dict.fromkeys((found.chosen.label, found.best.label, *curves.curves)):
        gain = curves.gain(label)
        if gain is not None and len(parts) < SHOWN_CURVES:
            parts.append(f"about {signed(100 * gain.mean)} points for {label} ({between(gain)})")
    if not parts:
        return ""
    return (
        f"{MORE} more labels: {', '.join(parts)}, by a power law through {listed(curves.sizes)} training rows, which "
        "cannot see where a curve levels off."
    )


def finetuned_row(found: Standings, kinds: Mapping[str, str]) -> str:
    """The best row that changes the encoder; "" where there is none."""
    return next((row.label for row in found.trained if kinds.get(row.label) != "classical"), "")
