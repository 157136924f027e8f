"""Fit: the state of one finetuning, as a method's hooks see it."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional

from amix.data.encoded import Batch, Encoded, training_batches
from amix.data.metrics import Scores
from amix.mixup.hypergradient import sum_of
from amix.random_streams import array_generator
from amix.specs.launch import processes
from amix.specs.recipe import Recipe
from amix.specs.seed_sources import Seeds
from amix.specs.task import Task
from amix.training.cost import Cost
from amix.training.data_parallel import averaged, share, weight
from amix.training.micro_batches import Part, WholeDraws, parts


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


@cache
def accelerator() -> Accelerator:
    """Return this process's Accelerator, which decides device and precision: bf16 on a GPU, fp32 on the CPU."""
    cuda = torch.cuda.is_available()
    return Accelerator(cpu=not cuda, mixed_precision="bf16" if cuda else "no")


@dataclass
class Best:
    """The best dev score so far and, with keep_state, the weights that reached it; ties go to the earlier epoch."""

    keep_state: bool = True
    score: float = -math.inf
    epoch: int = 0
    dev: Scores = field(default_factory=dict)
    state: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass
class Fit:
    """The state of one finetuning, as a method's hooks see it.

    cost, curve, best and diagnostics are shared between the stages of a run; step, epoch, total_steps, optimizer and
    scheduler belong to the current stage.

    Attributes:
        task: What is learned.
        recipe: Learning rate, epochs, batch size and the other hyperparameters.
        seed: Seed of what a method draws for itself.
        train: Tokenised training set.
        dev: Tokenised dev set.
        stage: Names the random streams of batch order and dropout; all methods share those of "main".
        cost: Counters of the run.
        curve: One entry per epoch: training loss and, in the main stage, dev scores.
        best: The best epoch on dev so far.
        diagnostics: Arrays of a method's own, by name.
        step: The current step, from 0.
        epoch: The current epoch, from 0.
        total_steps: Steps of the current stage.
        optimizer: The optimizer of the current stage.
        scheduler: Its learning-rate schedule.
        pretrained: The encoder's weights by parameter name, if they are in memory anyway; must not be modified.
        sources: Seeds of the sources of randomness that differ from seed.
        part: The part of a batch that is in the model, if batches are split (Recipe.micro_batch).
        skips_padding: Whether the model computes tokens only (amix.training.padding).
    """

    task: Task
    recipe: Recipe
    seed: int
    train: Encoded
    dev: Encoded
    stage: str = "main"
    cost: Cost = field(default_factory=Cost)
    curve: list[dict[str, Any]] = field(default_factory=list)
    best: Best = field(default_factory=Best)
    diagnostics: dict[str, list[Any]] = field(default_factory=dict)
    step: int = 0
    epoch: int = 0
    total_steps: int = 0
    optimizer: torch.optim.Optimizer | None = None
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None
    pretrained: Mapping[str, torch.Tensor] = field(default_factory=dict)
    sources: Mapping[str, int] = field(default_factory=dict)
    part: Part | None = None
    skips_padding: bool = False

    @property
    def seeds(self) -> Seeds:
        """The seeds of all sources of randomness."""
        return Seeds.of(self.seed, self.sources)

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return accelerator().device

    def for_stage(self, stage: str, **changes: Any) -> "Fit":
        """Return the same finetuning in another stage, with its own random streams.

        Args:
            stage: The stage's name.
            **changes: Other attributes that change, e.g. train or recipe.
        """
        return replace(self, stage=stage, step=0, epoch=0, total_steps=0, optimizer=None, scheduler=None, **changes)

    def logits(self, model: nn.Module, batch: Batch, **inputs: Any) -> torch.Tensor:
        """Run the model on a batch.

        Args:
            model: The model.
            batch: Its tensors by name.
            **inputs: Inputs that replace those of the batch, or are added; None removes one.

        Returns:
            Logits [batch, outputs], at least in float32.
        """
        arguments = {name: tensor for name, tensor in batch.items() if name != "labels"} | inputs
        arguments = {name: value for name, value in arguments.items() if value is not None}
        with accelerator().autocast():
            outputs = model(**arguments).logits
        return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs

    def task_loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Return the mean cross-entropy, or the mean squared error for regression, in the dtype of the logits.

        With class weights, the cross-entropies are weighted before they are averaged over the batch.
        """
        labels = batch["labels"]
        if self.task.regression:
            loss = functional.mse_loss(logits.squeeze(-1), labels.to(logits.dtype))
        elif self.recipe.class_weights:
            losses = functional.cross_entropy(logits, labels, reduction="none")
            weights = balanced_weights(self.train.labels, self.task.outputs).to(losses)
            loss = (weights[labels] * losses).mean()
        else:
            loss = functional.cross_entropy(logits, labels)
        return loss if processes() == 1 else loss * weight(len(labels), labels.device)

    def part_losses(self, loss: Callable[[Batch], torch.Tensor], batch: Batch) -> Iterator[torch.Tensor]:
        """Yield what each part of a batch adds to its mean loss; differentiate it before the next one is computed.

        The parts have at most recipe.micro_batch examples; without that, the batch is the only part. All their passes
        together count as one over the whole batch.

        Args:
            loss: Maps a batch to its mean loss.
            batch: The whole batch.
        """
        split = parts(batch, self.recipe.micro_batch)
        if not split:
            yield loss(batch)
            return
        draws = WholeDraws(self.device)
        try:
            for part in split:
                self.part, self.cost.same_pass = part, not part.first
                with draws.of(part):
                    value = part.share * loss(part.batch())
                yield value
        finally:
            self.part, self.cost.same_pass = None, False
            self.cost.redrawn_masks += draws.redrawn

    def accumulate(self, loss: Callable[[Batch], torch.Tensor], batch: Batch) -> torch.Tensor:
        """Run the passes of a batch, in parts if it is split, and add up the gradients in the parameters' grad.

        Args:
            loss: Maps a batch to its mean loss.
            batch: The whole batch.

        Returns:
            The mean loss of the batch, detached.
        """
        values = []
        for value in self.part_losses(loss, batch):
            self.backward(value)
            values.append(value.detach())
        return sum_of(values)

    def whole(self, batch: Batch) -> Batch:
        """Return the whole batch of which this one is a part; without a split, the batch itself."""
        return batch if self.part is None else self.part.whole

    @property
    def share_of_batch(self) -> float:
        """The share of its batch's examples that are in the model; 1 without a split."""
        return 1.0 if self.part is None else self.part.share

    def examples(self, batch: Batch) -> int:
        """Return the number of examples of the update that this batch, or part of one, belongs to."""
        return processes() * len(self.whole(batch)["labels"])

    def cut(self, tensor: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """Return the part's examples of a tensor that holds the whole batch along dim."""
        rows = slice(None) if self.part is None else self.part.rows
        return tensor[(slice(None),) * dim + (rows,)]

    def backward(self, loss: torch.Tensor) -> None:
        """Run and count a backward pass, which accumulates the gradients in the parameters' grad."""
        self.cost.count_backward()
        accelerator().backward(loss)

    def gradients(self, loss: torch.Tensor, tensors: list[torch.Tensor], **options: Any) -> tuple[torch.Tensor, ...]:
        """Return the gradients of the loss with respect to tensors (torch.autograd.grad); counts a backward pass.

        In a data-parallel run, gradients of parameters are means over the processes.
        """
        self.cost.count_backward()
        return averaged(torch.autograd.grad(loss, tensors, **options), tensors)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of one epoch; they are the same for every method."""
        order = array_generator(self.seeds.order, "order", self.stage, epoch)
        for positions in training_batches(self.train, self.recipe.batch_size, order):
            yield self.train.batch(share(positions), self.device)


def balanced_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return class weights that are inversely proportional to the classes' counts, with mean 1 over the examples.

    Args:
        labels: Class ids of the training set, shape [n].
        classes: Number of classes.

    Returns:
        Shape [classes]; 0 for a class without examples. If all have examples, they equal scikit-learn's `balanced`
        weights (King and Zeng, Political Analysis 2001, also weight a case by the inverse of its class's share).
    """
    counts = torch.bincount(labels, minlength=classes)
    present = counts > 0
    return torch.where(present, len(labels) / (present.sum() * counts.clamp(min=1)), 0.0)
