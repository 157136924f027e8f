"""Learned vectors before an encoder's input, or before the keys and values of its attention.

Export writes the source of these classes next to their weights, so that they may use only torch, nn, functional and
Any.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override


class VirtualTokens(nn.Module):
    """Learned vectors [count, width] before the embedded tokens of every text, whose states are cut off the output.

    Args:
        count: Number of vectors.
        width: Of each vector.
        encoder: If given, it computes the vectors from the numbers 0 to count - 1.
    """

    def __init__(self, count: int, width: int, encoder: nn.Module | None = None) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {"count": count, "width": width}
        self.count = count
        self.encoder = encoder
        if encoder is None:
            self.vectors = nn.Parameter(torch.zeros(count, width))

    @override
    def forward(self) -> torch.Tensor:
        """The vectors [count, width]."""
        if self.encoder is None:
            return self.vectors
        vectors: torch.Tensor = self.encoder(torch.arange(self.count, device=next(self.parameters()).device))
        return vectors

    def attach(self, body: nn.Module) -> None:
        """Add hooks that prepend the vectors to this encoder's input and cut them off its output."""
        body.register_forward_pre_hook(self.prepend, with_kwargs=True)
        body.register_forward_hook(self.cut)
        pooler = getattr(body, "pooler", None)
        if pooler is not None:
            pooler.register_forward_pre_hook(self.cut_pooled)

    def prepend(self, body: Any, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
        """Hook before the encoder: prepend the vectors to its input."""
        ids = inputs["input_ids"] if "input_ids" in inputs else args[0]
        embedded = body.get_input_embeddings()(ids)
        vectors = self.before(embedded).to(embedded.dtype).expand(len(ids), -1, -1)
        inputs = inputs | {"input_ids": None, "inputs_embeds": torch.cat([vectors, embedded], dim=1)}
        for name, value in (("attention_mask", 1), ("token_type_ids", 0)):
            if inputs.get(name) is not None:
                inputs[name] = functional.pad(inputs[name], (self.count, 0), value=value)
        return (), inputs

    def before(self, embedded: torch.Tensor) -> torch.Tensor:
        """The vectors before the embedded tokens [batch, length, width]."""
        return self()

    def cut(self, body: nn.Module, args: tuple[Any, ...], outputs: Any) -> Any:
        """Hook after the encoder: cut off the states of the vectors."""
        outputs["last_hidden_state"] = outputs["last_hidden_state"][:, self.count :]
        return outputs

    def cut_pooled(self, pooler: nn.Module, args: tuple[Any, ...]) -> tuple[torch.Tensor]:
        """Hook before the encoder's pooler, which reads the first state: cut off the states of the vectors."""
        return (args[0][:, self.count :],)


class Prefix(VirtualTokens):
    """Learned keys and values [count, blocks, 2, width] that every block's attention reads before those of the text.

    The text is preceded by empty tokens, whose keys and values are replaced in every block; this works with any
    attention, and positions are those of the empty tokens.

    Args:
        count: Number of keys and values per block.
        width: blocks * 2 * the encoder's width.
        names: Last parts of the names of the key and value projections.
        encoder: See VirtualTokens.
    """

    def __init__(self, count: int, width: int, names: tuple[str, str], encoder: nn.Module | None = None) -> None:
        super().__init__(count, width, encoder)
        self.arguments["names"] = names
        self.names = names
        self.given: torch.Tensor | None = None
        self.waiting: set[int] = set()

    @override
    def attach(self, body: nn.Module) -> None:
        """Add hooks to the key and value projections too."""
        super().attach(body)
        for offset, ending in enumerate(self.names):
            projections = [module for name, module in body.named_modules() if name.rsplit(".", 1)[-1] == ending]
            for block, projection in enumerate(projections):
                projection.register_forward_hook(self.replacing(2 * block + offset))

    @override
    def before(self, embedded: torch.Tensor) -> torch.Tensor:
        """The empty tokens; keys and values are computed here, once per pass."""
        vectors = self()
        self.given = vectors.view(self.count, -1, embedded.shape[-1])
        self.waiting = set(range(self.given.shape[1]))
        return embedded.new_zeros(1, self.count, embedded.shape[-1])

    def replacing(self, place: int) -> Any:
        """Hook that replaces a block's keys or values of the empty tokens; place: 2 * block, + 1 for values."""

        def replace(projection: nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
            # DeBERTa-v3 projects its relative positions with the same layers, after the tokens.
            if self.given is None or place not in self.waiting:
                return output
            self.waiting.remove(place)
            learned = self.given[:, place].to(output.dtype).expand(len(output), -1, -1)
            return torch.cat([learned, output[:, self.count :]], dim=1)

        return replace

    @override
    def cut(self, body: nn.Module, args: tuple[Any, ...], outputs: Any) -> Any:
        """Hook after the encoder, which also drops this pass's keys and values."""
        self.given = None
        return super().cut(body, args, outputs)
