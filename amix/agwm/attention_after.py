"""Attention learned after the task weights: WiSE-FT with coefficients that are learned on held-out examples.

WiSE-FT (Wortsman et al. 2022, section 3) interpolates between pretrained and finetuned weights, with one fixed
coefficient for all of them. Here each split trains only its task weights, and then minimises the held-out loss

    min over a of  L2(a o W + (1 - a) o W0)       W fixed, dropout off

with the closed-form derivative (amix.mixup.weight_mixup). There is no implicit term: the task weights no longer follow
the attention, and cannot compensate for it. The mean of a over the splits is applied after the second stage, which also
trains only the task weights: applied before it, it would be trained away, as in the ablation. With
`average: attention` the second stage is plain finetuning, and its weights are bit-identical to those of `vanilla`.
"""

import copy
from functools import partial

import torch
from torch import Tensor
from typing_extensions import override

from amix.agwm.diagnostics import Noted
from amix.agwm.mixed_training import Mixed
from amix.agwm.search_tracker import SearchTracker
from amix.agwm.split_search import FixedAttention, SearchConfig, attention_optimizer
from amix.agwm.splits import endless_batches
from amix.data.encoded import Batch
from amix.mixup.hypergradient import gradients_of
from amix.mixup.weight_mixup import WeightMixup
from amix.training.fit import Diverged, Fit
from amix.training.loop import train
from amix.training.method import MethodError, Model


class LearnedAfterwards(FixedAttention):
    """A split whose attention is 1 while the task weights train, and is then learned while they are fixed."""

    learns_afterwards = True

    @classmethod
    @override
    def check(cls, config: SearchConfig) -> None:
        """Refuse logits as well: the task weights train at an attention of exactly 1.

        Raises:
            MethodError: This rule cannot work with the settings.
        """
        super().check(config)
        if config.parameterisation == "logits":
            raise MethodError("attention 'after' trains the task weights at attention 1, which logits cannot reach")

    @override
    def search(self, model: Model, fit: Fit) -> None:
        """Train the task weights, then the attention."""
        with self.mixup.holding(ones(self.mixup)):
            train(self, model, fit)
        model.eval()
        with fit.cost.timed("train"):
            self.learn(model, fit)
        self.tracker.write(fit)

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Start the diagnostics."""
        self.tracker = SearchTracker(self.mixup)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """Compute the lower loss, and record it in the diagnostics."""
        loss = super().loss(model, batch, fit)
        self.tracker.note_lower_loss(loss, fit)
        return loss

    def learn(self, model: Model, fit: Fit) -> None:
        """Minimise the held-out loss over the attention.

        Raises:
            Diverged: The held-out loss is no longer finite.
        """
        steps = self.passes_afterwards(self.config, len(self.held_out), fit.recipe.batch_size)
        optimizer, schedule = attention_optimizer(self.config, self.mixup, steps)
        batches = endless_batches(fit, self.held_out)
        for step in range(steps):
            upper = partial(fit.part_losses, partial(super().loss, model, fit=fit), next(batches))
            gradients, loss = gradients_of(upper, list(self.mixup.effective), fit.gradients)
            for factor, gradient in zip(self.mixup.attention, self.mixup.attention_gradients(gradients), strict=True):
                factor.grad = gradient
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            self.mixup.clamp()
            self.mixup.write()
            self.tracker.note(Noted.UPPER_LOSS, loss)
            self.tracker.note_attention(fit.step + step + 1)
        if not bool(loss.isfinite()):
            raise Diverged(f"stage {fit.stage}: the loss of the held-out part is {loss.item()}")

    @classmethod
    @override
    def finetune(cls, config: SearchConfig, mixup: WeightMixup, model: Model, fit: Fit) -> Model:
        """Train only the task weights; the attention is applied for evaluation, and at the end."""
        learned = [factor.detach().clone() for factor in mixup.attention]
        with mixup.holding(ones(mixup)):
            train(MixedWhenEvaluated(config, mixup, learned), model, fit)
        return model


class MixedWhenEvaluated(Mixed):
    """Training of the task weights alone, evaluated with a given attention."""

    def __init__(self, config: SearchConfig, mixup: WeightMixup, attention: list[Tensor]) -> None:
        super().__init__(config, mixup)
        self.attention = attention

    @override
    def for_evaluation(self, model: Model, fit: Fit) -> Model:
        """Return a copy of the model with that attention."""
        with self.mixup.holding(self.attention):
            return copy.deepcopy(model)


def ones(mixup: WeightMixup) -> list[Tensor]:
    """Return the attention with which the effective weights are the task weights."""
    return [torch.ones_like(factor) for factor in mixup.attention]
