"""The rules for the attention by their names; among them joint training, and a random walk."""

from collections.abc import Mapping

import torch

from amix.agwm.attention_after import LearnedAfterwards
from amix.agwm.released_code import AsRun
from amix.agwm.split_search import AttentionRule, FixedAttention, Search, SearchConfig
from amix.training.fit import Fit
from amix.training.method import Model


class JointSearch(Search):
    """Attention and task weights both follow the lower loss on the whole subset."""

    follows_upper_loss = False

    @classmethod
    def lower_count(cls, n_lower: int, n_train: int) -> int:
        """All examples: nothing is held out from a loss that both follow."""
        return n_train

    @classmethod
    def passes(cls, config: SearchConfig, iterations: int) -> int:
        """The lower pass gives the gradients of both."""
        return iterations

    def after_backward(self, model: Model, fit: Fit) -> None:
        """Keep the lower gradient of the attention as well, where it moves."""
        self.mixup.pull_back(attention=self.attention_turn(fit))

    def move_attention(self, model: Model, fit: Fit) -> None:
        """A step along the lower gradient."""
        self.step_attention(
            [torch.zeros_like(factor) if factor.grad is None else factor.grad for factor in self.mixup.attention]
        )


class RandomWalk(Search):
    """The attention's optimizer is fed noise: what the search is worth without information in the hypergradient.

    Same optimizer, rates and number of steps. Entries wander less far than in a search, because noise, which does not
    persist from step to step, cancels in Adam's first moment.
    """

    follows_upper_loss = False

    @classmethod
    def passes(cls, config: SearchConfig, iterations: int) -> int:
        """The lower pass; noise costs none."""
        return iterations

    def after_backward(self, model: Model, fit: Fit) -> None:
        """Only the task weights learn."""
        self.mixup.pull_back()

    def move_attention(self, model: Model, fit: Fit) -> None:
        """A step along N(0, 1)."""
        noise = [torch.randn(factor.shape, generator=self.noise).to(factor) for factor in self.mixup.attention]
        self.step_attention(noise)


RULES: Mapping[AttentionRule, type[FixedAttention]] = {
    "bilevel": Search,
    "joint": JointSearch,
    "fixed": FixedAttention,
    "random_walk": RandomWalk,
    "as_run": AsRun,
    "after": LearnedAfterwards,
}
