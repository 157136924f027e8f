"""The form of the attention: how many numbers per matrix, how they are parameterised, their start and their limit."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Combination = Literal["factored", "convex"]
Share = Literal["rank_one", "scalar"]
Parameterisation = Literal["clamped", "logits"]
SMALLEST = 1e-3
"""A random start of logits stays this far away from 0 and 1, where logits are infinite."""


@dataclass(frozen=True)
class AttentionForm:
    """What the upper level trains for one matrix; the defaults are the published form.

    Args:
        rank: r, the number of rank-one terms of A, which is the number of columns of a1.
        combination: How B, the coefficient of the pretrained weight, follows from A (see amix.mixup.weight_mixup).
        share: `rank_one`: A = a1 a2 / r; `scalar`: A = a, one number for the whole matrix.
        parameterisation: `clamped`: numbers that are clamped to [0, limit] after every step; `logits`: unbounded
            numbers whose sigmoid is the attention.
        start: The initial attention.
        limit: The largest attention; above 1 the effective weight may move further from the pretrained weight than the
            task weight has.

    Raises:
        ValueError: An option is unknown, the rank is below 1, or options contradict each other: a scalar share with
            the factored combination (which needs two factors) or a rank above 1; a start outside [0, limit], or for
            logits outside (0, 1); a limit below 1, or above 1 for anything but a clamped scalar share.
    """

    rank: int = 1
    combination: Combination = "factored"
    share: Share = "rank_one"
    parameterisation: Parameterisation = "clamped"
    start: float = 1.0
    limit: float = 1.0

    def __post_init__(self) -> None:
        known = {
            "combination": get_args(Combination),
            "share": get_args(Share),
            "parameterisation": get_args(Parameterisation),
        }
        for field, words in known.items():
            if getattr(self, field) not in words:
                raise ValueError(f"{field} {getattr(self, field)!r} is unknown; known: {', '.join(words)}")
        if self.rank < 1:
            raise ValueError(f"the rank of the attention must be at least 1, not {self.rank}")
        if self.share == "scalar" and (self.combination, self.rank) != ("convex", 1):
            raise ValueError("a scalar share has one number per matrix: it needs combination 'convex' and rank 1")
        if self.limit < 1 or (self.limit > 1 and (self.share, self.parameterisation) != ("scalar", "clamped")):
            raise ValueError(f"the attention's limit is 1, or above 1 for a clamped scalar share, not {self.limit}")
        if self.parameterisation == "logits" and not 0 < self.start < 1:
            raise ValueError(f"logits cannot start at an attention of {self.start}: it must be between 0 and 1")
        if not 0 <= self.start <= self.limit:
            raise ValueError(f"the attention must start between 0 and its limit {self.limit}, not at {self.start}")

    @property
    def first(self) -> float:
        """The initial value of every trained number: the start, or its logit."""
        logits = self.parameterisation == "logits"
        return math.log(self.start / (1 - self.start)) if logits else self.start

    def numbers(self, attention: Tensor) -> Tensor:
        """Convert an attention to the trained numbers; logits are kept finite by clamping the attention first."""
        if self.parameterisation == "clamped":
            return attention
        return attention.clamp(SMALLEST, 1 - SMALLEST).logit()

    def attention(self, numbers: Tensor) -> Tensor:
        """Convert trained numbers to the attention, detached from the graph."""
        return numbers.detach() if self.parameterisation == "clamped" else torch.sigmoid(numbers.detach())

    def pulled_back_(self, gradient: Tensor, attention: Tensor) -> Tensor:
        """Turn dL/da into the gradient of the trained numbers, in place: for logits it is multiplied by a (1 - a)."""
        if self.parameterisation == "clamped":
            return gradient
        return gradient.mul_(attention * (1 - attention))
