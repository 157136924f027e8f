"""The answers and the kept promises that runners/README.md reports, against the committed scores and draws."""

import re

import pandas
import pytest

from results.loading.layout import ROOT

TEXT = (ROOT / "runners" / "README.md").read_text(encoding="utf-8")
TABLES = ROOT / "results" / "tables"
QUOTES = [" ".join(block.replace("> ", "").split()) for block in re.findall(r"(?:^> .*\n)+", TEXT, re.M)]


def kept(name: str) -> pandas.DataFrame:
    """The draws of a study."""
    return pandas.read_csv(TABLES / f"{name}.csv")


@pytest.mark.parametrize("name", ["own-data-cr", "own-data-150-cr", "own-data-150-trec", "own-data-150-sst5"])
def test_the_counts_are_those_of_the_draws(name: str) -> None:
    (line,) = [line for line in TEXT.splitlines() if f"{name}.csv)" in line]
    draws = kept(name)
    held = (
        ((draws.low <= draws.score_elsewhere) & (draws.score_elsewhere <= draws.high)).sum(),
        ((draws.promised_low <= draws.score_doubled) & (draws.score_doubled <= draws.promised_high)).sum(),
        (draws.loss_with_temperature < draws.loss_without_temperature).sum(),
    )
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells == [str(draws.rows.iloc[0]), *(f"{count} of {len(draws)}" for count in held)]


def test_the_temperature_of_the_frozen_encoder_mattered_little_on_questions() -> None:
    draws = kept("own-data-150-trec")
    frozen = draws[draws.chosen == "frozen_logistic"]
    assert (frozen.loss_with_temperature - frozen.loss_without_temperature).abs().max() < 0.02


@pytest.mark.parametrize(
    ("name", "cheaper"), [("cr", "vanilla"), ("trec", "frozen_logistic"), ("banking77", "tfidf_logistic")]
)
def test_the_answers_are_those_of_the_scores(name: str, cheaper: str) -> None:
    scores = pandas.read_csv(TABLES / f"tried-on-{name}.csv", header=0)
    scores.columns = ["row", "score", "low", "high", "minus", "minus_low", "minus_high", "p", *scores.columns[8:]]
    scores["row"] = scores.row.str.removesuffix(" ←")  # The chosen row's mark.
    best = scores.loc[scores.score.idxmax()]
    other, majority = (scores[scores.row == row].iloc[0] for row in (cheaper, "majority class"))
    (answer,) = [quote for quote in QUOTES if f"{best.row} scores highest: accuracy {best.score:.1f}" in quote]
    for words in (
        f"95 % interval {best.low:.1f} to {min(best.high, 100):.1f}; majority class {majority.score:.1f}.",
        f"The best of the cheaper rows, {cheaper}, is {-other.minus:.1f} points",
        f"p = {other.p:.2g} after Holm over {len(scores) - 1} comparisons",
    ):
        assert words in answer
    trained = scores[~scores.row.isin(["majority class", best.row])]
    costs = scores.set_index("row")[next(name for name in scores if name.startswith("Time"))]
    assert trained[costs[trained.row].to_numpy() < costs[best.row]].score.max() == other.score
