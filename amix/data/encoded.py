"""Tokenised splits, and their length-bucketed batches."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy
import pandas
import torch

from amix.specs.task import Task

Batch = dict[str, torch.Tensor]
BUCKET_BATCHES = 4
"""Batches that are sorted by length together: enough to save padding, but so few that small subsets stay shuffled."""


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    pad_token_id: int
    pad_token_type_id: int
    padding_side: str

    def __call__(self, *texts: list[str], truncation: bool, max_length: int, **options: Any) -> Any:
        """Return token ids and masks of texts, or of pairs of texts."""


@dataclass(frozen=True)
class Encoded:
    """Tokenised examples: inputs of shape [n, longest], padded on one side; lengths [n], in tokens; labels [n].

    Models are trained on the targets (labels - center) / spread; scores compare the labels with predictions that are
    scaled back. Only regressions on users' own data are rescaled.
    """

    inputs: Batch
    lengths: torch.Tensor
    labels: torch.Tensor
    center: float = 0.0
    spread: float = 1.0
    padding_side: str = "right"

    @property
    def targets(self) -> torch.Tensor:
        """The outputs that a model is trained for, [n]."""
        return self.scaled(self.labels)

    def scaled(self, labels: torch.Tensor) -> torch.Tensor:
        """Convert labels to the scale that models are trained on."""
        return labels if (self.center, self.spread) == (0.0, 1.0) else (labels - self.center) / self.spread

    def unscaled(self, outputs: numpy.ndarray) -> numpy.ndarray:
        """Convert a model's outputs to the scale of the labels."""
        return outputs if (self.center, self.spread) == (0.0, 1.0) else outputs * self.spread + self.center

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, indices: numpy.ndarray | list[int]) -> "Encoded":
        """Return the examples at these positions, in this order."""
        positions = torch.as_tensor(numpy.asarray(indices, dtype=numpy.int64))
        longest = int(self.lengths[positions].max()) if len(positions) else 0
        inputs = {name: self._cut(tensor[positions], longest) for name, tensor in self.inputs.items()}
        return replace(self, inputs=inputs, lengths=self.lengths[positions], labels=self.labels[positions])

    def batch(self, indices: torch.Tensor, device: torch.device | str = "cpu") -> Batch:
        """Return a padded batch: the model's inputs, and the targets as `labels`."""
        longest = int(self.lengths[indices].max())
        tensors = {name: self._cut(tensor[indices], longest) for name, tensor in self.inputs.items()}
        tensors["labels"] = self.scaled(self.labels[indices])
        return {name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()}

    def _cut(self, rows: torch.Tensor, longest: int) -> torch.Tensor:
        """Remove padding beyond the longest of these rows, [n, width]."""
        return rows[:, rows.shape[1] - longest :] if self.padding_side == "left" else rows[:, :longest]


def tokenize(task: Task, rows: pandas.DataFrame, tokenizer: Tokenizer, max_length: int) -> Encoded:
    """Tokenise a split; texts longer than max_length tokens are cut.

    In users' own files the name of a special token, such as [SEP], is text like any other.
    """
    options = {"split_special_tokens": True} if task.origin == "files" else {}
    columns = (rows[column].tolist() for column in task.text)
    encoded = tokenizer(*columns, truncation=True, max_length=max_length, **options)
    lengths = torch.tensor([len(ids) for ids in encoded["input_ids"]])
    fills = {
        "input_ids": tokenizer.pad_token_id, "attention_mask": 0, "token_type_ids": tokenizer.pad_token_type_id,
    }  # fmt: skip
    longest, left = int(lengths.max()), tokenizer.padding_side == "left"
    inputs = {name: _padded(encoded[name], longest, fill, left) for name, fill in fills.items() if name in encoded}
    dtype = torch.float32 if task.regression else torch.int64
    labels = torch.tensor(rows["label"].to_numpy(copy=True), dtype=dtype)
    return Encoded(inputs, lengths, labels, padding_side=tokenizer.padding_side)


def _padded(sequences: list[list[int]], longest: int, fill: int, left: bool) -> torch.Tensor:
    fills = [[fill] * (longest - len(sequence)) for sequence in sequences]
    pairs = zip(fills, sequences, strict=True)
    return torch.tensor([more + sequence if left else sequence + more for more, sequence in pairs])


def training_batches(data: Encoded, batch_size: int, generator: numpy.random.Generator) -> Iterator[torch.Tensor]:
    """Yield the positions of one epoch's batches.

    Examples are shuffled, sorted by length within a few batches each, and the batches are shuffled again.
    """
    order = generator.permutation(len(data))
    lengths = data.lengths.numpy()
    bucket = BUCKET_BATCHES * batch_size
    batches: list[numpy.ndarray] = []
    for start in range(0, len(order), bucket):
        members = order[start : start + bucket]
        members = members[numpy.argsort(lengths[members], kind="stable")]
        batches += [members[first : first + batch_size] for first in range(0, len(members), batch_size)]
    for position in generator.permutation(len(batches)):
        yield torch.from_numpy(batches[position])


def evaluation_batches(data: Encoded, tokens: int = 4096) -> Iterator[torch.Tensor]:
    """Yield positions sorted by length, in batches of about this number of tokens."""
    order = torch.argsort(data.lengths, descending=True, stable=True)
    start = 0
    while start < len(order):
        rows = max(1, tokens // int(data.lengths[order[start]]))
        yield order[start : start + rows]
        start += rows
