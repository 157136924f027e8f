"""The search as the released code runs it with Betty 0.2.0, including its bugs; a variant for comparison.

What it optimises: its implicit term is the difference of two gradients with different dropout masks, divided by 2e. On
MiniLM-L6 with dropout 0.1 (`python -m runners bench hypergradient`, three draws) the cosine with the exact implicit
term is 0.04 to 0.12, with common masks 1.0000; and at scale 1, without the learning rate, the exact implicit term is
3,700 to 9,500 times as long as the direct one. So the attention takes steps of the size that Adam sets, in directions
that the upper loss hardly determines, while the task weights get two updates per iteration and a displacement that
lowers the upper loss.
"""

from functools import partial

import torch
from typing_extensions import override

from amix.agwm.split_search import Search, SearchConfig
from amix.data.encoded import Batch
from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import Hypergradient, Loss, parts_of, sum_of
from amix.mixup.sparse_rows import move
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model
from amix.training.optimizers import DecayAfterAdamW
from amix.training.schedules import linear_schedule


@torch.no_grad()
def leave_displaced(step: BilevelStep, hypergradient: Hypergradient) -> None:
    """Leave the lower parameters at W - e v, where the second perturbed pass put them.

    To restore them, Betty 0.2.0 (hypergradient/darts.py:68) calls an out-of-place add and drops its result. The
    displacement has norm 0.01 in every iteration and lowers the upper loss: the held-out part leaks into the task
    weights.
    """
    assert hypergradient.displacement is not None
    move(step.mixup.lower, hypergradient.displacement, -1)
    step.mixup.write()


def second_lower_step(
    step: BilevelStep, loss: Loss, first_iteration: bool, clip_norm: float, rates: list[float] | None = None
) -> torch.Tensor:
    """Take the second update of an iteration, on the same batch.

    Betty 0.2.0 (problems/implicit_problem.py:51-54) caches references instead of copies, so that rolling back restores
    nothing and the iteration steps twice. In iteration 1 the cached optimizer state is still empty, and restoring it
    wipes Adam's moments.

    Args:
        step: The bi-level iteration whose first update has been taken.
        loss: Runs the model on that batch.
        first_iteration: Whether this is iteration 1.
        clip_norm: Largest global norm of the gradient.
        rates: Learning rates of the optimizer's groups for this update, if a schedule has already changed them.

    Returns:
        The detached loss.
    """
    if first_iteration:
        step.lower.state.clear()
    values = []
    for part in parts_of(loss):
        part.backward()
        values.append(part.detach())
    step.mixup.pull_back()
    torch.nn.utils.clip_grad_norm_(step.mixup.lower.values(), clip_norm)
    next_rates = [group["lr"] for group in step.lower.param_groups]
    _set_rates(step.lower, next_rates if rates is None else rates)
    step.lower.step()
    _set_rates(step.lower, next_rates)
    step.lower.zero_grad()
    step.mixup.write()
    return sum_of(values)


def _set_rates(optimizer: torch.optim.Optimizer, rates: list[float]) -> None:
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


class ReleasedCode(Search):
    """The search of a split, with every step of the released loop."""

    @classmethod
    @override
    def check(cls, config: SearchConfig) -> None:
        """Refuse other estimators as well: the released code uses central differences.

        Raises:
            MethodError: This rule cannot work with the settings.
        """
        super().check(config)
        if config.estimator != "central":
            raise MethodError(f"the released code uses central differences, not estimator '{config.estimator}'")

    @classmethod
    @override
    def iterations(cls, config: SearchConfig, n_lower: int, batch_size: int) -> int:
        """Return one more per epoch than there are batches if the batch size divides the lower part."""
        return config.search_epochs * (n_lower // batch_size + 1)

    @classmethod
    @override
    def passes(cls, config: SearchConfig, iterations: int) -> int:
        """Count two lower passes, an upper one and two perturbed ones per iteration."""
        return 5 * iterations

    @override
    def optimizer(self, groups: Groups, fit: Fit) -> torch.optim.Optimizer:
        """Return AdamW with the decay after the update, as transformers had it at that time."""
        recipe = fit.recipe
        return DecayAfterAdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.adam_epsilon)

    @override
    def schedule(self, optimizer: torch.optim.Optimizer, fit: Fit) -> torch.optim.lr_scheduler.LRScheduler:
        """Round the warm-up down (run_glue_mlo.py); only the second stage, by transformers' Trainer, rounds it up."""
        return linear_schedule(optimizer, int(fit.recipe.warmup_ratio * fit.total_steps), fit.total_steps)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> torch.Tensor:
        """Remember the batch for the second update."""
        self.batch = fit.whole(batch)
        return super().loss(model, batch, fit)

    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Remember the learning rates: the schedule advances once per iteration, and both updates use the same."""
        super().before_step(model, fit)
        assert fit.optimizer is not None
        self.rates = [group["lr"] for group in fit.optimizer.param_groups]

    @override
    def move_attention(self, model: Model, fit: Fit) -> None:
        """Take the attention step, leave the displacement, and take the second update."""
        task_loss = partial(Method.loss, self, model, fit=fit)
        upper = partial(fit.part_losses, task_loss, next(self.upper_batches))
        hypergradient = self.step.attention_step(upper)
        self.tracker.note_hypergradient(hypergradient)
        leave_displaced(self.step, hypergradient)
        lower = partial(fit.part_losses, task_loss, self.batch)
        second_lower_step(self.step, lower, fit.step == 0, fit.recipe.clip_norm, self.rates)
        fit.cost.optimizer_steps += 1
        fit.cost.count_backward()
