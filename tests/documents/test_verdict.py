"""Every number in what the READMEs say of suite lowres-cpu is that of the records."""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy
import pytest

from amix.specs.recipe import Recipe
from amix.training.registry import find_method
from amix.training.settings import make_config
from results.analysis.claims import claims
from results.analysis.comparisons import against
from results.analysis.complete_seeds import of_seeds
from results.analysis.probabilities import LOG_LOSS, SCALED, loss_differences, run_probabilities
from results.loading.frame import Results, load
from results.loading.layout import ROOT, Layout
from results.stats.across_tasks import WelchSatterthwaite, welch_satterthwaite

README, RESULTS, AGWM = ROOT / "README.md", ROOT / "results" / "README.md", ROOT / "amix" / "agwm" / "README.md"
SIZE = "100-300"
CLASSIFIED = ["sst2", "qqp", "qnli"]
NAMES = r"MiniLM-L6|SST-2|F1|N/6|lowres-cpu"
"""Digits that are part of a name."""


@cache
def lowres() -> Results:
    """The suite of the first README's answer."""
    return load("lowres-cpu", Layout())


@cache
def seeded(suite: str, label: str, task: str) -> numpy.ndarray:
    """Scores of a row on a task for the seeds of suite `adapters`, in their order."""
    seeds = load("adapters", Layout()).plan.seeds
    runs = load(suite, Layout()).runs.query("label == @label and task == @task").set_index("seed")
    return runs.loc[list(seeds), "score"].to_numpy()


def tuned_less(label: str) -> WelchSatterthwaite:
    """Plain finetuning at the setting of suite `adapters` minus a row of lowres-cpu, mean of the two tasks."""
    tasks = ("sst2", "stsb")
    return welch_satterthwaite(
        [seeded("adapters", "vanilla", task) - seeded("lowres-cpu", label, task) for task in tasks]
    )


def shown(value: float, digits: int = 1) -> str:
    """A number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−")


def prose(readme: Path, first: str, last: str) -> str:
    """What stands between two marks, in one line."""
    text = readme.read_text(encoding="utf-8")
    return " ".join(text[text.index(first) : text.index(last)].split())


def scores() -> dict[tuple[str, str], float]:
    """Mean score of every (label, task), and of (label, '') over the tasks."""
    means = lowres().runs.groupby(["label", "task"])["score"].mean()
    return {**means.to_dict(), **{(label, ""): value for label, value in means.groupby("label").mean().items()}}


def passes() -> dict[str, float]:
    """Every method's passes over vanilla's."""
    total = lowres().runs.groupby("label")["passes"].sum()
    return {str(label): value / total["vanilla"] for label, value in total.items()}


def gained(task: str, label: str, other: str = "vanilla") -> float:
    """A method's mean score on a task minus another's."""
    return scores()[label, task] - scores()[other, task]


def log_loss(loss: str, label: str) -> tuple[float, float, float]:
    """A method's log-loss minus vanilla's, with its interval."""
    one = loss_differences(lowres(), SIZE, CLASSIFIED, loss)[label]
    return one.difference, one.low, one.high


def cell(task: str, label: str) -> tuple[float, bool]:
    """A method's difference from vanilla on a task, and whether it is significant."""
    row = against(lowres(), SIZE, "vanilla").set_index(["task", "label"]).loc[(task, label)]
    return float(row["difference"]), bool(row["p_holm"] <= 0.05)


def the_suite() -> list[str]:
    results = lowres()
    six = claims(of_seeds(results, results.plan.seeds[:6]), SIZE, "vanilla")["agwm"]
    sizes = load("sizes-minilm", Layout()).runs.groupby(["task", "size"])
    dev, majority = sizes["score"].mean(), sizes["majority"].median()
    qnli, rte = ("qnli", "300"), ("rte", "1000")
    assert dev["mrpc", "1000"] - majority["mrpc", "1000"] == pytest.approx(2, abs=0.5)
    assert set(results.runs["status"]) == {"ok"}
    return [
        f"The suite has {len(results.runs)} runs with ten seeds",
        "For SST-2 and STS-B this is 100",
        f"QNLI reaches {dev[qnli]:.0f} against {majority[qnli]:.0f} points at 300 and is at chance at 100",
        f"up to 1000 ({dev[rte]:.0f} against {majority[rte]:.0f})",
        "MNLI at 100 is at chance",
        "QQP at 100 is the weakest choice of the four: its majority class is the negative one, whose F1 is 0",
        "Seeds 7 to 10 and the rows",
        "on 80 % of the subset",
        f"AGWM was {six.difference:.1f} points ahead of plain finetuning ({shown(six.low)} to {six.high:.1f}, "
        f"p = {six.p_holm:.2f} after correction)",
    ]


def over_all_tasks() -> list[str]:
    found, points = claims(lowres(), SIZE, "vanilla"), scores()
    agwm, ahead = found["agwm"], claims(lowres(), SIZE, "two_stage")["agwm"]
    lost = {task: cell(task, "two_stage") for task in ("sst2", "qnli")}
    assert all(significant for _, significant in lost.values())
    assert max(abs(gained(task, "agwm")) for task in ("qqp", "qnli")) < 1, "the same"
    assert agwm.p_holm > 0.05
    assert passes()["agwm"] / passes()["two_stage"] == pytest.approx(4.5, abs=0.05)
    assert ahead.p_equivalent <= 0.05
    updates = lowres().runs.query("label == 'lora'")["passes"]
    return [
        f"hardly trains in {updates.min():.0f} to {updates.max():.0f} updates at its default rate (5e-4, five times",
        f"reaches {points['agwm', '']:.1f} points on average against vanilla's {points['vanilla', '']:.1f}, for "
        f"{passes()['agwm']:.1f} times the passes",
        f"excludes zero ({shown(agwm.low)} to {agwm.high:.1f})",
        f"nine comparisons the difference is not significant (p = {agwm.p_holm:.2f})",
        f"It comes from STS-B (+{gained('stsb', 'agwm'):.1f})",
        f"on SST-2 AGWM's mean is {-gained('sst2', 'agwm'):.1f} points lower",
        f"gain {gained('stsb', 'two_stage'):.1f} points on STS-B for {passes()['two_stage']:.1f} times the passes",
        f"lose {-lost['sst2'][0]:.1f} points on SST-2 and {-lost['qnli'][0]:.1f} on QNLI, both significantly",
        f"and {log_loss(LOG_LOSS, 'two_stage')[0]:.2f} nats of log-loss",
        f"{ahead.difference:.1f} points ahead of two stages ({shown(ahead.low)} to {ahead.high:.1f})",
        f"(p = {ahead.p_equivalent:.4f}, not corrected), though AGWM is {gained('qnli', 'agwm', 'two_stage'):.1f} "
        "points ahead on QNLI",
    ]


def the_longer_recipe() -> list[str]:
    agwm, two_stage = tuned_less("agwm"), tuned_less("two_stage")
    stsb = {label: seeded("lowres-cpu", label, "stsb").mean() for label in ("vanilla", "agwm")}
    runs = load("adapters", Layout()).runs.query("label == 'vanilla'")["passes"]
    assert runs.mean() == 2 * lowres().runs.query("label == 'vanilla' and task == 'stsb'")["passes"].mean()
    return [
        "chosen among six on dev sets, 20 epochs at 5e-5 in place of 10 at 1e-4",
        f"it reaches {seeded('adapters', 'vanilla', 'stsb').mean():.1f} points on STS-B, against {stsb['vanilla']:.1f} "
        f"of vanilla here and {stsb['agwm']:.1f} of AGWM",
        f"it is {agwm.mean:.1f} points ahead of AGWM ({shown(agwm.low)} to {agwm.high:.1f})",
        f"and {two_stage.mean:.1f} points ahead of two stages ({shown(two_stage.low)} to {two_stage.high:.1f})",
    ]


def single_tasks() -> list[str]:
    frame = against(lowres(), SIZE, "vanilla")
    marked = frame[(frame["p_holm"] <= 0.05) & ~frame["label"].isin(["lora", "frozen_logistic", "two_stage"])]
    named = {("qqp", "topk_layers"), ("qnli", "topk_layers"), ("stsb", "childtuning_d"), ("qnli", "childtuning_d")}
    assert set(zip(marked["task"], marked["label"], strict=True)) == named
    children = [claims(lowres(), SIZE, "vanilla")[f"childtuning_{kind}"] for kind in "df"]
    (lost,), (p,) = ({format(value, spec) for value in values} for values, spec in (
        ([-child.difference for child in children], ".1f"), ([child.p_holm for child in children], ".4f")
    ))  # fmt: skip
    assert float(p) > 0.05
    return [
        f"top-k layers on QQP (+{cell('qqp', 'topk_layers')[0]:.1f}) and on QNLI "
        f"({shown(cell('qnli', 'topk_layers')[0])})",
        f"Child-Tuning-D on STS-B ({shown(cell('stsb', 'childtuning_d')[0])}) and on QNLI "
        f"({shown(cell('qnli', 'childtuning_d')[0])})",
        f"both Child-Tunings are {lost} points below plain finetuning, which after correction is just not significant "
        f"(p = {p} for both)",
        f"far below finetuning ({scores()['frozen_logistic', '']:.1f} points)",
    ]


def probabilities() -> list[str]:
    frame = run_probabilities(lowres(), SIZE)
    means = frame.groupby(["label", "task"])[LOG_LOSS].mean().groupby("label").mean()
    raised = set(means.index[means > means["vanilla"]])
    assert raised == {"agwm", "two_stage"}
    scaled = {label: loss_differences(lowres(), SIZE, CLASSIFIED, SCALED)[label] for label in sorted(raised)}
    assert {one.seeds for one in scaled.values()} == {4}
    after = {label: (one.difference, shown(one.low, 2), f"{one.high:.2f}") for label, one in scaled.items()}
    return [
        f"log-loss rises from {means['vanilla']:.2f} to {means['agwm']:.2f} and {means['two_stage']:.2f} nats",
        "AGWM is then {:.2f} nats above vanilla ({} to {})".format(*after["agwm"]),
        "two stages {:.2f} ({} to {})".format(*after["two_stage"]),
    ]


PARTS = (the_suite, over_all_tasks, the_longer_recipe, single_tasks, probabilities)


@pytest.mark.parametrize("part", PARTS)
def test_what_is_said_of_lowres_cpu_agrees_with_the_records(part: Callable[[], list[str]]) -> None:
    text = prose(RESULTS, "## Real GLUE on MiniLM-L6", "<!-- lowres-cpu -->")
    for sentence in part():
        assert sentence in text


def test_no_number_in_what_is_said_of_lowres_cpu_is_without_a_test() -> None:
    text = prose(RESULTS, "`lowres-cpu`", "What it cannot show")
    for part in PARTS:
        for sentence in part():
            text = text.replace(sentence, "")
    left = re.sub(NAMES, "", re.sub(r"\]\([^)]*\)", "", text))
    assert re.findall(r".{0,30}\d.{0,30}", left) == []


def test_the_answer_in_the_first_readme_names_what_speaks_against_it() -> None:
    text = prose(README, "**The answer so far**", "## Two commands")
    tuned, after = seeded("adapters", "vanilla", "stsb"), log_loss(SCALED, "agwm")
    ahead = claims(lowres(), SIZE, "two_stage")["agwm"]
    for sentence in (
        f"plain finetuning reaches {tuned.mean():.1f} there, AGWM {seeded('lowres-cpu', 'agwm', 'stsb').mean():.1f}",
        f"within one point, uncorrected p = {ahead.p_equivalent:.4f}), on QNLI "
        f"{gained('qnli', 'agwm', 'two_stage'):.1f}",
        f"removes most of it (+{after[0]:.2f}, {shown(after[1], 2)} to {after[2]:.2f}, four seeds)",
        f"Two stages lose {-gained('sst2', 'two_stage'):.1f} points on SST-2 and {-gained('qnli', 'two_stage'):.1f} on "
        f"QNLI, both significant, and {log_loss(LOG_LOSS, 'two_stage')[0]:.2f} of log-loss",
        "with 20 epochs at half the rate, a setting seen later on six seeds",
    ):
        assert sentence in text
    assert len(tuned) == 6


def test_the_ablation_does_not_call_a_longer_recipe_useless() -> None:
    text, ahead = prose(AGWM, "- More steps", "- The released code"), tuned_less("agwm")
    assert f"{ahead.mean:.1f} points ahead of AGWM on the same two tasks and seeds" in text
    assert (
        f"({shown(ahead.low)} to +{ahead.high:.1f}), with {seeded('adapters', 'vanilla', 'stsb').mean():.1f} on" in text
    )


def test_the_longer_recipe_is_what_the_records_say_and_was_run_on_the_same_examples() -> None:
    seeds, recipes = load("adapters", Layout()).plan.seeds, {}
    for suite in ("lowres-cpu", "adapters"):
        results = load(suite, Layout())
        keys = results.runs.query("label == 'vanilla' and task in ('sst2', 'stsb')").set_index(["task", "seed"])["key"]
        records = {place: results.records[key] for place, key in keys.items()}
        recipes[suite] = {
            (one["spec"]["training"]["lr"], one["spec"]["training"]["epochs"]) for one in records.values()
        }
        examples = {place: one["data"]["ids_sha256"] for place, one in records.items()}
        recipes[f"{suite} examples"] = {place: examples[place] for place in examples if place[1] in seeds}
    assert recipes["lowres-cpu"] == {(1e-4, 10)}
    assert recipes["adapters"] == {(5e-5, 20)}
    assert recipes["adapters examples"] == recipes["lowres-cpu examples"]


def test_the_cheap_mixup_is_as_good_as_what_is_said_of_it() -> None:
    results = load("agwm-fast", Layout())
    text = prose(RESULTS, "## AGWM at a third", "The preset `agwm_fast` now searches")
    against_agwm, cheap = claims(results, SIZE, "agwm"), claims(results, SIZE, "agwm_fast")
    fast, gain = against_agwm["agwm_fast"], cheap["vanilla"]
    passes = results.runs.groupby("label")["passes"].sum()
    assert fast.p_equivalent < 0.0001
    assert set(results.runs["status"]) == {"ok"}
    three, full = (find_method(name) for name in ("agwm_fast", "agwm"))
    costs = [method(make_config(method, changes)).relative_passes(300, Recipe()) for method, changes in (
        (three, {"splits": 3}), (full, {}), (three, {}),
    )]  # fmt: skip
    for sentence in (
        f"({len(results.runs)} runs,",
        f"the difference is {shown(fast.difference, 2)} points ({shown(fast.low, 2)} to {fast.high:.2f}), p < 0.0001",
        f"at {passes['agwm_fast'] / passes['agwm']:.2f} times AGWM's passes",
        f"That is {costs[0]:.1f} times the passes of plain finetuning",
        f"where AGWM takes {costs[1]:.1f}",
        f"{-gain.difference:.1f} points ({-gain.high:.1f} to {-gain.low:.1f})",
        f"(p = {gain.p_holm:.3f} in this suite's family)",
        f"within {-cheap['two_stage'].difference:.2f} points of it ({shown(-cheap['two_stage'].high, 2)} to "
        f"{-cheap['two_stage'].low:.2f}) at {passes['two_stage'] / passes['vanilla']:.1f} times",
    ):
        assert sentence in text
    assert f"now searches one split, at {costs[2]:.1f} times" in prose(RESULTS, "The preset `agwm_fast`", "## SetFit")
