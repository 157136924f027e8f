"""The form of the attention: how many numbers it has per matrix, how they are held, where they start and end."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Combination = Literal["factored", "convex"]
Share = Literal["rank_one", "scalar"]
Parameterisation = Literal["clamped", "logits"]
SMALLEST = 1e-3
"""A random start of logits keeps this far from 0 and from 1, where they would be infinite."""


@dataclass(frozen=True)
class AttentionForm:
    """What the upper level trains for one matrix; the defaults are as published.

    rank r: columns of a1, for a share of rank one its number of rank-one terms. combination: the coefficient B of the
    pretrained weight (amix.mixup.weight_mixup). share: `rank_one`, A = a1 a2 / r; `scalar`, A = a, one number for the
    whole matrix. parameterisation: `clamped`, numbers brought back into [0, limit] after every step; `logits`, numbers
    of any size, the attention being their sigmoid. start: the attention before anything moves it. limit: the largest
    attention; above 1 a matrix goes further from the pretrained weight than the task weight has gone.

    Raises ValueError for an unknown word, a rank below 1, and parts that do not go together: a scalar with the factored
    combination (which needs two factors) or a rank; a start outside of [0, limit], for logits of ]0, 1[; a limit below
    1, or above 1 for anything but a clamped scalar.
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
            raise ValueError(f"logits cannot start at an attention of {self.start}: it must lie between 0 and 1")
        if not 0 <= self.start <= self.limit:
            raise ValueError(f"the attention starts between 0 and its limit {self.limit}, not at {self.start}")

    @property
    def first(self) -> float:
        """What every number is before anything moves it: the start, or its logit."""
        logits = self.parameterisation == "logits"
        return math.log(self.start / (1 - self.start)) if logits else self.start

    def numbers(self, attention: Tensor) -> Tensor:
        """The numbers that are this attention, or as near to it as they can be without being infinite."""
        if self.parameterisation == "clamped":
            return attention
        return attention.clamp(SMALLEST, 1 - SMALLEST).logit()

    def attention(self, numbers: Tensor) -> Tensor:
        """The attention that these numbers are, without their history of derivatives."""
        return numbers.detach() if self.parameterisation == "clamped" else torch.sigmoid(numbers.detach())

    def pulled_back_(self, gradient: Tensor, attention: Tensor) -> Tensor:
        """From the gradient of the attention, in place, to that of the numbers: for logits times a (1 - a)."""
        if self.parameterisation == "clamped":
            return gradient
        return gradient.mul_(attention * (1 - attention))
