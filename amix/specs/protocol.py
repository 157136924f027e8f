"""Decisions that a suite makes before anyone looks at a score. Imports no torch."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from amix.specs.spec_model import Count, OneOrMore, Positive, SpecModel, refuse_repeated

SELECTIONS = ("last", "best_dev")
"""The rules by which the weights are chosen that are scored."""
Endpoint = Literal["score", "log_loss", "brier", "ece"]


def _only_score(endpoints: tuple[str, ...]) -> bool:
    return endpoints == ("score",)


def _none(looks: tuple[int, ...]) -> bool:
    return not looks


def _increasing(looks: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in zip(looks, looks[1:], strict=False)):
        raise ValueError(f"rising numbers of seeds such as [6, 8, 10] are needed, found {list(looks)}")
    return looks


class Protocol(SpecModel):
    """Reference and focus method, level, selection rule, margin, and when which endpoints are looked at."""

    reference: str = ""
    """Label of the row that the others are compared with; empty in a suite's file: the first row."""
    focus: str | None = None
    """Label of the row that the suite is about."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Level of the tests."""
    selection: Literal["last", "best_dev"] = "last"
    """The weights that are scored: the last ones, or those of the epoch best on dev."""
    margin: Positive = 1.0
    """Differences of fewer points do not matter."""
    split: Literal["test", "dev"] = "test"
    """What is scored; `dev` in a suite that chooses settings and must leave the test split alone."""
    looks: Annotated[OneOrMore[Count], AfterValidator(_increasing)] = Field(default=(), exclude_if=_none)
    """After how many seeds the tests are made; empty: once, after all of them."""
    endpoints: Annotated[OneOrMore[Endpoint], AfterValidator(refuse_repeated)] = Field(
        default=("score",), exclude_if=_only_score
    )
    """What is tested, the primary endpoint first."""

    def fitting(self, seeds: int) -> Self:
        """This protocol; ValueError where a suite of so many seeds cannot keep it."""
        if self.looks and self.looks[-1] > seeds:
            raise ValueError(f"looks: the last one is after {self.looks[-1]} seeds, and the suite has {seeds}")
        return self


class Tuning(SpecModel):
    """The search of a tuning suite: budget settings of every method, the first ones of a shuffle with this seed."""

    budget: Count
    """How many settings of every method are tried."""
    shuffle: int = 0
    """Seed of the shuffle of each method's grid."""
