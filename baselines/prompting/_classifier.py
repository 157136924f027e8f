"""A classifier that sets its texts into a prompt and reads which word the encoder expects at the mask."""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override


class PromptClassifier(nn.Module):
    """Scores of the label words at the mask of a prompt.

    E[words] LayerNorm(act(W h + b)) + b[words], with h the hidden state at the mask and E the encoder's word
    embeddings; in regression the output is low + (high - low) p(high word). Export writes the source of this class next
    to its weights, so that it may use only torch, nn, functional, Any and transformers.

    Args:
        configuration: The encoder's, as JSON.
        pieces: The prompt: lists of tokens, and `<S1>`, `<S1->` (without its closing mark), `<S2>` and `[MASK]`.
        words: The token of each label's word.
        special: The tokens `first`, `last`, `mask` and `padding`; `between`: how many `last` stand between two texts;
            `closing`: tokens that end a sentence.
        longest: The most tokens that the encoder takes; what is too much is cut off the longer text.
        bounds: Low and high; empty for classes.
        activation: Name of the head's activation.
        epsilon: Of the LayerNorm.
        width: Of the rows of E.
    """

    def __init__(
        self,
        configuration: str,
        pieces: list[Any],
        words: list[int],
        special: dict[str, Any],
        longest: int,
        bounds: list[float],
        activation: str,
        epsilon: float,
        width: int,
    ) -> None:
        import json

        from transformers import AutoConfig, AutoModel
        from transformers.activations import ACT2FN

        super().__init__()
        self.arguments: dict[str, Any] = {
            "configuration": configuration, "pieces": pieces, "words": words, "special": special, "longest": longest,
            "bounds": bounds, "activation": activation, "epsilon": epsilon, "width": width,
        }  # fmt: skip
        settings = AutoConfig.for_model(**json.loads(configuration))
        self.encoder = AutoModel.from_config(settings).eval()
        if hasattr(self.encoder, "pooler"):
            self.encoder.pooler = None
        self.dense = nn.Linear(settings.hidden_size, width)
        self.activation = ACT2FN[activation]
        self.norm = nn.LayerNorm(width, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(len(words)))
        self.pieces, self.words, self.special = pieces, words, special
        self.longest, self.bounds, self.least = longest, bounds, 0
        self.scores: torch.Tensor | None = None

    def get_input_embeddings(self) -> nn.Module:
        """The word embeddings."""
        table: nn.Module = self.encoder.get_input_embeddings()
        return table

    @override
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Logits [batch, labels], or numbers [batch, 1]; in training the words' scores are kept in `scores`."""
        texts = self.rows(input_ids, attention_mask)
        prompts = [self.prompt(first, second) for first, second in texts]
        wide = max(self.least, *map(len, prompts))
        padding = self.special["padding"]
        ids = torch.tensor([row + [padding] * (wide - len(row)) for row in prompts], device=input_ids.device)
        mask = torch.tensor([[1] * len(row) + [0] * (wide - len(row)) for row in prompts], device=input_ids.device)
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        # A text may contain a mask token itself, so that searching for the prompt's could find the wrong one.
        places = torch.tensor([self.place(first, second) for first, second in texts], device=input_ids.device)
        hidden = self.norm(self.activation(self.dense(states[torch.arange(len(places), device=ids.device), places])))
        scores = functional.linear(hidden, self.get_input_embeddings().weight[self.words], self.bias)  # type: ignore[index]
        self.scores = scores.float() if self.training else None
        if not self.bounds:
            return scores
        low, high = self.bounds
        return low + (high - low) * functional.softmax(scores.float(), dim=-1)[:, 1:]

    def rows(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> list[tuple[list[int], list[int]]]:
        """Both texts of every row of a batch."""
        rows = zip(input_ids.tolist(), attention_mask.tolist(), strict=True)
        return [self.texts([token for token, real in zip(*row, strict=True) if real]) for row in rows]

    def pad_like(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> None:
        """From now on, pad prompts at least to the length of those of this batch."""
        self.least = max(len(self.prompt(*texts)) for texts in self.rows(input_ids, attention_mask))

    def texts(self, tokens: list[int]) -> tuple[list[int], list[int]]:
        """The first and the second text of a row with special tokens; the second is empty if there is only one."""
        inner, last = tokens[1:-1], self.special["last"]
        paired = "<S2>" in self.pieces
        border = inner.index(last) if paired else len(inner)
        first, second = inner[:border], inner[border + self.special["between"] :]
        if "<S1->" in self.pieces and len(first) > 1 and first[-1] in self.special["closing"]:
            first = first[:-1]
        surplus = len(first) + len(second) + self.own - self.longest
        while surplus > 0:
            (first if len(first) >= len(second) else second).pop()
            surplus -= 1
        return first, second

    @property
    def own(self) -> int:
        """How many tokens the prompt adds to the texts."""
        return 3 + sum(len(piece) for piece in self.pieces if isinstance(piece, list))

    def prompt(self, first: list[int], second: list[int]) -> list[int]:
        """The tokens of a prompt."""
        given = {"<S1>": first, "<S1->": first, "<S2>": second, "[MASK]": [self.special["mask"]]}
        parts = [given[piece] if isinstance(piece, str) else piece for piece in self.pieces]
        return [self.special["first"], *(token for part in parts for token in part), self.special["last"]]

    def place(self, first: list[int], second: list[int]) -> int:
        """Position of the mask in a prompt."""
        given = {"<S1>": first, "<S1->": first, "<S2>": second}
        before = self.pieces[: self.pieces.index("[MASK]")]
        return 1 + sum(len(given[piece] if isinstance(piece, str) else piece) for piece in before)
