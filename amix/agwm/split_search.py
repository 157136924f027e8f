"""The search of one split: task weights on the lower part of the subset, attention on the part held out."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from amix.data.encoded import Batch, Encoded
from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import Estimator, Hypergradient, HypergradientOptions
from amix.mixup.step_jacobian import Preconditioner
from amix.mixup.weight_mixup import Combination, WeightMixup
from amix.random_streams import array_generator, tensor_generator
from amix.training.fit import Fit
from amix.training.method import Groups, Method, MethodError, Model

AttentionRule = Literal["bilevel", "joint", "fixed", "random_walk", "as_run"]


@dataclass(frozen=True)
class SplitConfig:
    """How the subset is split and each split trained.

    splits: K. lower_share: part of the subset that trains the task weights, the rest is held out. search_epochs:
    over the lower part. search_clip_norm: largest gradient norm there.
    """

    splits: int = 5
    lower_share: float = 0.8
    search_epochs: int = 3
    search_clip_norm: float = 5.0

    def __post_init__(self) -> None:
        if self.splits < 0 or self.search_epochs < 1 or not 0 < self.lower_share < 1:
            raise MethodError("splits must be at least 0, search_epochs at least 1, lower_share between 0 and 1")

    def lower_count(self, n_train: int) -> int:
        """How many examples train the task weights in a split; at least one, and one is held out."""
        return min(max(int(self.lower_share * n_train), 1), n_train - 1)

    def iterations(self, n_train: int, batch_size: int) -> int:
        """Iterations of one split."""
        return self.search_epochs * -(-self.lower_count(n_train) // batch_size)


@dataclass(frozen=True)
class SearchConfig(SplitConfig):
    """Settings of mixup and search; defaults as published except where the method's docstring says so.

    rank, combination, modules: see WeightMixup. attention_std: sigma of the initial N(1, sigma). attention: who moves
    it (`bilevel`; `joint`: the lower gradient, on the whole subset; `fixed`; `random_walk`: noise in place of the
    hypergradient; `as_run`: the released loop, with the derivative that estimator ... masks describe here as well).
    attention_every: task-weight steps per attention step. estimator ... masks: see HypergradientOptions.
    full_precision: the passes that a finite difference compares run outside autocast; without it they need a larger
    radius, say 0.1: bfloat16 hardly resolves a displacement of 0.01.
    attention_l1: weight of the penalty sum_k mean |a_k| on the attention in the upper loss
    (amix.mixup.bilevel_step.penalised).
    """

    rank: int = 1
    combination: Combination = "factored"
    modules: tuple[str, ...] = ()
    attention: AttentionRule = "bilevel"
    attention_std: float = 0.005
    attention_lr: float = 2e-3
    attention_weight_decay: float = 0.0
    attention_warmup_ratio: float = 0.1
    attention_every: int = 1
    estimator: Estimator = "central"
    point: Literal["before", "after"] = "after"
    preconditioner: Preconditioner = "adam"
    xi: float | None = None
    radius: float = 0.01
    masks: Literal["common", "independent"] = "common"
    full_precision: bool = True
    attention_l1: float = field(default=0.0, metadata={"neutral": 0.0})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.hypergradient_options()
        if self.attention not in get_args(AttentionRule):
            raise MethodError(f"attention '{self.attention}' is unknown; known: {', '.join(get_args(AttentionRule))}")
        if self.combination not in get_args(Combination):
            known = ", ".join(get_args(Combination))
            raise MethodError(f"combination '{self.combination}' is unknown; known: {known}")
        if self.rank < 1:
            raise MethodError(f"the rank of the attention is at least 1, not {self.rank}")
        if self.attention == "as_run" and self.estimator != "central":
            raise MethodError(f"the released code takes central differences, not '{self.estimator}'")
        if self.attention_every < 1:
            raise MethodError(f"attention_every counts task-weight steps and is at least 1, not {self.attention_every}")
        if self.attention_l1 < 0:
            raise MethodError(f"attention_l1 is the weight of a penalty and at least 0, not {self.attention_l1}")
        if self.attention_l1 and self.attention not in ("bilevel", "as_run"):
            raise MethodError(
                f"attention_l1 penalises the upper loss, which attention '{self.attention}' does not follow: set 0"
            )

    def hypergradient_options(self) -> HypergradientOptions:
        """The part of the settings that describes the derivative."""
        return HypergradientOptions(self.estimator, self.point, self.preconditioner, self.xi, self.radius, self.masks)

    def lower_count(self, n_train: int) -> int:
        """All examples when attention and task weights follow the same loss, else the lower share."""
        return n_train if self.attention == "joint" else super().lower_count(n_train)

    def iterations(self, n_train: int, batch_size: int) -> int:
        """Iterations of one split; the released code counts one more per epoch when the batch size divides it."""
        if self.attention == "as_run":
            return self.search_epochs * (self.lower_count(n_train) // batch_size + 1)
        return super().iterations(n_train, batch_size)

    def attention_steps(self, iterations: int) -> int:
        """How often the attention moves in so many iterations: after the first and every attention_every-th on."""
        return -(-iterations // self.attention_every)


def split_positions(config: SplitConfig, n_train: int, seed: int, number: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Positions of the lower and the held-out part of one split, from the stream (seed, "split", number).

    Independent re-samples, not folds, as published (run_glue_mlo.py:530-536): an example can be held out in several
    splits or in none.
    """
    order = array_generator(seed, "split", number).permutation(n_train)
    n_lower = config.lower_count(n_train)
    return order[:n_lower], order[n_lower:]


def split_fit(config: SplitConfig, fit: Fit, number: int) -> tuple[Fit, Encoded]:
    """The finetuning of one split's lower part, and its held-out part."""
    lower, held_out = split_positions(config, len(fit.train), fit.seed, number)
    steps = config.iterations(len(fit.train), fit.recipe.batch_size)
    recipe = replace(fit.recipe, steps=steps, clip_norm=config.search_clip_norm)
    return fit.for_stage(f"search-{number}", train=fit.train.select(lower), recipe=recipe), fit.train.select(held_out)


def mixup_groups(groups: Groups, mixup: WeightMixup) -> Groups:
    """Parameter groups of a model with the task weights in place of the effective weights."""
    return [group | {"params": [mixup.latent(parameter) for parameter in group["params"]]} for group in groups]


def full_precision_loss(model: Model, batch: Batch, fit: Fit) -> Tensor:
    """The task's loss without autocast: a displacement of norm 0.01 moves a weight by less than bfloat16 resolves."""
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    with torch.autocast(fit.device.type, enabled=False):
        return fit.task_loss(model(**inputs).logits, batch)


class Mixed(Method):
    """Finetuning of the task weights of a mixup whose attention does not move."""

    def __init__(self, config: SearchConfig, mixup: WeightMixup) -> None:
        super().__init__(config)
        self.mixup = mixup

    def param_groups(self, model: Model, fit: Fit) -> Groups:
        """Task weights and ordinary parameters, weight decay by the name in the model."""
        return mixup_groups(super().param_groups(model, fit), self.mixup)

    def after_backward(self, model: Model, fit: Fit) -> None:
        """From the model's gradients to those of the task weights."""
        self.mixup.pull_back()

    def after_step(self, model: Model, fit: Fit) -> None:
        """The stepped task weights into the model."""
        self.mixup.write()


class Search(Mixed):
    """One split by the bi-level rule: a lower step, then an attention step by hypergradient."""

    def __init__(self, config: SearchConfig, mixup: WeightMixup, held_out: Encoded) -> None:
        super().__init__(config, mixup)
        self.held_out = held_out

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Optimizer and schedule of the attention, batches of the held-out part, the noise of a random walk."""
        from transformers import get_cosine_schedule_with_warmup  # Slow to import; plans need not wait for it.

        config: SearchConfig = self.config
        self.upper = torch.optim.AdamW(
            self.mixup.attention, lr=config.attention_lr, weight_decay=config.attention_weight_decay, foreach=True
        )
        steps = config.attention_steps(fit.total_steps)
        warmup = config.attention_warmup_ratio * steps
        self.schedule_upper = get_cosine_schedule_with_warmup(self.upper, warmup, steps)  # type: ignore[arg-type]
        assert fit.optimizer is not None
        self.step = BilevelStep(
            self.mixup, fit.optimizer, self.upper, config.hypergradient_options(), gradients=fit.gradients,
            attention_l1=config.attention_l1,
        )  # fmt: skip
        self.upper_batches = endless_batches(fit, self.held_out)
        self.noise = tensor_generator(fit.seed, "attention walk", fit.stage)
        self.history: dict[str, list[Tensor]] = {}

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The lower loss, remembered for the perturbed passes."""
        first = again = partial(super().loss, model, batch, fit)
        if self.config.full_precision:
            again = partial(full_precision_loss, model, batch, fit)
        reused = self.config.estimator == "forward" and self.attention_turn(fit)
        loss = self.step.lower_loss(again if reused else first, again)
        self.note("lower_loss", loss.detach())
        return loss

    def after_backward(self, model: Model, fit: Fit) -> None:
        """From the model's gradients to those of the task weights, and for `forward` of the attention."""
        if self.attention_turn(fit):
            self.step.pull_back()
        else:
            self.mixup.pull_back()

    def before_step(self, model: Model, fit: Fit) -> None:
        """Remember the weights before the step where the derivative is taken there."""
        if self.attention_turn(fit):
            self.step.before_lower_step()

    def after_step(self, model: Model, fit: Fit) -> None:
        """The attention step."""
        if self.attention_turn(fit):
            self.move_attention(model, fit)
            self.schedule_upper.step()
            self.note_attention(fit)
        else:
            self.mixup.write()
        if fit.step + 1 == fit.total_steps:
            self.report(fit)

    def attention_turn(self, fit: Fit) -> bool:
        """Whether the attention moves after this step: every attention_every-th."""
        return fit.step % int(self.config.attention_every) == 0

    def move_attention(self, model: Model, fit: Fit) -> None:
        """One step on the next held-out batch."""
        batch = next(self.upper_batches)
        found = self.step.attention_step(partial(super().loss, model, batch, fit))
        self.note_hypergradient(found)

    def step_attention(self, gradients: list[Tensor]) -> None:
        """Step and clamp the attention with given gradients; write the weights."""
        for factor, gradient in zip(self.mixup.attention, gradients, strict=True):
            factor.grad = gradient
        self.upper.step()
        self.upper.zero_grad()
        self.mixup.clamp()
        self.mixup.write()

    def note(self, name: str, value: Tensor) -> None:
        """Keep a number of this iteration without waiting for the device."""
        self.history.setdefault(name, []).append(value)

    @torch.no_grad()
    def note_hypergradient(self, found: Hypergradient) -> None:
        """Upper loss, norms of direct and implicit term, and their cosine."""
        direct = torch.cat([part.flatten() for part in found.direct])
        self.note("upper_loss", found.upper_loss)
        self.note("direct_norm", direct.norm())
        if found.implicit is not None:
            implicit = torch.cat([part.flatten() for part in found.implicit])
            self.note("implicit_norm", implicit.norm())
            self.note("direct_implicit_cosine", functional.cosine_similarity(direct, implicit, dim=0))

    @torch.no_grad()
    def note_attention(self, fit: Fit) -> None:
        """The iteration, counted from 1; mean, smallest value and share at 1 of the attention, per module."""
        self.note("attention_iteration", torch.tensor(fit.step + 1))
        flat = [torch.cat([mixed.a1.flatten(), mixed.a2.flatten()]) for mixed in self.mixup.mixed]
        self.note("attention_mean", torch.stack([factors.mean() for factors in flat]))
        self.note("attention_min", torch.stack([factors.min() for factors in flat]))
        self.note("attention_at_one", torch.stack([(factors == 1).float().mean() for factors in flat]))

    @torch.no_grad()
    def note_shares(self) -> None:
        """Per module at the end: the mean of A and of B over the matrix, and the deciles of its attention factors."""
        shares = [mixed.task_share() for mixed in self.mixup.mixed]
        remainders = [mixed.pretrained_share(share) for mixed, share in zip(self.mixup.mixed, shares, strict=True)]
        factors = [torch.cat([mixed.a1.flatten(), mixed.a2.flatten()]).float() for mixed in self.mixup.mixed]
        deciles = torch.linspace(0, 1, 11, device=factors[0].device)
        self.note("task_share", torch.stack([share.mean() for share in shares]))
        self.note("pretrained_share", torch.stack([remainder.mean() for remainder in remainders]))
        self.note("attention_deciles", torch.stack([flat.quantile(deciles) for flat in factors]))

    def report(self, fit: Fit) -> None:
        """Put the numbers of all iterations, and the shares at the end, into the side file: one row per split."""
        self.note_shares()
        for name, values in self.history.items():
            stacked = torch.stack(values).float().cpu().numpy()
            fit.diagnostics.setdefault(f"search/{name}", []).append(stacked)
        fit.diagnostics["search/modules"] = [mixed.module for mixed in self.mixup.mixed]


def endless_batches(fit: Fit, held_out: Encoded) -> Iterator[Batch]:
    """Batches of the held-out part, epoch after epoch, from a stream of their own."""
    held_out_fit = fit.for_stage(f"{fit.stage}-held-out", train=held_out)
    epoch = 0
    while True:
        yield from held_out_fit.batches(epoch)
        epoch += 1
