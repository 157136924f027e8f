"""EDA without a thesaurus: copies of the training texts with tokens swapped, inserted or deleted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor
from typing_extensions import override

from amix.data.encoded import Batch
from amix.random_streams import array_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class EDA(Method):
    """EDA's operations that need no thesaurus; each copy of a text is made by one of them, drawn at random.

    swap: exchange the tokens at two random positions; insert: put a random token of the text at a random position; both
    n = max(1, round(strength * tokens)) times (theirs is cut off instead of rounded). delete: drop every token with
    probability `strength`, but keep at least one. Wei and Zou (2019), section 2; official code: jasonwei20/eda_nlp,
    code/eda.py. Departs: their fourth operation replaces words by synonyms and their insertion inserts a synonym, both
    from WordNet, on which this project does not depend; operations work on word pieces instead of words. Special
    tokens, and with them the border between two texts, stay in place; the texts of a pair are modified separately.
    Copies take the place of originals in plain finetuning's batches, so that the number of updates stays the same: with
    `share` 0.5, half of a batch are copies, new ones every epoch. strength 0.05 is their recommendation for 500
    examples or fewer.

    Official options that change numbers (code/eda.py): alpha_ri, alpha_rs and p_rd, each 0.1 by default, are one
    `strength`; alpha_sr belongs to the synonyms; num_aug, how many copies of a text are added to the training set (9),
    has no counterpart, because copies take the place of originals (`share`).
    """

    @dataclass(frozen=True)
    class Config:
        """strength: the paper's alpha. share: probability that a copy takes the place of an example."""

        strength: float = 0.05
        share: float = 0.5

        def __post_init__(self) -> None:
            if not 0 <= self.strength <= 1 or not 0 <= self.share <= 1:
                raise MethodError("EDA needs strength and share in [0, 1]")

    name = "eda"
    info = MethodInfo(
        paper="Wei and Zou, EMNLP 2019",
        year=2019,
        kind="augmentation",
        parity="departs: no synonyms, word pieces; the official code was not run",
        null={"share": 0.0},
        splits_batches=False,
        micro_batches=True,
        grid={"strength": (0.05, 0.1, 0.2), "share": (0.5, 0.8)},
    )

    @override
    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Create the generator of the modifications."""
        self.generator = array_generator(fit.seed, "method", fit.stage)

    @override
    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss, with copies in place of some examples."""
        if self.config.share:
            if fit.part is None or fit.part.first:
                self.copies = self.augmented(fit.whole(batch), fit.recipe.max_length)
            batch = {name: fit.cut(tensor) for name, tensor in self.copies.items()}
        return super().loss(model, batch, fit)

    def augmented(self, batch: Batch, max_length: int) -> Batch:
        """The batch with copies in place of randomly chosen examples, none longer than max_length or its original."""
        rows = []
        for ids, mask in zip(batch["input_ids"].cpu().numpy(), batch["attention_mask"].cpu().numpy(), strict=True):
            tokens = ids[mask == 1].tolist()
            row = self.copy(tokens) if self.generator.random() < self.config.share else tokens
            rows.append(row if len(row) <= max(max_length, len(tokens)) else [*row[: len(tokens) - 1], tokens[-1]])
        lengths = [len(row) for row in rows]
        width, filler = max(lengths), rows[0][-1]  # Padding is masked, so that any token will do.
        inputs = {
            "input_ids": [row + [filler] * (width - len(row)) for row in rows],
            "attention_mask": [[1] * length + [0] * (width - length) for length in lengths],
        }
        if "token_type_ids" in batch:
            inputs["token_type_ids"] = [segment_ids(row, width) for row in rows]
        return batch | {name: torch.tensor(values, device=batch[name].device) for name, values in inputs.items()}

    def copy(self, tokens: list[int]) -> list[int]:
        """A modified copy of a row of tokens; its first and its last token, wherever they occur, are special."""
        special = {tokens[0], tokens[-1]}
        stretches: list[list[int]] = [[]]
        for token in tokens:
            if token in special:
                stretches += [[token], []]
            else:
                stretches[-1].append(token)
        operation = OPERATIONS[int(self.generator.integers(len(OPERATIONS)))]
        strength = self.config.strength
        modified = [
            stretch if not stretch or stretch[0] in special else operation(stretch, strength, self.generator)
            for stretch in stretches
        ]
        return [token for stretch in modified for token in stretch]


def segment_ids(tokens: list[int], width: int) -> list[int]:
    """BERT's segment of each token: 1 after the first separator, 0 up to it and for padding; `width` numbers."""
    first = tokens.index(tokens[-1], 1) + 1
    return [0] * first + [1] * (len(tokens) - first) + [0] * (width - len(tokens))


def times(text: list[int], strength: float) -> int:
    """How often an operation is applied to a text."""
    return max(1, round(strength * len(text)))


def swap(text: list[int], strength: float, generator: numpy.random.Generator) -> list[int]:
    """Exchange the tokens at two random positions, several times."""
    tokens = list(text)
    for _ in range(times(text, strength)):
        first, second = generator.integers(len(tokens), size=2)
        tokens[first], tokens[second] = tokens[second], tokens[first]
    return tokens


def insert(text: list[int], strength: float, generator: numpy.random.Generator) -> list[int]:
    """Insert a random token of the text at a random position, several times."""
    tokens = list(text)
    for _ in range(times(text, strength)):
        tokens.insert(int(generator.integers(len(tokens) + 1)), text[int(generator.integers(len(text)))])
    return tokens


def delete(text: list[int], strength: float, generator: numpy.random.Generator) -> list[int]:
    """Drop every token with probability `strength`, but keep at least one."""
    remaining = [token for token in text if generator.random() >= strength]
    return remaining or [text[int(generator.integers(len(text)))]]


OPERATIONS: tuple[Callable[[list[int], float, numpy.random.Generator], list[int]], ...] = (swap, insert, delete)
