"""Encoders and batches for timing: pretrained weights, or a shape with random ones; sentences of one length."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from amix.data.encoded import Batch, Encoded
from amix.models.loading import load_model, pretrained_weights
from amix.specs.recipe import Recipe
from amix.specs.tasks import find_task
from amix.training.fit import Fit, accelerator

SEED = 1017
TASK = "sst2"
SHAPES: dict[str, dict[str, Any]] = {
    "bert-base-shape": {},
    "bert-large-shape": {
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
    },
    "tiny-shape": {
        "vocab_size": 1000, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 64,
    },
}  # fmt: skip
"""Shapes of BERTs with random weights: time does not depend on the values of weights."""
VERDICTS = {True: "kept", False: "missed", None: ""}
"""Words of a table for a limit that is kept, missed or not set."""
Step = Callable[[], object]


@dataclass(frozen=True)
class Workload:
    """What all measurements of a benchmark share: encoder (alias, Hub id, folder or shape), tokens, batch size."""

    encoder: str = "minilm-l6"
    length: int = 64
    batch_size: int = 16

    def model(self) -> nn.Module:
        """A fresh classifier in train mode, on the device."""
        device = accelerator().device
        if self.encoder not in SHAPES:
            return load_model(self.encoder, find_task(TASK), SEED).to(device)
        torch.manual_seed(SEED)
        model: nn.Module = BertForSequenceClassification(BertConfig(**SHAPES[self.encoder]))
        return model.to(device).train()

    def fit(self) -> Fit:
        """A finetuning run of many steps without warm-up, on random sentences of the same length."""
        recipe = Recipe(steps=1000, batch_size=self.batch_size, warmup_ratio=0.0, max_length=self.length)
        data = sentences(4 * self.batch_size, self.length)
        task = find_task(TASK)
        pretrained = {} if self.encoder in SHAPES else pretrained_weights(self.encoder, task)
        return Fit(task, recipe, SEED, data, data.select([]), pretrained=pretrained)


QUICK = Workload("tiny-shape", 8, 4)
"""For trying a benchmark out; its numbers mean nothing."""


def sentences(n: int, length: int) -> Encoded:
    """`n` random sentences without padding, with alternating labels."""
    ids = torch.randint(5, 1000, (n, length), generator=torch.Generator().manual_seed(SEED))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return Encoded(inputs, torch.full((n,), length), torch.arange(n) % 2)


def plain_pass(model: nn.Module, fit: Fit, batch: Batch) -> Step:
    """One forward and one backward pass of the unmodified encoder: the unit of every ratio."""

    def step() -> None:
        fit.task_loss(fit.logits(model, batch), batch).backward()
        model.zero_grad()

    return step


def seconds(step: Step) -> float:
    """Seconds of a step: on the CPU processor time, which other processes hardly affect; on a GPU elapsed time."""
    if not torch.cuda.is_available():
        started = time.process_time()
        step()
        return time.process_time() - started
    torch.cuda.synchronize()
    started = time.perf_counter()
    step()
    torch.cuda.synchronize()
    return time.perf_counter() - started


@dataclass(frozen=True)
class Measured:
    """Median seconds of a step and of the plain passes timed in turns with it, and the median of their ratio."""

    seconds: float
    plain_seconds: float
    ratio: float

    def per(self, count: int) -> "Measured":
        """The same for one of `count` equal parts of the step."""
        return Measured(self.seconds / count, self.plain_seconds, self.ratio / count)


def beside_plain(step: Step, plain: Step, repeats: int) -> Measured:
    """Time a step and the plain pass in turns, so that a slowdown of the machine affects both."""
    for _ in range(2):  # The first calls also create optimizer states and warm up.
        plain()
        step()
    pairs = [(seconds(plain), seconds(step)) for _ in range(repeats)]
    ratio = statistics.median(taken / unit for unit, taken in pairs)
    units, taken = zip(*pairs, strict=True)
    return Measured(statistics.median(taken), statistics.median(units), ratio)
