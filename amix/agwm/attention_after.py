"""The attention learned after the task weights: a WiSE-FT whose coefficients are chosen on held-out examples.

WiSE-FT (Wortsman et al. 2022, section 3) goes from the pretrained to the finetuned weights by one coefficient for all
of them, given beforehand. Here a split trains its task weights alone, and then descends the loss of its held-out part

    min over a of  L2(a o W + (1 - a) o W0)       W at rest, dropout off

by the derivative in closed form (amix.mixup.weight_mixup). It has no implicit term: the task weights no longer follow
the attention, and cannot make up for it. The mean of a over the splits takes effect after the second stage, which
trains the task weights alone as well: put before it, it would be trained away, as the ablation saw it happen. With
`average: attention` the second stage is plain finetuning, and its weights are those of `vanilla` to the bit.
"""

import copy

import torch
from torch import Tensor

from amix.agwm.diagnostics import Noted
from amix.agwm.mixed_training import Mixed
from amix.agwm.search_tracker import SearchTracker
from amix.agwm.split_search import FixedAttention, SearchConfig, attention_optimizer
from amix.agwm.splits import endless_batches
from amix.data.encoded import Batch
from amix.mixup.weight_mixup import WeightMixup
from amix.training.fit import Diverged, Fit
from amix.training.loop import train
from amix.training.method import MethodError, Model


class LearnedAfterwards(FixedAttention):
    """A split whose attention is 1 while the task weights train, and then moves while they stand still."""

    learns_afterwards = True

    @classmethod
    def check(cls, config: SearchConfig) -> None:
        """The task weights train alone, which takes an attention that can be 1.

        Raises:
            MethodError: It cannot.
        """
        super().check(config)
        if config.parameterisation == "logits":
            raise MethodError("attention 'after' trains the task weights at an attention of 1, which no logit has")

    def search(self, model: Model, fit: Fit) -> None:
        """Train the task weights, then the attention."""
        with self.mixup.holding(ones(self.mixup)):
            train(self, model, fit)
        model.eval()
        with fit.cost.timed("train"):
            self.learn(model, fit)
        self.tracker.write(fit)

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Begin to note."""
        self.tracker = SearchTracker(self.mixup)

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The lower loss, noted."""
        loss = super().loss(model, batch, fit)
        self.tracker.note(Noted.LOWER_LOSS, loss.detach())
        return loss

    def learn(self, model: Model, fit: Fit) -> None:
        """Descend the held-out loss along the attention.

        Raises:
            Diverged: That loss is no longer a finite number.
        """
        steps = self.passes_afterwards(self.config, len(self.held_out), fit.recipe.batch_size)
        optimizer, schedule = attention_optimizer(self.config, self.mixup, steps)
        batches = endless_batches(fit, self.held_out)
        for step in range(steps):
            batch = next(batches)
            loss = fit.task_loss(fit.logits(model, batch), batch)
            gradients = fit.gradients(loss, list(self.mixup.effective), allow_unused=True, materialize_grads=True)
            for factor, gradient in zip(self.mixup.attention, self.mixup.attention_gradients(gradients), strict=True):
                factor.grad = gradient
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            self.mixup.clamp()
            self.mixup.write()
            self.tracker.note(Noted.UPPER_LOSS, loss.detach())
            self.tracker.note_attention(fit.step + step + 1)
        if not bool(loss.isfinite()):
            raise Diverged(f"stage {fit.stage}: the loss of the held-out part is {loss.item()}")

    @classmethod
    def finetune(cls, config: SearchConfig, mixup: WeightMixup, model: Model, fit: Fit) -> Model:
        """Train the task weights alone; the attention takes effect in what is evaluated, and at the end."""
        found = [factor.detach().clone() for factor in mixup.attention]
        with mixup.holding(ones(mixup)):
            train(MixedWhenEvaluated(config, mixup, found), model, fit)
        return model


class MixedWhenEvaluated(Mixed):
    """Training of the task weights alone, evaluated under a given attention."""

    def __init__(self, config: SearchConfig, mixup: WeightMixup, attention: list[Tensor]) -> None:
        super().__init__(config, mixup)
        self.attention = attention

    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """A copy under that attention."""
        with self.mixup.holding(self.attention):
            return copy.deepcopy(model)


def ones(mixup: WeightMixup) -> list[Tensor]:
    """The attention under which the task weights are alone."""
    return [torch.ones_like(factor) for factor in mixup.attention]
