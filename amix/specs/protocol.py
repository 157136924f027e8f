"""Decisions that a suite makes before anyone sees a score. Imports no torch."""

from collections.abc import Container
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from amix.specs.data_errors import shown
from amix.specs.spec_model import Count, ItemsOf, OneOrMore, Positive, SpecModel, refuse_repeated

SELECTIONS = ("last", "best_dev")
"""The rules for selecting the weights to score."""
Endpoint = Literal["score", "log_loss", "brier", "ece"]


def _only_score(endpoints: tuple[str, ...]) -> bool:
    return endpoints == ("score",)


def _none(values: tuple[object, ...]) -> bool:
    return not values


def _increasing(looks: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in zip(looks, looks[1:], strict=False)):
        raise ValueError(f"rising numbers of seeds are needed, such as [6, 8, 10], found {list(looks)}")
    return looks


def _pairs(pairs: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    for pair in pairs:
        if len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"pairs of two rows are needed, such as [[agwm, vanilla]], found {shown(list(pair))}")
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise ValueError("a pair of rows is listed more than once")
    return pairs


class Protocol(SpecModel):
    """Reference and focus, level, selection rule, margin, endpoints, and when the tests are made."""

    reference: str = ""
    """Label of the row that the others are compared with; empty in a suite's file: the first row."""
    focus: str | None = None
    """Label of the row that the suite is about."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Significance level of the tests."""
    selection: Literal["last", "best_dev"] = "last"
    """The weights to score: the last ones, or those of the epoch with the best dev score."""
    margin: Positive = 1.0
    """Largest difference, in points, that does not matter."""
    split: Literal["test", "dev"] = "test"
    """The split to score; `dev` in a suite that chooses settings and must not use the test split."""
    looks: Annotated[OneOrMore[Count], AfterValidator(_increasing)] = Field(default=(), exclude_if=_none)
    """Numbers of seeds after which the tests are made; empty: once, after all seeds."""
    endpoints: Annotated[OneOrMore[Endpoint], AfterValidator(refuse_repeated)] = Field(
        default=("score",), exclude_if=_only_score
    )
    """The scores that are tested, the primary endpoint first."""
    primary: Annotated[ItemsOf[ItemsOf[str]], Field(min_length=1), AfterValidator(_pairs)] = Field(
        default=(), exclude_if=_none
    )
    """Pairs of rows, the first minus the second, that the suite was made for; tested as a family of their own."""

    @model_validator(mode="after")
    def _endpoints_can_be_tested(self) -> Self:
        others = [name for name in self.endpoints if name != "score"]
        if others and (self.selection, self.split) != ("last", "test"):
            raise ValueError(
                f"endpoints: {', '.join(others)} cannot be tested with selection {self.selection} and split "
                f"{self.split}; logits are stored of the last step and the test split only"
            )
        if self.looks and self.endpoints[0] != "score":
            raise ValueError(
                f"endpoints: found {self.endpoints[0]} first; with looks it must be score, which decides who gets more "
                "seeds"
            )
        return self

    def among(self, labels: Container[str]) -> Self:
        """Return this protocol without the focus and the primary pairs of rows that are not among these."""
        focus = self.focus if self.focus is not None and self.focus in labels else None
        primary = tuple(pair for pair in self.primary if all(label in labels for label in pair))
        return self.model_copy(update={"focus": focus, "primary": primary})

    def fitting(self, seeds: int) -> Self:
        """Return this protocol if it suits a suite with this number of seeds.

        Raises:
            ValueError: The last look is after more seeds than there are.
        """
        if self.looks and self.looks[-1] > seeds:
            raise ValueError(f"looks: the last one is after {self.looks[-1]} seeds, and the suite has {seeds}")
        return self


class Tuning(SpecModel):
    """How a tuning suite tunes: it tries the first settings of each method's shuffled grid."""

    budget: Count
    """Number of settings that are tried for every method."""
    shuffle: int = 0
    """Seed of the shuffle of each method's grid."""
