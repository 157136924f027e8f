"""One finetuning as a method's hooks see it (Fit)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional

from amix.data.encoded import Batch, Encoded, training_batches
from amix.data.metrics import Scores
from amix.random_streams import array_generator
from amix.specs.launch import processes
from amix.specs.recipe import Recipe
from amix.specs.seed_sources import Seeds
from amix.specs.tasks import Task
from amix.training.cost import Cost
from amix.training.data_parallel import averaged, share, weight


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


@cache
def accelerator() -> Accelerator:
    """Device and precision of this process: bf16 on a GPU, fp32 on the CPU."""
    cuda = torch.cuda.is_available()
    return Accelerator(cpu=not cuda, mixed_precision="bf16" if cuda else "no")


@dataclass
class Best:
    """The best dev score so far, and with keep_state the weights that had it; a later epoch must be strictly better."""

    keep_state: bool = True
    score: float = -math.inf
    epoch: int = 0
    dev: Scores = field(default_factory=dict)
    state: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass
class Fit:
    """One finetuning as a method's hooks see it.

    train and dev are tokenised; stage names the random streams of batch order and dropout, so that every method's
    stage "main" shares them. cost, curve, best and diagnostics are shared between the stages of a run. step, epoch,
    total_steps, optimizer and scheduler are those of the training under way; step counts from 0. pretrained: the
    encoder's weights by parameter name where they are in memory anyway; never to be written to. seed is that of what a
    method draws for itself; sources holds the seeds of the other sources of randomness where they differ from it.
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

    @property
    def seeds(self) -> Seeds:
        """The seed of every source of randomness."""
        return Seeds.of(self.seed, self.sources)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return accelerator().device

    def for_stage(self, stage: str, **changes: Any) -> "Fit":
        """The same finetuning in another stage: own random streams, own data or recipe where given."""
        return replace(self, stage=stage, step=0, epoch=0, total_steps=0, optimizer=None, scheduler=None, **changes)

    def logits(self, model: nn.Module, batch: Batch, **inputs: Any) -> torch.Tensor:
        """The model's outputs [batch, outputs] in float32; inputs replace or add to the batch's."""
        given = {name: tensor for name, tensor in batch.items() if name != "labels"} | inputs
        given = {name: value for name, value in given.items() if value is not None}
        with accelerator().autocast():
            outputs = model(**given).logits
        return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs

    def task_loss(self, logits: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Mean cross-entropy, or mean squared error for regression, in the dtype of the logits.

        With class weights, cross-entropies are weighted before their mean over the batch is taken.
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

    def backward(self, loss: torch.Tensor) -> None:
        """Backward pass into the parameters' grad, counted."""
        self.cost.count_backward()
        accelerator().backward(loss)

    def gradients(self, loss: torch.Tensor, tensors: list[torch.Tensor], **options: Any) -> tuple[torch.Tensor, ...]:
        """Gradients of the loss with respect to these tensors (torch.autograd.grad), counted as a backward pass.

        Those of parameters are means over the processes of a data-parallel run.
        """
        self.cost.count_backward()
        return averaged(torch.autograd.grad(loss, tensors, **options), tensors)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch; the same for every method."""
        order = array_generator(self.seeds.order, "order", self.stage, epoch)
        for positions in training_batches(self.train, self.recipe.batch_size, order):
            yield self.train.batch(share(positions), self.device)


def balanced_weights(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Weights of the classes, inversely proportional to their counts, with mean 1 over the examples.

    Args:
        labels: shape [n], class ids of the training set.
        classes: how many there are.

    Returns:
        Shape [classes]; 0 for a class without an example. The same as scikit-learn's `balanced` where all have one
        (King and Zeng, Political Analysis 2001, weight a case by the inverse of its class's share in the same way).
    """
    counts = torch.bincount(labels, minlength=classes)
    present = counts > 0
    return torch.where(present, len(labels) / (present.sum() * counts.clamp(min=1)), 0.0)
