"""The rules by which a split's attention moves, by name; here also joint training and the random walk."""

from collections.abc import Mapping

import torch
from typing_extensions import override

from amix.agwm.attention_after import LearnedAfterwards
from amix.agwm.released_code import ReleasedCode
from amix.agwm.split_search import AttentionRule, FixedAttention, Search, SearchConfig
from amix.training.fit import Fit
from amix.training.method import Model


class JointSearch(Search):
    """Attention and task weights both follow the lower loss on the whole subset."""

    follows_upper_loss = False

    @classmethod
    @override
    def lower_count(cls, n_lower: int, n_train: int) -> int:
        """Return all examples: both follow one loss, so nothing is held out."""
        return n_train

    @classmethod
    @override
    def passes(cls, config: SearchConfig, iterations: int) -> int:
        """Count the lower pass only: it gives the gradients of both."""
        return iterations

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Pull back to the attention as well, if it moves in this iteration."""
        self.mixup.pull_back(attention=self.attention_turn(fit))

    @override
    def move_attention(self, model: Model, fit: Fit) -> None:
        """Take a step with the lower gradient."""
        self.step_attention(
            [torch.zeros_like(factor) if factor.grad is None else factor.grad for factor in self.mixup.attention]
        )


class RandomWalk(Search):
    """The attention's optimizer gets noise for a gradient: a control for the information in the hypergradient.

    Optimizer, rates and number of steps are those of the search. Entries wander less far than in a search: noise is
    independent from step to step and cancels in Adam's first moment.
    """

    follows_upper_loss = False

    @classmethod
    @override
    def passes(cls, config: SearchConfig, iterations: int) -> int:
        """Count the lower pass only: noise needs none."""
        return iterations

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Pull back to the task weights only."""
        self.mixup.pull_back()

    @override
    def move_attention(self, model: Model, fit: Fit) -> None:
        """Take a step with a gradient from N(0, 1)."""
        noise = [torch.randn(factor.shape, generator=self.noise).to(factor) for factor in self.mixup.attention]
        self.step_attention(noise)


RULES: Mapping[AttentionRule, type[FixedAttention]] = {
    "bilevel": Search,
    "joint": JointSearch,
    "fixed": FixedAttention,
    "random_walk": RandomWalk,
    "as_run": ReleasedCode,
    "after": LearnedAfterwards,
}
