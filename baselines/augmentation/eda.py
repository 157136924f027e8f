"""EDA without a thesaurus: copies of the training texts with tokens swapped, deleted and inserted."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from amix.data.encoded import Batch
from amix.random_streams import array_generator
from amix.training.fit import Fit
from amix.training.method import Method, MethodError, Model
from amix.training.method_info import MethodInfo
from amix.training.registry import register


@register
class EDA(Method):
    """EDA's operations that need no thesaurus, each copy of a text made by one of them, drawn at random.

    swap: the tokens at two random places change places; insert: a random token of the text itself comes at a random
    place; each n = max(1, round(strength * tokens)) times. delete: every token goes with probability `strength`, one
    stays. Wei and Zou (2019), section 2; official code: jasonwei20/eda_nlp, code/eda.py. Departs: their fourth
    operation replaces words by synonyms and their insertion inserts one, from WordNet, which is not among what this
    project needs; operations work on word pieces, where theirs split at blanks. Special tokens, and so the border
    between two texts, stay where they are; a pair's texts are changed each by itself. Training sees each text and one
    of its copies, other ones every epoch, in the original's batches and in no more updates than plain finetuning
    has: half of a batch is copies. strength 0.05 is their advice for 500 examples and fewer.
    """

    @dataclass(frozen=True)
    class Config:
        """strength: their alpha. share: part of the examples of a batch that a copy takes the place of."""

        strength: float = 0.05
        share: float = 0.5

        def __post_init__(self) -> None:
            if not 0 <= self.strength <= 1 or not 0 <= self.share <= 1:
                raise MethodError("EDA's strength and share lie in [0, 1]")

    name = "eda"
    info = MethodInfo(
        paper="Wei and Zou, EMNLP 2019",
        year=2019,
        kind="augmentation",
        parity="departs: no synonyms, word pieces; the official code was not run",
        null={"share": 0.0},
        splits_batches=False,
        grid={"strength": (0.05, 0.1, 0.2), "share": (0.5, 0.8)},
    )

    def on_fit_start(self, model: Model, fit: Fit) -> None:
        """Open the stream of changes."""
        self.numbers = array_generator(fit.seed, "method", fit.stage)

    def loss(self, model: Model, batch: Batch, fit: Fit) -> Tensor:
        """The task's loss, with copies in the place of some examples."""
        if self.config.share:
            batch = self.changed(batch, fit.recipe.max_length)
        return super().loss(model, batch, fit)

    def changed(self, batch: Batch, longest: int) -> Batch:
        """The batch with a copy in the place of every example that chance picks."""
        rows = []
        for ids, mask in zip(batch["input_ids"].cpu().numpy(), batch["attention_mask"].cpu().numpy(), strict=True):
            tokens = ids[mask == 1].tolist()
            row = self.copy(tokens) if self.numbers.random() < self.config.share else tokens
            rows.append(row if len(row) <= max(longest, len(tokens)) else [*row[: len(tokens) - 1], tokens[-1]])
        lengths = [len(row) for row in rows]
        wide, filler = max(lengths), rows[0][-1]  # What stands in padding is masked, so that any token will do.
        inputs = {
            "input_ids": [row + [filler] * (wide - len(row)) for row in rows],
            "attention_mask": [[1] * length + [0] * (wide - length) for length in lengths],
        }
        if "token_type_ids" in batch:
            inputs["token_type_ids"] = [second_texts(row, wide) for row in rows]
        return batch | {name: torch.tensor(values, device=batch[name].device) for name, values in inputs.items()}

    def copy(self, tokens: list[int]) -> list[int]:
        """A changed copy of a row of tokens; its first and last one, and others like these, are special."""
        special = {tokens[0], tokens[-1]}
        stretches: list[list[int]] = [[]]
        for token in tokens:
            if token in special:
                stretches += [[token], []]
            else:
                stretches[-1].append(token)
        operation = OPERATIONS[int(self.numbers.integers(len(OPERATIONS)))]
        done = [
            stretch if not stretch or stretch[0] in special else operation(stretch, self.config.strength, self.numbers)
            for stretch in stretches
        ]
        return [token for stretch in done for token in stretch]


def second_texts(tokens: list[int], wide: int) -> list[int]:
    """1 for the tokens after the first separator, as BERT numbers its segments; 0 for those before, and for padding."""
    first = tokens.index(tokens[-1], 1) + 1
    return [0] * first + [1] * (len(tokens) - first) + [0] * (wide - len(tokens))


def times(text: list[int], strength: float) -> int:
    """How often an operation is done to a text."""
    return max(1, round(strength * len(text)))


def swap(text: list[int], strength: float, numbers: numpy.random.Generator) -> list[int]:
    """Exchange the tokens at two places, several times."""
    found = list(text)
    for _ in range(times(text, strength)):
        first, second = numbers.integers(len(found), size=2)
        found[first], found[second] = found[second], found[first]
    return found


def insert(text: list[int], strength: float, numbers: numpy.random.Generator) -> list[int]:
    """Put a token of the text in at a random place, several times."""
    found = list(text)
    for _ in range(times(text, strength)):
        found.insert(int(numbers.integers(len(found) + 1)), text[int(numbers.integers(len(text)))])
    return found


def delete(text: list[int], strength: float, numbers: numpy.random.Generator) -> list[int]:
    """Leave out every token with this probability; at least one stays."""
    kept = [token for token in text if numbers.random() >= strength]
    return kept or [text[int(numbers.integers(len(text)))]]


OPERATIONS: tuple[Callable[[list[int], float, numpy.random.Generator], list[int]], ...] = (swap, insert, delete)
