"""The search of one split: task weights learn on its lower part, the attention on its held-out part."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from typing_extensions import override

from amix.agwm.mixed_training import Mixed, full_precision_loss
from amix.agwm.search_tracker import SearchTracker
from amix.agwm.splits import SplitConfig, endless_batches
from amix.data.encoded import Batch, Encoded
from amix.mixup.attention_form import AttentionForm, Combination, Parameterisation, Share
from amix.mixup.bilevel_step import BilevelStep
from amix.mixup.hypergradient import Estimator, HypergradientOptions
from amix.mixup.step_jacobian import Preconditioner
from amix.mixup.weight_mixup import WeightMixup
from amix.random_streams import tensor_generator
from amix.training.fit import Fit
from amix.training.loop import train
from amix.training.method import MethodError, Model

AttentionRule = Literal["bilevel", "joint", "fixed", "random_walk", "as_run", "after"]
PASSES = {"central": 4, "forward": 3, "exact": 4, "first_order": 2}
"""Forward and backward passes of one bi-level iteration; exact counts its double backward as two."""


@dataclass(frozen=True)
class SearchConfig(SplitConfig):
    """Settings of mixup and search; the defaults are the published ones, except as the method's docstring says.

    Args:
        rank, combination, modules, share, parameterisation: See WeightMixup.
        attention: What moves the attention. `bilevel`: the hypergradient; `joint`: the lower gradient, on the whole
            subset; `fixed`: nothing; `random_walk`: noise in place of the hypergradient; `as_run`: the released loop,
            with the hypergradient as configured here; `after`: the held-out loss, once the task weights are trained.
        attention_std: sigma of the initial N(attention_start, sigma).
        attention_every: Task-weight steps per attention step.
        estimator, point, preconditioner, xi, radius, masks: See HypergradientOptions.
        full_precision: Whether the passes that a finite difference compares run outside autocast; if not, they need a
            larger radius, e.g. 0.1, because bfloat16 hardly resolves a displacement of 0.01.
        attention_l1: Weight of the penalty sum_k mean |a_k| on the attention in the upper loss
            (amix.mixup.bilevel_step.penalised).
        attention_start, attention_limit: start and limit of WeightMixup.
        attention_epochs: Passes over the held-out part, with attention `after`.
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
    share: Share = field(default="rank_one", metadata={"neutral": "rank_one"})
    parameterisation: Parameterisation = field(default="clamped", metadata={"neutral": "clamped"})
    attention_start: float = field(default=1.0, metadata={"neutral": 1.0})
    attention_limit: float = field(default=1.0, metadata={"neutral": 1.0})
    attention_epochs: int = field(default=0, metadata={"neutral": 0})

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.hypergradient_options()
        if self.attention not in get_args(AttentionRule):
            raise MethodError(f"attention '{self.attention}' is unknown; known: {', '.join(get_args(AttentionRule))}")
        self.attention_form()
        if self.attention_every < 1:
            raise MethodError(f"attention_every counts task-weight steps: at least 1, not {self.attention_every}")
        if self.attention_l1 < 0:
            raise MethodError(f"attention_l1 is a penalty weight and must be at least 0, not {self.attention_l1}")
        if self.attention_epochs < 0:
            raise MethodError(f"attention_epochs must be at least 0, not {self.attention_epochs}")
        if self.attention_l1 and self.parameterisation == "logits":
            raise MethodError("attention_l1 penalises clamped factors; what it would do to logits is not defined")

    def attention_form(self) -> AttentionForm:
        """Return the settings that describe the attention.

        Raises:
            MethodError: They contradict each other.
        """
        form = (self.rank, self.combination, self.share, self.parameterisation)
        try:
            return AttentionForm(*form, self.attention_start, self.attention_limit)
        except ValueError as error:
            raise MethodError(str(error)) from error

    def mixup(self, model: Model, pretrained: Mapping[str, Tensor] | None) -> WeightMixup:
        """Return the mixup over the model's current weights; pretrained: see WeightMixup."""
        form = asdict(self.attention_form())
        return WeightMixup(model, pretrained, modules=self.modules or None, **form)

    def hypergradient_options(self) -> HypergradientOptions:
        """Return the settings that describe the hypergradient."""
        names = [option.name for option in fields(HypergradientOptions)]
        return HypergradientOptions(**{name: getattr(self, name) for name in names})

    def attention_steps(self, iterations: int) -> int:
        """Return how often the attention moves: in the first iteration and every attention_every-th after it."""
        return -(-iterations // self.attention_every)


def attention_optimizer(
    config: SearchConfig, mixup: WeightMixup, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW over the attention, and its schedule over steps: linear warm-up, then half a cosine to zero."""
    from transformers import get_cosine_schedule_with_warmup  # Slow to import, and plans do not need it.

    upper = torch.optim.AdamW(
        mixup.attention, lr=config.attention_lr, weight_decay=config.attention_weight_decay, foreach=True
    )
    warmup = config.attention_warmup_ratio * steps
    return upper, get_cosine_schedule_with_warmup(upper, warmup, steps)  # type: ignore[arg-type]


class FixedAttention(Mixed):
    """A split trained with the attention as drawn; the other rules override what differs."""

    follows_upper_loss: ClassVar[bool] = False
    """Whether the attention follows the held-out loss while the task weights train."""
    learns_afterwards: ClassVar[bool] = False
    """Whether it follows that loss once the task weights are trained, for attention_epochs."""

    def __init__(self, config: SearchConfig, mixup: WeightMixup, held_out: Encoded) -> None:
        super().__init__(config, mixup)
        self.held_out = held_out

    @classmethod
    def check(cls, config: SearchConfig) -> None:
        """Refuse settings that this rule cannot work with.

        Raises:
            MethodError: This rule cannot work with the settings.
        """
        if config.attention_l1 and not cls.follows_upper_loss:
            raise MethodError(
                f"attention_l1 penalises the upper loss, which attention '{config.attention}' does not follow: set 0"
            )
        if bool(config.attention_epochs) != cls.learns_afterwards:
            wanted = "at least 1" if cls.learns_afterwards else "0"
            raise MethodError(f"attention_epochs must be {wanted} with attention '{config.attention}'")

    @classmethod
    def lower_count(cls, n_lower: int, n_train: int) -> int:
        """Return how many of n_train examples train the task weights if the split's lower part has n_lower."""
        return n_lower

    @classmethod
    def iterations(cls, config: SearchConfig, n_lower: int, batch_size: int) -> int:
        """Return the number of iterations on a lower part of n_lower examples."""
        return config.search_epochs * -(-n_lower // batch_size)

    @classmethod
    def passes(cls, config: SearchConfig, iterations: int) -> int:
        """Return the forward and backward passes of this number of iterations."""
        return iterations

    @classmethod
    def passes_afterwards(cls, config: SearchConfig, n_held_out: int, batch_size: int) -> int:
        """Return the further passes of a split over its held-out part of n_held_out examples."""
        return config.attention_epochs * -(-n_held_out // batch_size)

    def search(self, model: Model, fit: Fit) -> None:
        """Train the split from the attention as drawn; the mixup holds the result."""
        train(self, model, fit)

    @classmethod
    def finetune(cls, config: SearchConfig, mixup: WeightMixup, model: Model, fit: Fit) -> Model:
        """Run the second stage: train the task weights further, with the splits' attention fixed."""
        return train(Mixed(config, mixup), model, fit)


class Search(FixedAttention):
    """One split with the bi-level rule: a lower step, then an attention step with the hypergradient."""

    follows_upper_loss = True

    @classmethod
    @override
    def passes(cls, config: SearchConfig, iterations: int) -> int:
        """Count one per iteration, and more for every step of the attention."""
        return iterations + (PASSES[config.estimator] - 1) * config.attention_steps(iterations)

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Set up the attention's optimizer and schedule, held-out batches, the random walk's noise and diagnostics."""
        config: SearchConfig = self.config
        self.upper, self.schedule_upper = attention_optimizer(
            config, self.mixup, config.attention_steps(fit.total_steps)
        )
        assert fit.optimizer is not None
        self.step = BilevelStep(
            self.mixup, fit.optimizer, self.upper, config.hypergradient_options(), gradients=fit.gradients,
            attention_l1=config.attention_l1,
        )  # fmt: skip
        self.upper_batches = endless_batches(fit, self.held_out)
        self.noise = tensor_generator(fit.seed, "attention walk", fit.stage)
        self.tracker = SearchTracker(self.mixup)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """Compute the lower loss, and remember it for the perturbed passes, which go through the whole batch."""
        precise = full_precision_loss if self.config.full_precision else super().loss
        reused = self.config.estimator == "forward" and self.attention_turn(fit)
        lower = partial(precise if reused else super().loss, model, batch, fit)
        if fit.part is None or fit.part.first:
            perturbed = partial(fit.part_losses, partial(precise, model, fit=fit), fit.whole(batch))
            loss = self.step.lower_loss(lower, perturbed)
        else:
            loss = lower()
        self.tracker.note_lower_loss(loss, fit)
        return loss

    @override
    def after_backward(self, model: Model, fit: Fit) -> None:
        """Turn the model's gradients into those of the task weights, and for `forward` also of the attention."""
        if self.attention_turn(fit):
            self.step.pull_back()
        else:
            self.mixup.pull_back()

    @override
    def before_step(self, model: Model, fit: Fit) -> None:
        """Remember what the derivative of the lower step needs."""
        if self.attention_turn(fit):
            self.step.before_lower_step()

    @override
    def after_step(self, model: Model, fit: Fit) -> None:
        """Take the attention step."""
        if self.attention_turn(fit):
            self.move_attention(model, fit)
            self.schedule_upper.step()
            self.tracker.note_attention(fit.step + 1)
        else:
            self.mixup.write()
        if fit.step + 1 == fit.total_steps:
            self.tracker.write(fit)

    def attention_turn(self, fit: Fit) -> bool:
        """Whether the attention moves after this step, as it does after every attention_every-th."""
        return fit.step % int(self.config.attention_every) == 0

    def move_attention(self, model: Model, fit: Fit) -> None:
        """Take one step on the next held-out batch."""
        batch = next(self.upper_batches)
        upper = partial(fit.part_losses, partial(super().loss, model, fit=fit), batch)
        hypergradient = self.step.attention_step(upper)
        self.tracker.note_hypergradient(hypergradient)

    def step_attention(self, gradients: list[Tensor]) -> None:
        """Step the attention with these gradients, clamp it, and write the weights."""
        for factor, gradient in zip(self.mixup.attention, gradients, strict=True):
            factor.grad = gradient
        self.upper.step()
        self.upper.zero_grad()
        self.mixup.clamp()
        self.mixup.write()
